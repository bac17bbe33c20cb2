//! Poison, a bad worker and a broken pool are told apart: what fails on a worker that fails with everything is held
//! against the worker.
use crate::{
    cli::jetbatch,
    support::{Ask, LONG, Plan, Stand, answer, assert_counts, completed, echoes, jsonl, message_count},
};
use domain::{Event, JobId};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};
use testkit::wait_for;
use wire::stream;

const SLOTS: u32 = 16;
const DELAY: &str = "JETBATCH__POOLS__TINY__ENGINE__ECHO__DELAY_MS";
const DYING: &str = "JETBATCH__POOLS__TINY__ENGINE__ECHO__DIE_WHILE";
const DIES: &str = "JETBATCH__POOLS__TINY__ENGINE__ECHO__DIE_CONTAINING";
const SHORT: &str = "JETBATCH__POOLS__TINY__ENGINE__ECHO__FAIL_LONGER";
const BROKEN: &str = "JETBATCH__POOLS__TINY__ENGINE__ECHO__FAIL_WHILE";

/// Requests of a scene: so many, where the environment does not say another number.
fn size(usual: usize) -> usize {
    std::env::var("JETBATCH_TEST_REQUESTS").map_or(usual, |count| count.parse().unwrap())
}

async fn dead(stand: &Stand) -> u64 {
    message_count(&stand.log().await.js, stream::DEAD).await
}

async fn timed(stand: &Stand, asks: &[Ask]) -> (JobId, Duration) {
    let began = Instant::now();
    let id = stand.http.submit("", jsonl(asks)).await;
    stand.answered(id, asks).await;
    (id, began.elapsed())
}

/// A job that waits says so, with cause and mend, within ten seconds: it has no ETA and is not on track.
async fn stalled(stand: &Stand, id: JobId, cause: &str) -> Value {
    let says = |status: &Value| status["stalled"]["cause"].as_str().is_some_and(|text| text.contains(cause));
    let look = || async { stand.http.find(id).await.filter(says) };
    let status = wait_for(cause, Duration::from_secs(10), look).await;
    assert_eq!((&status["eta"], &status["sla"]), (&Value::Null, &"stalled".into()), "{status}");
    assert!(!status["stalled"]["mend"].as_str().unwrap().is_empty(), "{status}");
    status
}

/// One worker fails with everything, and much faster than the other answers.
#[tokio::test]
async fn a_broken_worker_beside_a_good_one_takes_nothing_with_it() {
    let mut stand = Plan::echo("delay_ms = 50", SLOTS).workers(1).start().await;
    stand.workers_ready().await;
    let asks = echoes(size(3_000));
    timed(&stand, &asks[..100]).await;
    let (_, alone) = timed(&stand, &asks).await;
    stand.add_worker_with(&[(DELAY, "1"), (BROKEN, "/")]);
    stand.workers[1].line("worker ready", LONG).await;
    let (_, beside) = timed(&stand, &asks).await;
    println!("alone {alone:?}, beside a broken one {beside:?}");
    assert_eq!(dead(&stand).await, 0);
    let said = stand.workers[1].stderr();
    assert_eq!(said.matches("the worker is in quarantine").count(), 1, "{said}");
    assert!(beside < alone.mul_f64(1.2) + Duration::from_millis(500), "alone {alone:?}, beside {beside:?}");
}

