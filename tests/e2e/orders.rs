//! Orders for a job that runs: each does what it says, twice is once, and where it makes no sense it is refused.
use crate::support::{Ask, LONG, Plan, Stand, echoes, jsonl, message_count};
use domain::{Event, JobId, Timestamp};
use serde_json::{Value, json};
use testkit::wait_for;
use wire::stream;

/// A worker that looked just before may begin just after.
const TOLERANCE_MS: u64 = 250;

async fn order(stand: &Stand, id: JobId, order: &str, words: Value) -> crate::support::Answer {
    crate::support::answer(stand.http.post(&format!("/jobs/{id}/{order}")).json(&words)).await
}

#[tokio::test]
async fn a_paused_job_stands_still_and_loses_nothing() {
    let stand = Plan::echo("delay_ms = 100", 4).workers(2).start().await;
    let asks: Vec<Ask> = echoes(300);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 40).await;
    for _ in 0..2 {
        let paused = order(&stand, id, "pause", json!({})).await;
        assert_eq!((paused.status, &paused.body["state"]), (202, &"paused".into()), "{paused:?}");
    }
    let log = stand.log().await;
    wait_for("WORK to be empty", LONG, || async { (message_count(&log.js, stream::WORK).await == 0).then_some(()) })
        .await;
    let other = stand.http.submit("", jsonl(&asks[..40])).await;
    stand.answered(other, &asks[..40]).await;

    let resumed = order(&stand, id, "resume", json!({})).await;
    assert_eq!((resumed.status, &resumed.body["state"]), (202, &"in_progress".into()), "{resumed:?}");
    let status = stand.answered(id, &asks).await;
    let refused = order(&stand, id, "pause", json!({})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("completed"), "{refused:?}");
    assert_eq!(status["state"], "completed");
    assert_stood_still(&log.events(id).await);
}

/// Between pause and resume no chunk began, and what ran was left within a second.
fn assert_stood_still(events: &[Event]) {
    let [mut paused, mut resumed] = [Timestamp::default(); 2];
    for event in events {
        match event {
            Event::JobPaused(at) => paused = at.at,
            Event::JobResumed(at) => resumed = at.at,
            _ => {}
        }
    }
    assert!(paused < resumed);
    for event in events {
        let Event::ChunkDone(done) = event else { continue };
        let began_late = done.started > paused.plus(TOLERANCE_MS) && done.started < resumed;
        let ended_late = done.at > paused.plus(1_000 + TOLERANCE_MS) && done.at < resumed;
        assert!(!began_late && !ended_late, "paused at {paused:?}, resumed at {resumed:?}: {done:?}");
    }
}

#[tokio::test]
async fn a_paused_job_keeps_its_deadline_and_can_be_cancelled() {
    let stand = Plan::echo("delay_ms = 100", 2).start().await;
    let asks = echoes(200);
    let [first, second] =
        [stand.http.submit("?completion_window=4s", jsonl(&asks)).await, stand.http.submit("", jsonl(&asks)).await];
    for id in [first, second] {
        stand.until(id, "the job to run", |status| status["state"] == "in_progress").await;
        order(&stand, id, "pause", json!({})).await;
    }
    let cancelled = order(&stand, second, "cancel", json!({})).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    assert_eq!(stand.end(second).await["state"], "cancelled");
    assert_eq!(stand.end(first).await["state"], "expired");
}

#[tokio::test]
async fn a_deadline_and_a_priority_are_changed() {
    let stand = Plan::echo("delay_ms = 250", 2).start().await;
    let asks = echoes(100);
    let [long, urgent] = [(); 2].map(|()| stand.http.submit("?completion_window=2h", jsonl(&asks)));
    let (long, urgent) = (long.await, urgent.await);
    stand.until(long, "the job to run", |status| status["state"] == "in_progress").await;
    stand.until(urgent, "the job to run", |status| status["state"] == "in_progress").await;
    // More than a second of work.
    stand.midway(long, 30).await;
    let before = stand.http.find(long).await.unwrap();
    let moved = order(&stand, long, "deadline", json!({"completion_window": "48h"})).await;
    assert_eq!(moved.status, 202, "{moved:?}");
    assert_ne!(moved.body["deadline"], before["deadline"]);
    for (words, code) in [(json!({"completion_window": "1s"}), 409), (json!({"completion_window": "soon"}), 400)] {
        let refused = order(&stand, long, "deadline", words).await;
        assert_eq!(refused.status, code, "{refused:?}");
    }
    let high = order(&stand, urgent, "priority", json!({"priority": "high"})).await;
    assert_eq!((high.status, &high.body["priority"]), (202, &"high".into()), "{high:?}");
    stand.answered(urgent, &asks).await;
    let left = stand.http.find(long).await.unwrap();
    assert_eq!(left["state"], "in_progress", "the later and now urgent job was answered first: {left}");
    let events = stand.log().await.events(long).await;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::DeadlineMoved(_))).count(), 1);
    order(&stand, long, "cancel", json!({})).await;
    stand.end(long).await;
}
