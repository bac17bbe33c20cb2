//! How late a status is behind the log, from the histogram that the projector keeps.
use crate::cli::{client::Client, error::Error};
use api::Route;
use serde::{Deserialize, Serialize};

const BUCKET: &str = "jetbatch_status_delay_seconds_bucket{le=\"";

/// Upper bounds of the histogram's buckets that hold the percentile, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    pub p50_ms_max: u64,
    pub p99_ms_max: u64,
}

/// None where nothing was measured, or more than a hundredth is beyond the last bucket.
pub async fn read(client: &Client) -> Result<Option<Delay>, Error> {
    let response = client.send(client.request(Route::Metrics)).await?;
    let text = response.text().await.map_err(Error::failed)?;
    Ok(delay(&text))
}

fn delay(metrics: &str) -> Option<Delay> {
    let buckets: Vec<(f64, u64)> = metrics.lines().filter_map(bucket).collect();
    let all = buckets.last()?.1;
    let within = |percent: u64| {
        let (bound, _) = buckets.iter().find(|(_, count)| *count > 0 && count * 100 >= all * percent)?;
        bound.is_finite().then(|| (bound * 1e3).ceil() as u64)
    };
    Some(Delay { p50_ms_max: within(50)?, p99_ms_max: within(99)? })
}

/// The bound and what is within it; the counts are cumulative.
fn bucket(line: &str) -> Option<(f64, u64)> {
    let (bound, count) = line.strip_prefix(BUCKET)?.split_once("\"} ")?;
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
    Some((bound, count.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(counts: [u64; 3]) -> String {
        let [a, b, all] = counts;
        format!("# TYPE x\n{BUCKET}0.05\"}} {a}\n{BUCKET}0.25\"}} {b}\n{BUCKET}+Inf\"}} {all}\nother 1\n")
    }

    #[test]
    fn percentiles_are_bounds_of_buckets() {
        assert_eq!(delay(&metrics([60, 100, 100])), Some(Delay { p50_ms_max: 50, p99_ms_max: 250 }));
        assert_eq!(delay(&metrics([1, 1, 100])), None);
        assert_eq!(delay(&metrics([0, 0, 0])), None);
        assert_eq!(delay(""), None);
    }
}