/// One worker answers the one token that it is asked for after a failure, and fails with every real request, at once. What
/// fails on it alone speaks against it, and what fails on both is poison still.
#[tokio::test]
async fn a_worker_that_passes_its_controls_and_fails_at_work_takes_nothing_with_it() {
    let mut stand = Plan::echo("delay_ms = 50, fail_containing = 'boom'", SLOTS).workers(1).start().await;
    stand.add_worker_with(&[(DELAY, "0"), (SHORT, "4")]);
    stand.workers_ready().await;
    let mut asks = echoes(size(3_000));
    asks[7] = Ask::echo("bad", "boom");
    let id = stand.http.submit("", jsonl(&asks)).await;
    let why = in_state(&stand, "w2", "quarantined").await["why"].as_str().unwrap().to_owned();
    assert!(why.contains("was answered by others"), "{why}");
    let count = asks.len();
    assert_counts(&stand.end(id).await, [count, count - 1, 1, 0]);
    wait_for("its entry in DEAD", LONG, || async { (dead(&stand).await == 1).then_some(()) }).await;
    let alone = |event: &Event| match event {
        Event::ChunkFailed(failed) => failed.worker == "w1",
        _ => false,
    };
    let log = stand.log().await.events(id).await;
    let met = log.iter().filter(|event| alone(event)).count();
    assert!((1..=12).contains(&met), "poison is found after {met} failures of the good worker");
    assert_eq!(worker(&stand, "w1").await.unwrap()["state"], "sound");
}

/// All workers of a pool fail with everything, until they are mended.
#[tokio::test]
async fn a_broken_pool_waits_and_goes_on_when_it_is_mended() {
    let mut stand = Plan::echo("", SLOTS).workers(0).start().await;
    let broken = stand.path("broken");
    fs::write(&broken, "").unwrap();
    (0..2).for_each(|_| stand.add_worker_with(&[(BROKEN, broken.to_str().unwrap())]));
    let asks = echoes(size(2_000));
    let id = stand.http.submit("", jsonl(&asks)).await;
    for worker in &mut stand.workers {
        worker.line("the worker is in quarantine", Duration::from_secs(10)).await;
    }
    let status = stalled(&stand, id, "every worker of pool 'tiny' fails with whatever it is asked").await;
    assert!(status["stalled"]["cause"].as_str().unwrap().contains("all fails, as configured"), "{status}");
    assert_eq!((completed(&status), dead(&stand).await), (0, 0), "{status}");
    let ready = stand.http.get("/readyz").await;
    assert!(ready.status == 200 && ready.body["troubles"][0].as_str().unwrap().contains("pool 'tiny'"), "{ready:?}");
    fs::remove_file(&broken).unwrap();
    let status = stand.answered(id, &asks).await;
    assert_eq!((dead(&stand).await, &status["stalled"]), (0, &Value::Null));
    stand.workers[0].line("the worker is sound again", LONG).await;
}

/// What a broken pool owes at the deadline expires: nothing is given up, and DEAD stays empty.
#[tokio::test]
async fn a_broken_pool_lets_its_jobs_expire() {
    let mut stand = Plan::echo("", SLOTS).workers(0).start().await;
    let broken = stand.path("broken");
    fs::write(&broken, "").unwrap();
    stand.add_worker_with(&[(BROKEN, broken.to_str().unwrap())]);
    let id = stand.http.submit("?completion_window=12s", jsonl(&echoes(500))).await;
    stalled(&stand, id, "every worker of pool 'tiny' fails with whatever it is asked").await;
    let status = stand.end(id).await;
    assert_counts(&status, [500, 0, 0, 500]);
    assert_eq!((&status["state"], dead(&stand).await), (&"expired".into(), 0), "{status}");
    let errors = stand.file(&status, "error_file").unwrap();
    let says = |line: &str| line.contains("batch_expired") && line.contains("every worker of pool 'tiny' fails");
    assert!(errors.lines().all(says), "{:?}", errors.lines().next());
}

/// Poison among good requests is poison still, on a worker that was in quarantine, too.
#[tokio::test]
async fn poison_is_found_on_a_worker_that_was_bad() {
    let mut stand = Plan::echo("fail_containing = 'boom'", 4).workers(0).start().await;
    let broken = stand.path("broken");
    fs::write(&broken, "").unwrap();
    stand.add_worker_with(&[(BROKEN, broken.to_str().unwrap())]);
    let mut asks = echoes(200);
    asks[7] = Ask::echo("bad", "boom");
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.workers[0].line("the worker is in quarantine", LONG).await;
    fs::remove_file(&broken).unwrap();
    assert_counts(&stand.end(id).await, [200, 199, 1, 0]);
    wait_for("its entry in DEAD", LONG, || async { (dead(&stand).await == 1).then_some(()) }).await;
}

