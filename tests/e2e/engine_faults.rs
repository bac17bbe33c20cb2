//! An engine that fails makes the chunk come again, later each time; one that refuses has answered.
use crate::support::{Ask, Plan, assert_counts, jsonl, lines, message_count};
use domain::{Event, event::FaultClass};
use serde_json::Value;
use wire::{envelope, stream, work::DeadChunk};

const CHUNK: usize = 4;

fn asks(bad: &str) -> Vec<Ask> {
    let question = |n: usize| if n == 5 { format!("a {bad} request") } else { format!("say {n}") };
    (0..20).map(|n| Ask::echo(format!("r{n}"), question(n))).collect()
}

/// One request of a chunk fails whatever is tried. Its chunk is taken apart until it stands alone.
#[tokio::test]
async fn a_bad_request_stands_alone_and_its_neighbours_succeed() {
    let mut stand = Plan::echo("fail_containing = 'boom'", CHUNK as u32).start().await;
    let asks = asks("boom");
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.make_room();
    let status = stand.end(id).await;
    assert_eq!(status["state"], "completed", "{status}");
    assert_counts(&status, [20, 19, 1, 0]);
    let output = stand.http.text(&format!("/jobs/{id}/results")).await;
    let errors = stand.http.text(&format!("/jobs/{id}/errors")).await;
    let answered = crate::support::split_in(&output, &errors, &asks, "engine_failed");
    assert_eq!((answered, lines(&errors)[0]["custom_id"].as_str()), (19, Some("r5")));

    let log = stand.log().await;
    let events = log.events(id).await;
    let failures = events.iter().filter(|event| matches!(event, Event::ChunkFailed(_))).count();
    // Twice whole, once as a half, and twice alone.
    assert_eq!(failures, 5);
    assert_dead(&log, id).await;
}

async fn assert_dead(log: &crate::support::Log, job: domain::JobId) {
    assert_eq!(message_count(&log.js, stream::DEAD).await, 1);
    let dead = log.js.get_stream(stream::DEAD).await.unwrap().get_raw_message(1).await.unwrap();
    let dead: DeadChunk = envelope::decode("dead chunk", &dead.payload).unwrap();
    assert_eq!((dead.job, dead.class, dead.history.len()), (job, FaultClass::Internal, 5));
    let lines = String::from_utf8_lossy(&dead.lines);
    assert!(lines.contains("boom") && lines.lines().count() == 1, "{lines}");
}

#[tokio::test]
async fn a_refused_request_is_an_error_line_and_no_retry() {
    let stand = Plan::echo("refuse_containing = 'rude'", CHUNK as u32).start().await;
    let asks = asks("rude");
    let id = stand.http.submit("", jsonl(&asks)).await;
    let status = stand.end(id).await;
    assert_eq!(status["state"], "completed", "{status}");
    assert_counts(&status, [20, 19, 1, 0]);
    assert_eq!((&status["attempts"], &status["retries"]), (&5.into(), &0.into()), "{status}");
    let errors = lines(&stand.file(&status, "error_file").unwrap());
    assert_eq!(errors.len(), 1);
    assert_eq!((&errors[0]["custom_id"], &errors[0]["error"]), (&"r5".into(), &Value::Null));
    assert_eq!(errors[0]["response"]["status_code"], 400);
    let good: Vec<Ask> = asks.iter().filter(|ask| ask.id != "r5").cloned().collect();
    crate::support::answers_in(&stand.file(&status, "output").unwrap(), &good);
}

/// The engine's process dies with its chunk; another worker takes the chunk, and dies of it too, but not of others.
#[tokio::test]
async fn a_worker_that_dies_of_a_request_takes_nothing_with_it() {
    let stand = Plan::echo("die_containing = 'fatal'", CHUNK as u32).workers(2).start().await;
    let first: Vec<Ask> = (0..40).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&first)).await;
    stand.answered(id, &first).await;
    let fatal = stand.http.submit("?completion_window=6s", jsonl(&[Ask::echo("f", "a fatal one")])).await;
    let status = stand.end(fatal).await;
    assert_eq!(status["state"], "expired", "{status}");
    assert_counts(&status, [1, 0, 0, 1]);
}
