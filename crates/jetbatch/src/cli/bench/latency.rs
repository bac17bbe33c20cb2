//! How long answers took.
use serde::Serialize;
use std::{fmt, time::Duration};

#[derive(Debug, PartialEq, Serialize)]
pub struct Latency {
    pub answers: usize,
    pub per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Latency {
    /// Of answers that came one beside another within `within`.
    pub fn of(mut took: Vec<Duration>, within: Duration) -> Self {
        took.sort_unstable();
        let ms = |percent| percentile(&took, percent).as_secs_f64() * 1e3;
        let per_s = took.len() as f64 / within.as_secs_f64();
        Self { answers: took.len(), per_s, p50_ms: ms(50), p99_ms: ms(99) }
    }
}

/// The smallest value that so many of a hundred do not exceed; zero of none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    rank.checked_sub(1).map_or(Duration::ZERO, |at| sorted[at])
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.p50_ms, self.p99_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let ms = |range: std::ops::RangeInclusive<u64>| range.rev().map(Duration::from_millis).collect::<Vec<_>>();
        for (took, p50_ms, p99_ms) in [(ms(1..=200), 100.0, 198.0), (ms(1..=3), 2.0, 3.0), (ms(7..=7), 7.0, 7.0)] {
            let latency = Latency::of(took, Duration::from_secs(2));
            assert_eq!((latency.p50_ms, latency.p99_ms), (p50_ms, p99_ms));
        }
    }

    #[test]
    fn a_rate_is_of_all_answers() {
        assert_eq!(Latency::of(vec![Duration::ZERO; 10], Duration::from_secs(4)).per_s, 2.5);
        let none = Latency { answers: 0, per_s: 0.0, p50_ms: 0.0, p99_ms: 0.0 };
        assert_eq!(Latency::of(Vec::new(), Duration::from_secs(1)), none);
    }
}