/// A worker whose process ends with whatever it is asked, and is started again each time, takes nothing with it.
#[tokio::test]
async fn a_worker_that_dies_again_and_again_blames_no_request() {
    let mut stand = Plan::echo("", 1).workers(0).start().await;
    let dying = stand.path("dying");
    fs::write(&dying, "").unwrap();
    let asks = echoes(4);
    let id = stand.http.submit("", jsonl(&asks)).await;
    for life in 0..12 {
        stand.add_worker_with(&[(DYING, dying.to_str().unwrap())]);
        assert!(!stand.workers[life].exit(LONG).await.success());
    }
    stalled(&stand, id, "pool 'tiny'").await;
    fs::remove_file(&dying).unwrap();
    stand.add_worker();
    stand.answered(id, &asks).await;
    let failed = |event: &Event| matches!(event, Event::ChunkFailed(_));
    assert!(!stand.log().await.events(id).await.iter().any(failed));
}

/// A worker passes its control, and its process ends in the middle of its work, again and again: the others do the work, it
/// is told of, and no request is blamed.
#[tokio::test]
async fn a_worker_that_dies_at_work_again_and_again_takes_nothing_with_it() {
    let mut stand = Plan::echo("delay_ms = 50", SLOTS).workers(1).start().await;
    stand.workers_ready().await;
    let asks = echoes(size(3_000));
    timed(&stand, &asks[..100]).await;
    let (_, alone) = timed(&stand, &asks).await;
    let id = stand.http.submit("", jsonl(&asks)).await;
    let began = Instant::now();
    // Each is the second worker, started again.
    let second = [("JETBATCH__WORKER__NAME", "w2"), (DELAY, "1"), (DIES, "say")];
    for life in 1..4 {
        stand.add_worker_with(&second);
        assert!(!stand.workers[life].exit(LONG).await.success());
    }
    stand.add_worker_with(&second);
    let bad = in_state(&stand, "w2", "quarantined").await;
    assert!(bad["why"].as_str().unwrap().contains("died one after the other"), "{bad}");
    stand.answered(id, &asks).await;
    let beside = began.elapsed();
    println!("alone {alone:?}, beside one that dies {beside:?}");
    assert_eq!(dead(&stand).await, 0);
    let failed = |event: &Event| matches!(event, Event::ChunkFailed(_));
    assert!(!stand.log().await.events(id).await.iter().any(failed));
}

/// What an operator told it stands when it is started again under its name; a drain was about the process.
#[tokio::test]
async fn a_worker_that_is_started_again_knows_what_it_was_told() {
    let mut stand = Plan::echo("", SLOTS).workers(1).start().await;
    stand.workers_ready().await;
    for (order, then) in [("drain", "sound"), ("quarantine", "set_aside"), ("trust", "sound")] {
        // It beats before it listens.
        let path = format!("/workers/w1/{order}");
        let tell = || async { (answer(stand.http.post(&path)).await.status == 200).then_some(()) };
        wait_for("it to hear", LONG, tell).await;
        let before = worker(&stand, "w1").await.unwrap()["started_at"].clone();
        stand.workers.pop().unwrap().kill9().await;
        stand.add_worker();
        // What the process before it told of itself says nothing.
        let anew = || async { worker(&stand, "w1").await.filter(|worker| worker["started_at"] != before) };
        let started = wait_for("it to beat again", LONG, anew).await;
        assert_eq!(started["state"], then, "{started}");
    }
}

