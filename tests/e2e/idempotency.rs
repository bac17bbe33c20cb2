//! One key, one job: within the server's memory of message ids and long after it.
use crate::support::{Answer, Ask, LONG, Log, Plan, Stand, answer, asks, jsonl, message_count};
use async_nats::jetstream::stream::Config;
use domain::{Event, JobId};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::wait_for;
use wire::{Message, Subject, stream};

const KEY: &str = "monday";
/// The shortest that a server allows.
const MEMORY: Duration = Duration::from_millis(100);

fn input(name: &str) -> Vec<Ask> {
    (0..10).map(|n| Ask::echo(format!("{name}{n}"), format!("{name} {n}"))).collect()
}

async fn post(stand: &Stand, query: &str, asks: &[Ask]) -> Answer {
    answer(stand.http.ndjson(query, jsonl(asks)).header("Idempotency-Key", KEY)).await
}

fn id(answer: &Answer) -> &Value {
    assert!([200, 202].contains(&answer.status), "{answer:?}");
    &answer.body["id"]
}

async fn jobs(stand: &Stand) -> usize {
    stand.http.get("/jobs").await.body["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_key_is_a_job_over_http() {
    let stand = Plan::echo("", 8).start().await;
    let (asks, named) = (input("a"), JobId::keyed("default", KEY));
    let both = tokio::join!(post(&stand, "", &asks), post(&stand, "", &asks));
    assert_eq!((id(&both.0), id(&both.1)), (&json!(named), &json!(named)));
    stand.answered(named, &asks).await;
    assert_eq!(id(&post(&stand, "", &asks).await), &json!(named));
    for other in [post(&stand, "", &input("b")).await, post(&stand, "?priority=high", &asks).await] {
        assert_eq!((other.status, &other.body["error"]["code"]), (409, &json!("conflict")), "{other:?}");
    }
    assert_eq!(jobs(&stand).await, 1);
    assert_eq!(submissions(&stand.log().await, named).await, 1);
}

async fn submissions(log: &Log, job: JobId) -> usize {
    let events = log.events(job).await;
    events.iter().filter(|event| matches!(event, Event::JobSubmitted(_))).count()
}

/// The server forgets message ids; the log does not.
#[tokio::test]
async fn a_message_id_is_a_job_after_the_servers_memory() {
    let mut stand = Plan::echo("", 8).start().await;
    // A process that starts brings the streams to their files.
    stand.workers_ready().await;
    let log = stand.log().await;
    forgetful(&log).await;
    let (asks, named) = (input("a"), JobId::keyed("default", KEY));
    log.publish(message(&asks)).await;
    let before = stand.answered(named, &asks).await;
    for again in [&asks, &input("b")] {
        wait_for("the server to forget", LONG, || async {
            let ack = log.publish(message(again)).await;
            (!ack.duplicate).then_some(())
        })
        .await;
        settled(&log).await;
        assert_eq!(stand.end(named).await, before);
        assert_eq!(submissions(&log, named).await, 1);
    }
    // By the other door the same key is a conflict, for the body is another one.
    assert_eq!(post(&stand, "", &asks).await.status, 409);
    assert_eq!(jobs(&stand).await, 1);
}

/// SUBMIT deleted and made again remembers nothing either. Its loss is not hidden: the head says so, and ends.
#[tokio::test]
async fn a_key_is_a_job_after_submit_was_deleted() {
    let mut stand = Plan::echo("", 8).start().await;
    let log = stand.log().await;
    let (asks, named) = (input("a"), JobId::keyed("default", KEY));
    log.publish(message(&asks)).await;
    stand.answered(named, &asks).await;
    log.js.delete_stream(stream::SUBMIT).await.unwrap();
    assert!(!stand.head.exit(LONG).await.success());
    assert!(stand.head.stderr().contains("stream not found"), "{}", stand.head.story());
    stand.new_head().await;
    let ack = log.publish(message(&asks)).await;
    assert!(!ack.duplicate);
    settled(&log).await;
    assert_eq!((submissions(&log, named).await, jobs(&stand).await), (1, 1));
    let fresh = crate::support::asks(1);
    let other = stand.http.submit("", jsonl(&fresh)).await;
    assert_eq!(stand.end(other).await["state"], "completed");
}

fn message(asks: &[Ask]) -> Message {
    let requests: Vec<Value> = asks.iter().map(Ask::json).collect();
    Message::new(Subject::Submit, json!({"requests": requests}).to_string()).id(KEY)
}

/// Gives SUBMIT a short memory.
async fn forgetful(log: &Log) {
    let submit = log.js.get_stream(stream::SUBMIT).await.unwrap();
    let config: Config = submit.cached_info().config.clone();
    let config = Config { duplicate_window: MEMORY, ..config };
    log.js.update_stream(config).await.unwrap();
}

/// Waits until intake has settled every submission.
async fn settled(log: &Log) {
    wait_for("SUBMIT to be empty", LONG, || async {
        (message_count(&log.js, stream::SUBMIT).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_clients_own_id_is_a_job() {
    let stand = Plan::echo("", 8).start().await;
    let own = JobId::new(uuid::Uuid::now_v7());
    let asks = asks(3).into_iter().map(|ask| Ask { answer: ask.question.clone(), ..ask }).collect::<Vec<_>>();
    for _ in 0..2 {
        let taken = answer(stand.http.ndjson(&format!("?id={own}"), jsonl(&asks))).await;
        assert_eq!(id(&taken), &json!(own));
        stand.answered(own, &asks).await;
    }
    let other = answer(stand.http.ndjson(&format!("?id={own}"), jsonl(&input("b")))).await;
    assert_eq!(other.status, 409, "{other:?}");
}
