//! Benchmarks in small: that they run, and that what they print is what happened.
use crate::cli::jetbatch;
use serde_json::Value;

/// One a door with keys lets in, one a door without; each read is answered.
#[tokio::test]
async fn the_http_benchmark_tells_of_reads_and_uploads() {
    let args = "bench http --requests 200 --upload-mb 2 --connections 2 --seconds 1 --json";
    let bench = jetbatch(&args.split(' ').collect::<Vec<_>>(), 0).await;
    let report: Value = serde_json::from_str(&bench.stdout()).unwrap();
    assert_eq!(report["upload"]["bytes"], 2_000_000);
    for reads in ["reads", "keyed_reads"] {
        let number = |name: &str| report[reads][name].as_f64().unwrap();
        assert!(number("answers") >= 2.0 && number("per_s") > 0.0, "{report}");
        assert!(number("p50_ms") > 0.0 && number("p50_ms") <= number("p99_ms"), "{report}");
    }
    assert!(report["keys_ratio"].as_f64().unwrap() > 0.0, "{report}");
}
