//! What happens when there is no room, no store, no NATS or no end of clients: work waits or is told clearly why not,
//! and all goes on by itself.
use crate::support::{Ask, Disk, LONG, Log, Plan, Stand, answer, completed, echoes, jsonl, message_count};
use async_nats::jetstream::stream::Config;
use domain::{
    ChunkId, Event, JobId, Timestamp,
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
    socket.write_all(b"POST /files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
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

/// More connections than there are descriptors: work goes on, and probes are answered.
#[tokio::test]
async fn more_connect_than_there_are_descriptors() {
    let stand = Plan::echo("delay_ms = 20", 4).no_more_descriptors(256).start().await;
    let asks = echoes(200);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 8).await;
    let idle: Vec<_> = join_all((0..400).map(|_| connect(&stand.http.base))).await;
    let probe = async |path: &str| {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        client.get(format!("{}{path}", stand.http.base)).send().await.map(|answer| answer.status().as_u16()).ok()
    };
    for path in ["/healthz", "/metrics", "/readyz"] {
        wait_for("the probe's answer", LONG, || async { (probe(path).await == Some(200)).then_some(()) }).await;
    }
    // Idle ones are given up after a while; so many new ones take every place again.
    let refused = || async {
        let _idle = join_all((0..100).map(|_| connect(&stand.http.base))).await;
        (probe("/jobs").await == Some(503)).then_some(())
    };
    wait_for("a refusal of what is no probe", LONG, refused).await;
    let log = stand.log().await;
    let ended = || async { log.events(id).await.iter().any(|event| matches!(event, Event::JobEnded(_))).then_some(()) };
    wait_for("the job's end", LONG, ended).await;
    drop(idle);
    stand.answered(id, &asks).await;
    assert!(!stand.head.stderr().contains("Too many open files"), "{}", stand.head.story());
}

/// More event streams than there are places for: who comes too late is told so, and no other door is shut.
#[tokio::test]
async fn event_streams_have_a_bound_of_their_own() {
    testkit::process::raise_descriptors();
    let stand = Plan::echo("delay_ms = 20", 4).start().await;
    let (asks, base) = (echoes(400), stand.http.base.as_str());
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 8).await;
    stand.http.post(&format!("/jobs/{id}/pause")).send().await.unwrap();
    let feeds = join_all((0..2_100).map(|_| events(base, id))).await;
    let count = |code: &str| feeds.iter().filter(|(_, told)| told == code).count();
    assert_eq!((count("200"), count("503")), (1_024, 2_100 - 1_024));
    for path in ["/healthz", "/metrics", "/readyz"] {
        assert_eq!(stand.http.get(path).await.status, 200, "{path}");
    }
    let other = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(other, &asks).await;
    stand.http.post(&format!("/jobs/{id}/resume")).send().await.unwrap();
    stand.answered(id, &asks).await;
    drop(feeds);
}

/// An event stream that has begun.
async fn listen(base: &str, id: JobId) -> TcpStream {
    let (socket, code) = events(base, id).await;
    assert_eq!(code, "200");
    socket
}

/// Asks for an event stream, and gives the status that it was told.
async fn events(base: &str, id: JobId) -> (TcpStream, String) {
    let mut socket = connect(base).await;
    let request = format!("GET /jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    (socket, String::from_utf8_lossy(&head[9..]).into_owned())
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
        at: Timestamp::new(now_ms() + 3_600_000),
        chunk: ChunkId::new(0, 0),
        attempt: 1,
        worker: "elsewhen".to_owned(),
        class: FaultClass::Overloaded,
        reason: "too much to do".to_owned(),
        trust: None,
        others: 0,
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

/// A server that takes smaller messages than before: chunks and answers go in parts.
#[tokio::test]
async fn a_smaller_limit_of_messages_is_kept_to() {
    let mut stand = Plan::echo("", 100).start().await;
    stand.nats.reload("max_payload: 65536").await;
    let words =
        |n: u64| (0..150).map(move |word| format!("{:x} ", (n * 150 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let asks: Vec<Ask> = (0..200).map(|n| Ask::echo(format!("r{n}"), words(n).collect::<String>())).collect();
    let text = jsonl(&asks).replace("\"max_tokens\":16", "\"max_tokens\":100000");
    let id = stand.http.submit("", text).await;
    stand.answered(id, &asks).await;
}

/// What WORK does not take of one job is told in its status, and stops no other; when the cause is gone, it goes on.
#[tokio::test]
async fn a_job_whose_chunks_are_refused_stops_no_other() {
    const PUBLISH: &str = "publish: {deny: ['work.other.>']}";
    let pool =
        |name: &str| format!("[pools.{name}]\nchunk_requests = 8\n[pools.{name}.engine]\nkind = 'echo'\nslots = 8\n");
    let mut stand = Plan::pools(pool("tiny") + &pool("other")).start().await;
    let user = |permissions: &str| {
        format!(
            "authorization {{users: [{{user: any, password: any, permissions: {{{permissions}}}}}]}}\nno_auth_user: any"
        )
    };
    stand.nats.restart_with(&user(PUBLISH)).await;
    let asks = echoes(50);
    let other = stand.http.submit("", jsonl(&asks).replace("\"model\":\"tiny\"", "\"model\":\"other\"")).await;
    let stalled = stand.until(other, "words", |status| status["stalled"]["cause"].is_string()).await;
    let words = stalled["stalled"].to_string();
    assert!(words.contains("denies publishing to work.other") && stalled["eta"].is_null(), "{words}");
    assert_ne!(stalled["sla"], "on_track");
    let good = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(good, &asks).await;
    stand.nats.restart_with("").await;
    let status = stand.answered(other, &asks).await;
    assert!(status["stalled"].is_null(), "{status}");
}
