//! Where a job's time went: the door reads it from the log, and says in one sentence why.
use crate::{
    cli::jetbatch,
    support::{Ask, LONG, Plan, answer, echoes, jsonl},
};
use serde_json::{Value, json};
use testkit::wait_for;

fn ms(timeline: &Value, stage: &str) -> u64 {
    let sums = timeline["stages"].as_array().unwrap();
    sums.iter().find(|sum| sum["stage"] == stage).map_or(0, |sum| sum["ms"].as_u64().unwrap())
}

/// Stretches follow one another without a gap, and each stage's sum is told.
fn assert_whole(timeline: &Value) {
    let spans = timeline["spans"].as_array().unwrap();
    assert!(spans.windows(2).all(|two| two[0]["until"] == two[1]["from"]), "{timeline}");
    assert_eq!(spans[0]["from"], timeline["submitted_at"], "{timeline}");
    assert_eq!(spans.last().unwrap()["until"], timeline["until"], "{timeline}");
}

#[tokio::test]
async fn a_timeline_tells_of_waits_and_pauses() {
    let stand = Plan::echo("delay_ms = 100", 8).start().await;
    let urgent = echoes(400);
    let first = stand.http.submit("?priority=high", jsonl(&urgent)).await;
    stand.midway(first, 8).await;
    // So many that a pause comes in time on a loaded machine.
    let asks: Vec<Ask> = echoes(400);
    let second = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(first, &urgent).await;
    stand.until(second, "answers", |status| status["requests"]["completed"].as_u64() > Some(0)).await;
    let order = |word: &'static str| answer(stand.http.post(&format!("/jobs/{second}/{word}")).json(&json!({})));
    assert_eq!(order("pause").await.status, 202);
    let paused = stand.until(second, "a pause", |status| status["state"] == "paused").await;
    let open = stand.http.get(&format!("/jobs/{second}/timeline")).await;
    assert_eq!((open.status, &open.body["state"]), (200, &"paused".into()), "{open:?} {paused}");
    let told = || async { stand.http.get(&format!("/jobs/{second}/timeline")).await.body };
    wait_for("a pause of a second", LONG, || async { (ms(&told().await, "paused") > 1_000).then_some(()) }).await;
    assert_eq!(order("resume").await.status, 202);
    stand.answered(second, &asks).await;

    let timeline = stand.http.get(&format!("/jobs/{second}/timeline")).await.body;
    assert_whole(&timeline);
    assert_eq!((&timeline["state"], &timeline["sla"]), (&"completed".into(), &"met".into()), "{timeline}");
    assert!(ms(&timeline, "waiting_jobs") > 1_000, "{timeline}");
    assert!(ms(&timeline, "paused") > 1_000, "{timeline}");
    assert!(ms(&timeline, "running") > 300, "{timeline}");
    assert_eq!(timeline["waited_for"][0]["job"], first.to_string(), "{timeline}");
    assert!(!timeline["notable"].as_array().unwrap().is_empty(), "{timeline}");
    let why = timeline["why"].as_str().unwrap();
    assert!(why.starts_with("It was done in ") && why.contains(" before its deadline"), "{why}");

    let told = jetbatch(&["why", &second.to_string(), "--url", &stand.http.base], 0).await.stdout();
    assert!(told.starts_with(why) && told.contains("waiting jobs"), "{told}");
    let tree = jetbatch(&["trace", &second.to_string(), "--url", &stand.http.base], 0).await.stdout();
    assert!(
        tree.starts_with("job completed, met") && tree.contains("+- paused") && tree.contains("+- chunk 0."),
        "{tree}"
    );
    let none = stand.http.get("/jobs/018f4e2a-7c1b-7000-8000-0123456789ab/timeline").await;
    assert_eq!(none.status, 404, "{none:?}");
}
