//! An urgent job overtakes a large one at once.
use crate::support::{Ask, Plan, jsonl};
use serde_json::Value;

fn asks(name: &str, count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("{name}{n}"), format!("{name} {n}"))).collect()
}

#[tokio::test]
async fn urgent_jobs_overtake() {
    let stand = Plan::echo("delay_ms = 100", 8).start().await;
    let big = asks("big", 1_200);
    let big_id = stand.http.submit("?completion_window=24h", jsonl(&big)).await;
    stand.midway(big_id, 16).await;
    for query in ["?completion_window=1h", "?priority=high&completion_window=7d"] {
        let small = asks("small", 16);
        let id = stand.http.submit(query, jsonl(&small)).await;
        stand.answered(id, &small).await;
        let status = stand.http.find(big_id).await.unwrap();
        assert_eq!(status["state"], "in_progress", "{status}");
        assert!(remaining(&status) > 400, "{query} waited for most of the large job: {status}");
    }
    stand.answered(big_id, &big).await;
}

fn remaining(status: &Value) -> u64 {
    status["requests"]["remaining"].as_u64().unwrap()
}
