//! What happens when there is no room, no store, no NATS or no end of clients: work waits or is told clearly why not,
//! and all goes on by itself.
use crate::support::{Disk, LONG, Log, Plan, Stand, answer, completed, echoes, jsonl, message_count};
use async_nats::jetstream::stream::Config;
use domain::{
    ChunkId, Event, JobId, Millis,
    event::{ChunkFailed, FaultClass},
};
use futures::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::{wait_for, wait_until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wire::{Stream, envelope, stream};

/// The product's own retries are over soon, so that what comes after them is seen.
const SHORT: &str = "retry_s = 1";

/// Changes the limits of a stream while it is used.
async fn limit(log: &Log, name: Stream, set: impl FnOnce(&mut Config)) {
    let mut config = log.js.get_stream(name).await.unwrap().cached_info().config.clone();
    set(&mut config);
    log.js.update_stream(config).await.unwrap();
}

/// The answers wait at their workers: nothing fails, nothing is run twice.
#[tokio::test]
async fn results_are_full() {
    let mut stand = Plan::echo("delay_ms = 40", 8).nats(SHORT).workers(2).start().await;
    let asks = echoes(600);
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
    let (log, asks) = (stand.log().await, echoes(400));
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
    let asks = echoes(600);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 40).await;
    stand.nats.kill().await;
    let gone = Instant::now();
    let is_unready = || async { (stand.http.get("/readyz").await.status == 503).then_some(()) };
    wait_for("the head to say that it is not ready", LONG, is_unready).await;
    while gone.elapsed() < AWAY {
        assert_eq!(stand.http.get("/healthz").await.status, 200);
        for answer in [stand.http.get(&format!("/jobs/{id}")).await, answer(stand.http.ndjson("", jsonl(&asks))).await]
        {
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

/// An upload is told so and leaves nothing; what runs waits for room.
#[tokio::test]
async fn the_disk_is_full() {
    let Some(disk) = Disk::mount("the_disk_is_full", 16) else { return };
    let mut stand = disk.plan(Plan::echo("delay_ms = 40", 8)).start().await;
    let asks = echoes(300);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 40).await;
    let before = disk.files();
    disk.fill(2 << 20);
    for size in [3 << 20, 6 << 20] {
        refused(&stand, size).await;
    }
    // The door's probe of the store comes and goes.
    let is_as_before = || async { (disk.files() == before).then_some(()) };
    wait_for("what was refused to be gone", LONG, is_as_before).await;
    disk.fill(0);
    refused(&stand, 64 << 10).await;
    wait_for("what was refused to be gone", LONG, is_as_before).await;
    stand.head.lines("archiving is tried again", 2, LONG).await;
    assert_eq!(stand.http.find(id).await.unwrap()["state"], "finalizing");
    disk.clear();
    stand.answered(id, &asks).await;
    let other = stand.http.submit("", jsonl(&asks[..40])).await;
    stand.answered(other, &asks[..40]).await;
}

async fn refused(stand: &Stand, bytes: usize) {
    let answer = answer(stand.http.post("/files").body(vec![b'x'; bytes])).await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (507, &"storage_full".into()), "{bytes}: {answer:?}");
}

/// All places for uploads are taken by clients that send one byte a second; everything else goes on, and after a while
/// the places are free again.
#[tokio::test]
async fn uploads_trickle() {
    const PLACES: usize = 64;
    const TOO_MANY: usize = 8;
    let mut stand = Plan::echo("", 8).start().await;
    stand.make_room();
    let slow: Vec<_> = (0..PLACES + TOO_MANY).map(|_| tokio::spawn(trickle(stand.http.base.clone()))).collect();
    let sent_away = || async { slow.iter().filter(|upload| upload.is_finished()).count() };
    assert_eq!(wait_until(LONG, &TOO_MANY, sent_away).await, TOO_MANY);
    let upload = || answer(stand.http.post("/files").body("{}\n"));
    let busy = upload().await;
    assert_eq!((busy.status, &busy.body["error"]["code"]), (503, &json!("busy")));
    let requests: Vec<_> = echoes(8).iter().map(|ask| ask.json()).collect();
    let submitted = answer(stand.http.post("/jobs").json(&json!({"requests": requests}))).await;
    stand.answered(submitted.accepted(), &echoes(8)).await;
    wait_for("a place", LONG, || async { (upload().await.status == 201).then_some(()) }).await;
    let told: Vec<_> = join_all(slow).await.into_iter().map(Result::unwrap).collect();
    let with = |status: &str| told.iter().filter(|answer| answer.starts_with(status)).count();
    assert_eq!((with("HTTP/1.1 408 "), with("HTTP/1.1 503 ")), (PLACES, TOO_MANY), "{told:#?}");
}

/// Uploads a byte a second until it is answered, and gives the answer.
async fn trickle(base: String) -> String {
    let mut socket = connect(&base).await;
    socket.write_all(b"POST /files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
    let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        match tokio::time::timeout(Duration::from_secs(1), socket.read(&mut bytes)).await {
            Err(_) => drop(socket.write_all(b"x").await),
            Ok(Ok(0) | Err(_)) => return String::from_utf8_lossy(&answer).into_owned(),
            Ok(Ok(count)) => answer.extend_from_slice(&bytes[..count]),
        }
    }
}

async fn connect(base: &str) -> TcpStream {
    TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// A thousand that say nothing, two hundred that ask and two hundred that listen, over and over: who comes then is
/// answered soon, also where the system begins with few open files.
#[tokio::test]
async fn connections_are_many() {
    testkit::process::raise_descriptors();
    let stand = Plan::echo("", 8).descriptors(512).start().await;
    let asks = echoes(40);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    for _ in 0..3 {
        let idle: Vec<_> = join_all((0..1_000).map(|_| connect(&stand.http.base))).await;
        let feeds = join_all((0..200).map(|_| listen(&stand.http.base, id))).await;
        let asked = Instant::now();
        let answers = join_all((0..200).map(|_| stand.http.get("/jobs"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{:?}", answers.iter().find(|a| a.status != 200));
        let other = stand.http.submit("", jsonl(&asks)).await;
        stand.answered(other, &asks).await;
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        drop((idle, feeds));
    }
}

/// An event stream that has begun.
async fn listen(base: &str, id: JobId) -> TcpStream {
    let mut socket = connect(base).await;
    let request = format!("GET /jobs/{id}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    socket
}

/// A worker whose clock is an hour ahead tells of a failure: the chunk is tried again all the same, and not in an hour.
#[tokio::test]
async fn a_clock_is_an_hour_ahead() {
    let mut stand = Plan::echo("", 8).workers(0).start().await;
    let (log, asks) = (stand.log().await, echoes(8));
    let id = stand.http.submit("", jsonl(&asks)).await;
    let is_sent = || async { (message_count(&log.js, stream::WORK).await == 1).then_some(()) };
    wait_for("the chunk to be sent", LONG, is_sent).await;
    let failed = ChunkFailed {
        at: Millis::new(now_ms() + 3_600_000),
        chunk: ChunkId::new(0, 0),
        attempt: 1,
        worker: "elsewhen".to_owned(),
        class: FaultClass::Overloaded,
        reason: "too much to do".to_owned(),
    };
    log.publish(envelope::event(id, &Event::ChunkFailed(failed), None).id("elsewhen")).await;
    stand.until(id, "the failure to be known", |status| status["retries"] == 1).await;
    // What was sent before the failure would be run without any retry.
    log.js.get_stream(stream::WORK).await.unwrap().purge().await.unwrap();
    stand.add_worker();
    stand.answered(id, &asks).await;
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