/// A worker without a name takes that of the one that is gone.
#[tokio::test]
async fn a_worker_that_is_started_again_has_the_same_name() {
    let mut stand = Plan::echo("", 1).workers(0).start().await;
    for _ in 0..2 {
        stand.add_worker_with(&[("JETBATCH__WORKER__NAME", "")]);
    }
    stand.workers_ready().await;
    let names = |stand: &Stand| {
        let said = stand.workers.iter().map(|worker| worker.stderr());
        let name = |text: String| text.split("worker=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        said.map(name).collect::<Vec<_>>()
    };
    let before = names(&stand);
    assert!(before[0] != before[1] && before.iter().any(|name| name.ends_with("-tiny")), "{before:?}");
    stand.workers.remove(0).kill9().await;
    stand.add_worker_with(&[("JETBATCH__WORKER__NAME", "")]);
    stand.workers_ready().await;
    assert_eq!(names(&stand)[1], before[0]);
}

/// The pool that a job was planned for is gone from the configuration; it comes back.
#[tokio::test]
async fn a_job_of_a_pool_that_was_renamed_says_so_and_goes_on_when_it_is_back() {
    let mut stand = Plan::echo("delay_ms = 50", 1).start().await;
    let asks = echoes(400);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 10).await;
    stand.workers[0].kill9().await;
    let config = fs::read_to_string(stand.config()).unwrap();
    fs::write(stand.config(), config.replace("pools.tiny", "pools.small").replace("delay_ms = 50", "")).unwrap();
    stand.replace_head().await;
    stand.add_worker();
    stalled(&stand, id, "pool 'tiny' is not configured").await;
    let told = stand.head.stderr();
    assert!(told.contains("pool 'tiny' is not configured"), "the log says so, too: {told}");
    fs::write(stand.config(), config).unwrap();
    stand.replace_head().await;
    stand.add_worker();
    stand.answered(id, &asks).await;
}

/// Where all of a job fails and the workers are sound, the job is at fault: it holds, others go on.
#[tokio::test]
async fn a_job_of_which_all_fails_holds_and_others_go_on() {
    let stand = Plan::echo("fail_containing = 'boom'", SLOTS).start().await;
    let bad: Vec<Ask> = (0..500).map(|n| Ask::echo(format!("b{n}"), format!("boom {n}"))).collect();
    let id = stand.http.submit("", jsonl(&bad)).await;
    let held = wait_for("it to hold", LONG, || async {
        let status = stand.http.find(id).await?;
        status["stalled"]["cause"].as_str()?.contains("were given up and none was answered").then_some(status)
    })
    .await;
    let asks = echoes(200);
    stand.answered(stand.http.submit("", jsonl(&asks)).await, &asks).await;
    let lost = held["requests"]["failed"].as_u64().unwrap();
    assert!((16..=20).contains(&lost), "{held}");
    assert_eq!(stand.http.find(id).await.unwrap()["requests"]["failed"], lost);
    assert!(dead(&stand).await <= lost);
    stand.http.post(&format!("/jobs/{id}/cancel")).send().await.unwrap();
    assert_eq!(stand.end(id).await["state"], "cancelled");
}

/// A model that cannot be loaded ends its worker, which says why before.
#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_the_reason_that_its_jobs_tell() {
    let mut stand = Plan::echo("", SLOTS).workers(0).start().await;
    let asks = echoes(20);
    let id = stand.http.submit("", jsonl(&asks)).await;
    let mixed = [("JETBATCH__POOLS__TINY__ENGINE__CHECK", "on"), ("JETBATCH__POOLS__TINY__ENGINE__ECHO__MIX", "true")];
    stand.add_worker_with(&[mixed[0], mixed[1], (DELAY, "5")]);
    assert!(!stand.workers[0].exit(LONG).await.success());
    stalled(&stand, id, "the model of pool 'tiny' cannot be loaded; w1: ").await;
    let beats = stand.log().await.js.get_key_value(wire::bucket::WORKERS).await.unwrap();
    beats.purge("tiny.w1").await.unwrap();
    stand.replace_head().await;
    stand.head.line("the model of pool 'tiny' cannot be loaded; w1: ", Duration::from_secs(10)).await;
    stand.add_worker();
    stand.answered(id, &asks).await;
}

