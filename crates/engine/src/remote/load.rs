//! What servers tell of themselves at `/metrics`. Pure.
/// A server's own figures, as far as it tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Requests that run there, whoever sent them.
    pub running: Option<u64>,
    /// Requests that wait there.
    pub waiting: Option<u64>,
    /// The part of its cache that is taken, 0 to 1.
    pub cache: Option<f64>,
}

const RUNNING: [&str; 3] = ["vllm:num_requests_running", "llamacpp:requests_processing", "sglang:num_running_reqs"];
const WAITING: [&str; 3] = ["vllm:num_requests_waiting", "llamacpp:requests_deferred", "sglang:num_queue_reqs"];
const CACHE: [&str; 4] =
    ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "llamacpp:kv_cache_usage_ratio", "sglang:token_usage"];

/// Of a text in Prometheus' form. What stands there several times, by labels, is added up; shares are the highest.
pub fn read(text: &str) -> Load {
    let values = |names: &[&str]| -> Vec<f64> {
        text.lines().filter_map(sample).filter(|(name, _)| names.contains(name)).map(|(_, value)| value).collect()
    };
    let sum = |names: &[&str]| {
        let values = values(names);
        (!values.is_empty()).then(|| values.iter().sum::<f64>().max(0.0) as u64)
    };
    let cache = values(&CACHE).into_iter().reduce(f64::max);
    Load { running: sum(&RUNNING), waiting: sum(&WAITING), cache }
}

fn sample(line: &str) -> Option<(&str, f64)> {
    let name = line.split(['{', ' ']).next().filter(|name| !name.starts_with('#'))?;
    let rest = line[name.len()..].rsplit_once('}').map_or(&line[name.len()..], |(_, rest)| rest);
    let value: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    value.is_finite().then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_three_servers_are_read() {
        let vllm = "# HELP vllm:num_requests_running x\nvllm:num_requests_running{engine=\"0\",model_name=\"a b}\"} 3.0\n\
            vllm:num_requests_running{engine=\"1\"} 2.0\nvllm:num_requests_waiting{engine=\"0\"} 7.0\n\
            vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n";
        assert_eq!(read(vllm), Load { running: Some(5), waiting: Some(7), cache: Some(0.25) });
        let llama = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n";
        assert_eq!(read(llama), Load { running: Some(1), waiting: Some(0), cache: None });
        let sglang = "sglang:num_running_reqs{a=\"b\"} 4 1700000000\nsglang:token_usage NaN\n";
        assert_eq!(read(sglang), Load { running: Some(4), waiting: None, cache: None });
        assert_eq!(read("<html>\n\n"), Load::default());
    }
}
