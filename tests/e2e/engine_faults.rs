//! An engine that fails makes the chunk come again, later each time; one that refuses has answered.
use crate::support::{Ask, LONG, Plan, Stand, assert_counts, jsonl, lines, message_count};
use domain::{Event, event::FaultClass};
use serde_json::Value;
use testkit::{
    process::{Signal, signal},
    wait_for,
};
use wire::{DeadChunk, Heartbeat, bucket, envelope, stream};

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

fn isolated(echo: &str) -> Plan {
    Plan::echo(echo, CHUNK as u32).env("JETBATCH__WORKER__ISOLATE", "on")
}

fn says(prefix: &str, count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("{prefix}{n}"), format!("say {n}"))).collect()
}

/// Where the engine has a process of its own, only that dies.
#[tokio::test]
async fn an_engine_that_dies_of_a_request_leaves_its_worker_alive() {
    let mut stand = isolated("delay_ms = 20, die_containing = 'fatal'").start().await;
    stand.workers_ready().await;
    let pid = stand.workers[0].pid();
    let asks = says("r", 400);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 20).await;
    let fatal = stand.http.submit("?completion_window=10s", jsonl(&[Ask::echo("f", "a fatal one")])).await;
    let died = stand.workers[0].line("the engine died; it is started again", LONG).await;
    assert!(died.contains("SIGABRT"), "{died}");
    stand.answered(id, &asks).await;

    let status = stand.end(fatal).await;
    assert_eq!(status["requests"]["completed"], 0, "{status}");
    let errors = lines(&stand.file(&status, "error_file").unwrap());
    assert_eq!(errors.iter().map(|line| &line["custom_id"]).collect::<Vec<_>>(), ["f"]);
    let more = says("m", 8);
    let id = stand.http.submit("", jsonl(&more)).await;
    stand.answered(id, &more).await;
    assert_eq!(stand.workers[0].pid(), pid);
    wait_for("a heartbeat that tells of it", LONG, || async {
        heartbeat(&stand).await.filter(|beat| beat.restarts > 0)
    })
    .await;
}

async fn heartbeat(stand: &Stand) -> Option<Heartbeat> {
    let workers = stand.log().await.js.get_key_value(bucket::WORKERS).await.ok()?;
    let beat = workers.get(format!("{}.w1", crate::support::MODEL)).await.ok()??;
    serde_json::from_slice(&beat).ok()
}

/// Whoever stops a service sends the signal to all its processes. The engine stays until its worker has drained.
#[tokio::test]
async fn a_worker_drains_with_its_engine() {
    let mut stand = isolated("delay_ms = 30").workers(2).start().await;
    stand.workers_ready().await;
    let asks = says("r", 400);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 50).await;
    let engine = engine_of(&stand);
    signal(engine, Signal::SIGTERM);
    signal(engine, Signal::SIGINT);
    stand.workers[0].term();
    assert!(stand.workers[0].exit(LONG).await.success());
    let said = stand.workers[0].stderr();
    assert!(!said.contains("hands back") && !said.contains("died"), "{}", stand.workers[0].story());
    let status = stand.answered(id, &asks).await;
    assert!(status["retries"].as_u64().unwrap() <= 1, "only the chunk on its way may come again: {status}");
    ended(engine).await;
}

#[tokio::test]
async fn an_engine_does_not_outlive_a_worker_that_is_killed() {
    let mut stand = isolated("hang_containing = 'endless'").start().await;
    stand.workers_ready().await;
    let done = says("r", 4);
    let id = stand.http.submit("", jsonl(&done)).await;
    stand.answered(id, &done).await;
    stand.http.submit("", jsonl(&[Ask::echo("e", "an endless one")])).await;
    wait_for("a request that runs", LONG, || async { heartbeat(&stand).await.filter(|beat| beat.busy > 0) }).await;
    let engine = engine_of(&stand);
    stand.workers[0].kill9().await;
    ended(engine).await;
}

/// The process of the first worker's engine: its child.
fn engine_of(stand: &Stand) -> u32 {
    let worker = stand.workers[0].pid().unwrap();
    let threads = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
    let of = |path: std::path::PathBuf| std::fs::read_to_string(path.join("children")).unwrap_or_default();
    let all: String = threads.map(|thread| of(thread.unwrap().path())).collect::<Vec<_>>().join(" ");
    all.split_whitespace().next().expect("the worker has a child").parse().unwrap()
}

async fn ended(pid: u32) {
    let look = || async move {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    wait_for("the end of the engine's process", LONG, look).await;
}
