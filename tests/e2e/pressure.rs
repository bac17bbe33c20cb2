//! What happens when there is no room, no store, no NATS or no end of clients: work waits or is told clearly why not,
//! and all goes on by itself.
use crate::support::{LONG, Log, Plan, answer, asks, completed, jsonl};
use async_nats::jetstream::stream::Config;
use domain::{Event, event::FaultClass};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::wait_for;
use wire::stream;

/// The product's own retries are over soon, so that what comes after them is seen.
const SHORT: &str = "retry_s = 1";

/// Changes the limits of a stream while it is used.
async fn limit(log: &Log, name: &str, set: impl FnOnce(&mut Config)) {
    let mut config = log.js.get_stream(name).await.unwrap().cached_info().config.clone();
    set(&mut config);
    log.js.update_stream(config).await.unwrap();
}

/// The answers wait at their workers: nothing fails, nothing is run twice.
#[tokio::test]
async fn results_are_full() {
    let mut stand = Plan::echo("delay_ms = 40", 8).nats(SHORT).workers(2).start().await;
    let asks = asks(600);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 40).await;
    let log = stand.log().await;
    limit(&log, stream::RESULTS, |config| config.max_bytes = 1).await;
    for worker in &mut stand.workers {
        worker.line("a result is stored again in a moment", LONG).await;
    }
    let before = stand.http.find(id).await.unwrap();
    stand.workers[0].lines("a result is stored again in a moment", 3, LONG).await;
    let after = stand.http.find(id).await.unwrap();
    assert_eq!((completed(&before), after["state"].as_str()), (completed(&after), Some("in_progress")), "{after}");
    limit(&log, stream::RESULTS, |config| config.max_bytes = -1).await;
    let status = stand.answered(id, &asks).await;
    assert_eq!(status["retries"], 0, "{status}");
    let failed = |event: &Event| matches!(event, Event::ChunkFailed(_));
    assert!(!log.events(id).await.iter().any(failed), "a full stream is no chunk's failure");
}

/// Whoever waits for room in WORK waits alone: a cancel is carried out at once.
#[tokio::test]
async fn work_is_full() {
    let mut stand = Plan::echo("delay_ms = 10", 8).start().await;
    let (log, asks) = (stand.log().await, asks(400));
    stand.workers_ready().await;
    limit(&log, stream::WORK, |config| config.max_bytes = 1).await;
    let [first, second] = [stand.http.submit("", jsonl(&asks)).await, stand.http.submit("", jsonl(&asks)).await];
    stand.head.line("no chunks are sent until there is room", LONG).await;
    for id in [first, second] {
        stand.until(id, "the job to wait", |status| status["state"] == "in_progress").await;
    }
    let asked = Instant::now();
    assert_eq!(answer(stand.http.post(&format!("/jobs/{first}/cancel")).json(&json!({}))).await.status, 202);
    let status = stand.end(first).await;
    assert_eq!((&status["state"], completed(&status)), (&"cancelled".into(), 0), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(8), "the cancel waited for room: {:?}", asked.elapsed());
    limit(&log, stream::WORK, |config| config.max_bytes = -1).await;
    let status = stand.answered(second, &asks).await;
    assert_eq!(status["retries"], 0, "{status}");
    let told = stand.head.stderr().matches("no chunks are sent until there is room").count();
    assert!(told < 4, "it is said {told} times");
}

/// Longer than any part of the product tries one thing.
const AWAY: Duration = Duration::from_secs(12);

/// Every window of retries passes: for the product it might as well be hours.
#[tokio::test]
async fn nats_is_away_for_long() {
    let plan = Plan::echo("delay_ms = 40", 8).nats("retry_s = 2\nconnect_s = 2").workers(2);
    let mut stand = plan.start().await;
    let asks = asks(600);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 40).await;
    stand.nats.kill().await;
    let gone = Instant::now();
    let is_unready = || async { (stand.http.get("/readyz").await.status == 503).then_some(()) };
    wait_for("the head to say that it is not ready", LONG, is_unready).await;
    while gone.elapsed() < AWAY {
        assert_eq!(stand.http.get("/healthz").await.status, 200);
        for answer in [stand.http.get(&format!("/jobs/{id}")).await, answer(stand.http.ndjson("", jsonl(&asks))).await] {
            assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &"unavailable".into()), "{answer:?}");
            assert!(answer.body["error"]["message"].as_str().is_some_and(|text| text.len() > 20), "{answer:?}");
        }
    }
    stand.nats.restart().await;
    let back = Instant::now();
    stand.answered(id, &asks).await;
    assert!(back.elapsed() < Duration::from_secs(40), "{:?}", back.elapsed());
    let other = stand.http.submit("", jsonl(&asks[..40])).await;
    stand.answered(other, &asks[..40]).await;
    let is_own = |event: &Event| matches!(event, Event::ChunkFailed(failed) if failed.class != FaultClass::Nats);
    assert!(!stand.log().await.events(id).await.iter().any(is_own), "the way to NATS is no chunk's fault");
}
