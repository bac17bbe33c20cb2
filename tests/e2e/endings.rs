//! Jobs that end early: cancelled or expired. What is answered is kept; each other request has one error line.
use crate::support::{Ask, LONG, Log, Plan, Stand, jsonl, message_count, split_in};
use domain::{Event, JobId, Timestamp, event::ChunkDone};
use serde_json::Value;
use testkit::wait_for;
use wire::stream;

/// A worker that looked just before the job closed may begin just after.
const TOLERANCE_MS: u64 = 250;

fn asks(count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect()
}

/// Holds the two files against what was asked, and the counts against the files.
pub async fn assert_kept(stand: &Stand, id: JobId, asks: &[Ask], code: &str) -> Value {
    let status = stand.end(id).await;
    let [output, errors] = ["results", "errors"].map(|which| format!("/jobs/{id}/{which}"));
    let (output, errors) = (stand.http.text(&output).await, stand.http.text(&errors).await);
    assert_eq!(stand.file(&status, "output").unwrap_or_default(), output);
    assert_eq!(stand.file(&status, "error_file").as_deref(), Some(errors.as_str()));
    let kept = split_in(&output, &errors, asks, code);
    crate::support::assert_counts(&status, [asks.len(), kept, 0, asks.len() - kept]);
    status
}

/// Waits until every worker has seen what it was sent and nothing of the job is left, and gives its events.
async fn quiet(log: &Log, id: JobId) -> Vec<Event> {
    for stream in [stream::WORK, stream::RESULTS] {
        let what = format!("{stream} to be empty");
        wait_for(&what, LONG, || async { (message_count(&log.js, stream).await == 0).then_some(()) }).await;
    }
    log.events(id).await
}

fn dones(events: &[Event]) -> impl Iterator<Item = &ChunkDone> {
    events.iter().filter_map(|event| if let Event::ChunkDone(done) = event { Some(done) } else { None })
}

fn closing(events: &[Event]) -> Option<Timestamp> {
    events.iter().find_map(|event| if let Event::JobClosing(closing) = event { Some(closing.at) } else { None })
}

#[tokio::test]
async fn no_chunk_of_a_cancelled_job_starts_afterwards() {
    let stand = Plan::echo("delay_ms = 150", 4).workers(2).start().await;
    let asks = asks(400);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 20).await;
    let answer = crate::support::answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let status = assert_kept(&stand, id, &asks, "batch_cancelled").await;
    assert_eq!((&status["state"], &status["sla"]), (&"cancelled".into(), &Value::Null), "{status}");
    assert!(status["requests"]["completed"].as_u64().unwrap() >= 20, "{status}");

    let log = stand.log().await;
    let events = quiet(&log, id).await;
    let closed = closing(&events).unwrap();
    for done in dones(&events) {
        assert!(done.started <= closed.plus(TOLERANCE_MS), "{done:?} began after the job closed at {closed:?}");
    }
    assert_eq!(stand.end(id).await, status, "the first terminal state wins");
    let again = crate::support::answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert!((200..300).contains(&again.status), "{again:?}");
}

/// A worker that was given a chunk ahead of time asks again when a slot falls free for it.
#[tokio::test]
async fn what_waits_for_a_slot_does_not_start_after_a_cancel() {
    const RUN_MS: u64 = 1_500;
    let stand = Plan::echo(&format!("delay_ms = {RUN_MS}"), 4).start().await;
    let asks = asks(40);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 4).await;
    // Some chunks have just begun, and the next one waits for a slot.
    crate::support::answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert_kept(&stand, id, &asks, "batch_cancelled").await;
    let events = quiet(&stand.log().await, id).await;
    let closed = closing(&events).unwrap();
    for done in dones(&events) {
        assert!(done.started <= closed.plus(TOLERANCE_MS), "{done:?} began after the job closed at {closed:?}");
    }
}

#[tokio::test]
async fn a_job_expires_at_its_deadline() {
    let stand = Plan::echo("delay_ms = 100", 2).start().await;
    let asks = asks(200);
    let id = stand.http.submit("?completion_window=2s", jsonl(&asks)).await;
    let status = assert_kept(&stand, id, &asks, "batch_expired").await;
    assert_eq!((&status["state"], &status["sla"]), (&"expired".into(), &"missed".into()), "{status}");
    assert!(status["requests"]["completed"].as_u64().unwrap() > 0, "{status}");
    assert!(status["ended_at"].as_str() >= status["deadline"].as_str(), "{status}");
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled() {
    let stand = Plan::echo("", 8).start().await;
    let asks = asks(10);
    let id = stand.http.submit("", jsonl(&asks)).await;
    let status = stand.answered(id, &asks).await;
    let answer = crate::support::answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(stand.end(id).await, status);
    let unknown = crate::support::answer(stand.http.post(&format!("/jobs/{}/cancel", JobId::keyed("no", "job")))).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
}
