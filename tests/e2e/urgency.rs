//! An urgent job overtakes a large one at once, also while their inputs are read.
use crate::support::{Ask, Plan, answer, jsonl};
use domain::JobId;
use serde_json::{Value, json};
use std::{
    io::{BufWriter, Write},
    time::{Duration, Instant},
};

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

const LARGE: usize = 5;
const LARGE_LINES: usize = 300_000;

/// What was acknowledged is known from then on, under the deadline that was told, and no large input is before it.
#[tokio::test]
async fn an_urgent_job_does_not_wait_for_large_validations() {
    let stand = Plan::echo("delay_ms = 0", 8).start().await;
    let path = stand.path("inputs").join("large.jsonl");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = BufWriter::new(std::fs::File::create(&path).unwrap());
    for n in 0..LARGE_LINES {
        writeln!(file, "{}", Ask::echo(format!("large{n}"), "later").json()).unwrap();
    }
    file.into_inner().unwrap();
    let post = |query: &'static str, body: Value| answer(stand.http.post(&format!("/jobs{query}")).json(&body));
    let mut large: Vec<JobId> = Vec::new();
    for n in 0..LARGE {
        let input = json!({"input": format!("file://{}", path.display()), "metadata": {"n": n.to_string()}});
        large.push(post("", input).await.accepted());
    }
    // One at least is read by now, and none is done.
    stand.until(large[0], "a validation", |status| status["state"] == "validating").await;
    let small = [Ask::echo("small", "now")];
    let accepted = answer(stand.http.ndjson("?priority=high", jsonl(&small))).await;
    let (id, deadline) = (accepted.accepted(), &accepted.body["deadline"]);
    loop {
        let status = stand.http.find(id).await.expect("it was acknowledged");
        assert_eq!(&status["deadline"], deadline, "{status}");
        match status["state"].as_str().unwrap() {
            "completed" => break,
            "validating" | "queued" | "in_progress" | "finalizing" => tokio::task::yield_now().await,
            _ => panic!("{status}"),
        }
    }
    stand.answered(id, &small).await;
    for id in large {
        let status = stand.http.find(id).await.unwrap();
        assert_eq!(status["state"], "validating", "the urgent job waited for it: {status}");
        assert_eq!(stand.http.post(&format!("/jobs/{id}/cancel")).send().await.unwrap().status(), 202);
    }
}

/// A million behaves alike, and takes a build without optimisation long to read: all that is sent ahead is some seconds.
const HUGE_LINES: usize = 100_000;
const FIRST_CHUNK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn an_urgent_jobs_first_chunk_runs_within_two_seconds() {
    let stand = Plan::echo("delay_ms = 50", 8).start().await;
    let big = stand.http.submit("?priority=background", jsonl(&asks("big", HUGE_LINES))).await;
    stand.midway(big, 64).await;
    let small = asks("small", 8);
    let asked = Instant::now();
    let id = stand.http.submit("?priority=urgent&completion_window=7d", jsonl(&small)).await;
    stand.until(id, "its first chunk", |status| !status["started_at"].is_null()).await;
    let waited = asked.elapsed();
    println!("its first chunk was done after {waited:?}");
    assert!(waited < FIRST_CHUNK, "{waited:?}");
    stand.answered(id, &small).await;
    assert_eq!(stand.http.post(&format!("/jobs/{big}/cancel")).send().await.unwrap().status(), 202);
}

fn remaining(status: &Value) -> u64 {
    status["requests"]["remaining"].as_u64().unwrap()
}
