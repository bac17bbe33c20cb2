//! `kill -9` in the middle of a job: of a worker, of nats-server, of the head process. Nothing is lost or doubled.
use crate::support::{LONG, Plan, asks, jsonl};
use domain::Event;
use testkit::wait_for;

const REQUESTS: usize = 1_000;

#[tokio::test]
async fn a_worker_is_killed() {
    let mut stand = Plan::tiny().workers(2).start().await;
    stand.workers_ready().await;
    let asks = asks(REQUESTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    let log = stand.log().await;
    let by = |events: &[Event], name: &str| {
        events.iter().filter(|event| matches!(event, Event::ChunkDone(done) if done.worker == name)).count()
    };
    wait_for("both workers' answers", LONG, || async {
        let events = log.events(id).await;
        (by(&events, "w1") >= 2 && by(&events, "w2") >= 1).then_some(())
    })
    .await;
    stand.midway(id, 1).await;
    stand.workers[0].kill9().await;
    let status = stand.answered(id, &asks).await;
    let events = log.events(id).await;
    let again = events.iter().filter(|event| matches!(event, Event::ChunkDone(done) if done.delivered > 1)).count();
    assert!(again > 0, "the killed worker held nothing: {status}");
    assert!(status["retries"].as_u64().unwrap() >= again as u64, "{status}");
}

#[tokio::test]
async fn nats_is_killed() {
    let mut stand = Plan::tiny().start().await;
    let asks = asks(REQUESTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    stand.nats.kill().await;
    stand.nats.restart().await;
    stand.answered(id, &asks).await;
}

#[tokio::test]
async fn the_head_is_killed() {
    let mut stand = Plan::tiny().start().await;
    let asks = asks(REQUESTS);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 100).await;
    stand.replace_head().await;
    stand.answered(id, &asks).await;
}

/// A worker that is told to stop finishes what it runs, and at once hands back what it has not begun.
#[tokio::test]
async fn a_worker_drains() {
    let mut stand = Plan::echo("delay_ms = 30", 8).workers(2).start().await;
    stand.workers_ready().await;
    let asks: Vec<_> = (0..600).map(|n| crate::support::Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 50).await;
    stand.workers[0].term();
    assert!(stand.workers[0].exit(LONG).await.success());
    assert!(!stand.workers[0].stderr().contains("hands back"), "{}", stand.workers[0].story());
    let status = stand.answered(id, &asks).await;
    assert!(status["retries"].as_u64().unwrap() <= 1, "only the chunk on its way may come again: {status}");
}

/// Every room twice: sends deduplicate, results are stored once, lifecycle events are compared and set.
#[tokio::test]
async fn two_heads_do_no_harm() {
    let stand = Plan::echo("delay_ms = 20", 8).start().await;
    let _second = stand.second_head().await;
    let asks: Vec<_> = (0..600).map(|n| crate::support::Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let ids = [stand.http.submit("", jsonl(&asks)).await, stand.http.submit("", jsonl(&asks[..300])).await];
    stand.answered(ids[0], &asks).await;
    stand.answered(ids[1], &asks[..300]).await;
    let log = stand.log().await;
    let ends = log.events(ids[0]).await.iter().filter(|event| matches!(event, Event::JobEnded(_))).count();
    assert_eq!(ends, 1);
}
