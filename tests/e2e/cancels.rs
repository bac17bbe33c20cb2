//! A cancel ends a job wherever it stands: when its files cannot be written, and when the log does not know it any more.
use crate::support::{Ask, Plan, Stand, answer, completed, echoes, jsonl};
use domain::{
    ChunkId, Event, JobId, Timestamp,
    command::{CommandKind, JobCommand},
    event::Tally,
};
use serde_json::Value;
use std::{fs, time::Duration};
use testkit::wait_for;
use wire::{Lines, Message, Results, Subject, envelope, line, stream};

const WITHIN: Duration = Duration::from_secs(30);

async fn cancel(stand: &Stand, id: JobId) {
    let told = answer(stand.http.post(&format!("/jobs/{id}/cancel"))).await;
    assert!((200..300).contains(&told.status), "{}", told.body);
}

/// Its end, within seconds.
async fn cancelled(stand: &Stand, id: JobId, total: u64) -> Value {
    let is_over = |status: &Value| status["state"] == "cancelled";
    let end = || async { stand.http.find(id).await.filter(is_over) };
    let status = wait_for("the job to be cancelled", WITHIN, end).await;
    let counts = |name: &str| status["requests"][name].as_u64().unwrap();
    assert_eq!((counts("total"), counts("unanswered"), counts("remaining")), (total, total, 0), "{status}");
    assert_eq!((&status["output"], &status["error_file"]), (&Value::Null, &Value::Null));
    status
}

fn block(stand: &Stand, id: JobId) {
    fs::create_dir_all(stand.path(&format!("store/jobs/{id}/output.jsonl/in-the-way"))).unwrap();
}

#[tokio::test]
async fn a_job_whose_files_cannot_be_written_is_cancelled_without_them() {
    let stand = Plan::echo("delay_ms = 300", 8).start().await;
    let id = stand.http.submit("", jsonl(&echoes(16))).await;
    stand.until(id, "the job to run", |status| status["state"] == "in_progress").await;
    block(&stand, id);
    let stalled = |status: &Value| status["state"] == "finalizing" && status["stalled"]["what"] == "store";
    let status = stand.until(id, "the store to refuse", stalled).await;
    assert_eq!(completed(&status), 16);
    cancel(&stand, id).await;
    let status = cancelled(&stand, id, 16).await;
    assert!(status["reason"].as_str().unwrap().contains("could not be written"), "{status}");
    let retry = answer(stand.http.post(&format!("/jobs/{id}/retry"))).await;
    assert!(retry.status == 409 && retry.body.to_string().contains("without its files"), "{}", retry.body);
    // It is over for good, and another job goes on as ever.
    let asks = echoes(16);
    let other = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(other, &asks).await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_files_keeps_its_answers_when_they_can_be_written_in_time() {
    let stand = Plan::echo("delay_ms = 300", 8).start().await;
    let id = stand.http.submit("", jsonl(&echoes(16))).await;
    stand.until(id, "the job to run", |status| status["state"] == "in_progress").await;
    block(&stand, id);
    stand.until(id, "the last answer", |status| status["state"] == "finalizing").await;
    cancel(&stand, id).await;
    stand.until(id, "the cancel", |status| status["state"] == "cancelling").await;
    fs::remove_dir_all(stand.path(&format!("store/jobs/{id}/output.jsonl"))).unwrap();
    let status = stand.end(id).await;
    assert_eq!((&status["state"], completed(&status), &status["reason"]), (&"cancelled".into(), 16, &Value::Null));
    assert_eq!(stand.http.text(&format!("/jobs/{id}/results")).await.lines().count(), 16);
}

/// By a door of its own, so that no status is looked at before.
async fn cancel_over_nats(stand: &Stand, id: JobId) {
    let control = envelope::encode(&JobCommand::new(CommandKind::Cancel, id));
    let message = Message::new(Subject::Control, control).header(envelope::CONTENT_TYPE, envelope::MSGPACK);
    stand.log().await.publish(message).await;
}

#[tokio::test]
async fn jobs_whose_events_are_gone_are_cancelled() {
    let mut stand = Plan::echo("delay_ms = 2000", 4).start().await;
    let ids = [stand.http.submit("", jsonl(&echoes(400))).await, stand.http.submit("", jsonl(&echoes(300))).await];
    stand.midway(ids[0], 8).await;
    stand.until(ids[1], "the second", |status| status["state"] == "in_progress").await;
    let js = stand.log().await.js;
    let mut config = js.get_stream(stream::EVENTS).await.unwrap().cached_info().config.clone();
    let keeps = std::mem::replace(&mut config.max_messages, 1);
    js.update_stream(&config).await.unwrap();
    config.max_messages = keeps;
    js.update_stream(&config).await.unwrap();
    let mend = |status: &Value| status["stalled"]["mend"].as_str().is_some_and(|mend| mend.contains("cancel these"));
    stand.until(ids[1], "the cut to be told of", mend).await;
    let pause = answer(stand.http.post(&format!("/jobs/{}/pause", ids[0]))).await;
    assert_ne!(pause.status, 500, "{}", pause.body);

    cancel(&stand, ids[0]).await;
    cancel_over_nats(&stand, ids[1]).await;
    for (id, total) in ids.into_iter().zip([400, 300]) {
        let status = cancelled(&stand, id, total).await;
        assert!(status["reason"].as_str().unwrap().contains("gone from the log"), "{status}");
    }
    // Whoever reads the log from its new beginning comes to the same.
    let before = stand.http.find(ids[0]).await.unwrap();
    let _ = fs::remove_dir_all(stand.path("store/snapshots"));
    js.delete_key_value(wire::bucket::STATUS).await.unwrap();
    stand.replace_head().await;
    let after = stand.until(ids[0], "the status", |_| true).await;
    assert_eq!((&before["reason"], &before["requests"]), (&after["reason"], &after["requests"]));
    assert_eq!(stand.http.delete(ids[0]).await.status, 202);
    let asks = echoes(4);
    let other = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(other, &asks).await;
}

/// As a log leaves it that lost its end and cut a chunk in another way since.
#[tokio::test]
async fn a_result_of_other_requests_is_not_taken() {
    let mut stand = Plan::echo("delay_ms = 1", 8).workers(0).start().await;
    let asks: Vec<Ask> = echoes(16);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.until(id, "the plan", |status| status["state"] == "in_progress").await;
    let chunk = ChunkId::new(0, 0);
    stand.log().await.publish(result(id, chunk, 1..9)).await;
    stand.add_worker();
    stand.answered(id, &asks).await;
    let events = stand.log().await.events(id).await;
    assert!(events.iter().any(|event| matches!(event, Event::ChunkLost(lost) if lost.chunk == chunk)));
}

fn result(job: JobId, chunk: ChunkId, numbers: std::ops::Range<u64>) -> Message {
    let (mut lines, mut sizes) = (Vec::new(), Vec::new());
    for number in numbers {
        let before = lines.len();
        line::answer(&mut lines, job, number, b"\"stale\"", 200, "{}");
        sizes.push((lines.len() - before) as u32);
    }
    let tally = Tally { completed: sizes.len() as u64, ..Tally::default() };
    let (started, worker) = (Timestamp::new(1), "w".to_owned());
    let lines = Lines::Plain(lines.into());
    let results = Results {
        chunk: Some(chunk),
        worker,
        attempt: 1,
        started,
        ended: started,
        tally,
        sizes,
        lines,
        ..Results::default()
    };
    Message::new(Subject::Result { job, chunk }, envelope::encode(&results))
}