async fn worker(stand: &Stand, name: &str) -> Option<Value> {
    let page = stand.http.get("/workers").await.body;
    page["data"].as_array()?.iter().find(|worker| worker["name"] == name).cloned()
}

async fn in_state(stand: &Stand, name: &str, state: &str) -> Value {
    let look = || async { worker(stand, name).await.filter(|worker| worker["state"] == state) };
    wait_for(state, LONG, look).await
}

/// What became of the workers is seen at every door, and they do as they are told.
#[tokio::test]
async fn workers_are_seen_and_told() {
    let mut stand = Plan::echo("delay_ms = 20", SLOTS).start().await;
    stand.add_worker_with(&[(DELAY, "1"), (BROKEN, "/")]);
    stand.workers_ready().await;
    let asks = echoes(500);
    let id = stand.http.submit("", jsonl(&asks)).await;
    let bad = in_state(&stand, "w2", "quarantined").await;
    assert!(bad["why"].as_str().unwrap().contains("all fails, as configured"), "{bad}");
    assert_eq!((&bad["pool"], &bad["device"], &bad["slots"]), (&"tiny".into(), &"cpu".into(), &SLOTS.into()), "{bad}");
    stand.answered(id, &asks).await;
    let metrics = stand.http.text("/metrics").await;
    assert!(metrics.contains(r#"jetbatch_workers{pool="tiny",state="quarantined"} 1"#), "{metrics}");
    let js = stand.log().await.js;
    let alerts = js.get_stream(stream::ALERTS).await.unwrap();
    let alert = wait_for("an alert", LONG, || async {
        alerts.get_last_raw_message_by_subject("alert.worker.tiny.w2").await.ok()
    });
    let alert: Value = serde_json::from_slice(&alert.await.payload).unwrap();
    assert_eq!((&alert["worker"], &alert["state"], &alert["why"]), (&"w2".into(), &"quarantined".into(), &bad["why"]));

    let url = stand.http.base.as_str();
    let listed = jetbatch(&["workers", "--url", url], 0).await;
    assert!(listed.stdout().contains("quarantined") && listed.stdout().contains("w1"), "{}", listed.story());
    let drained = jetbatch(&["workers", "drain", "w1", "--url", url], 0).await;
    assert!(drained.stdout().contains("draining"), "{}", drained.story());
    let id = stand.http.submit("", jsonl(&asks)).await;
    stalled(&stand, id, "every worker of pool 'tiny'").await;
    let trusted = jetbatch(&["workers", "trust", "w1", "--url", url, "--json"], 0).await;
    let trusted: Value = serde_json::from_str(&trusted.stdout()).unwrap();
    assert_eq!(trusted["data"][0]["state"], "sound", "{trusted}");
    stand.answered(id, &asks).await;
    let aside = answer(stand.http.post("/workers/w1/quarantine")).await;
    assert_eq!((aside.status, &aside.body["data"][0]["state"]), (200, &"set_aside".into()), "{aside:?}");
    let none = answer(stand.http.post("/workers/nobody/drain")).await;
    assert_eq!((none.status, &none.body["error"]["code"]), (404, &"worker_not_found".into()), "{none:?}");
    jetbatch(&["workers", "drain", "nobody", "--url", url], 5).await;
}

/// A request that leaves its engine unusable is found, as one is that ends it.
#[tokio::test]
async fn a_request_that_ruins_its_engine_takes_no_others_with_it() {
    let echo = "delay_ms = 5, ruin_containing = 'ruin'";
    let stand = Plan::echo(echo, 4).env("JETBATCH__WORKER__ISOLATE", "on").start().await;
    let mut asks = echoes(60);
    asks[7] = Ask::echo("bad", "ruin");
    let id = stand.http.submit("", jsonl(&asks)).await;
    assert_counts(&stand.end(id).await, [60, 59, 1, 0]);
}
