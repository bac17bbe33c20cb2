//! How long `GET /jobs` takes: `cargo run --release --no-default-features --example list -- 6000 100`: so many jobs, and
//! so many of them listed, 500 times. It starts a nats-server and a door of its own.
#![allow(clippy::unwrap_used)]
use domain::{
    JobId, Tenant, Timestamp,
    event::{File, Priority, Usage},
    status::{Counts, Live, State, Status},
};
use futures::{StreamExt, stream};
use jetbatch::{
    bus::{Bus, Settings},
    config::Config,
    gateway,
    log::Feed,
    shared::Shared,
    troubles::Troubles,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::{StoredStatus, bucket};

const ROUNDS: usize = 500;

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap());
    let (jobs, limit) = (numbers.next().unwrap_or(6_000), numbers.next().unwrap_or(100));
    let (server, folder) = (testkit::nats::Server::start().await, tempfile::tempdir().unwrap());
    let settings = Settings { url: Some(server.url()), ..Settings::default() };
    let bus = Bus::connect(&settings, &jetbatch::streams::DECLARED, "list").await.unwrap();
    bus.apply_streams(&[]).await.unwrap();
    let bucket = bus.bucket(bucket::STATUS);
    let put = |n: u64| {
        let (bucket, stored) = (bucket.clone(), stored(n));
        async move { bucket.put(&stored.status.id.to_string(), serde_json::to_vec(&stored).unwrap()).await.unwrap() }
    };
    stream::iter(0..jobs).map(put).buffer_unordered(64).collect::<Vec<_>>().await;
    let config = Arc::new(Config { nats: settings, ..Config::default() });
    let store = Store::open(&store::Settings::local(folder.path())).unwrap();
    let metrics = Arc::default();
    let troubles = Troubles::open(&bus, &metrics, "list");
    let shared = Shared { config, bus, store, metrics, troubles, feed: Feed::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jobs?limit={limit}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let door = tokio::spawn(gateway::run(shared, listener, stop.clone()));
    let (times, bytes) = ask(&url).await;
    let at = |part: usize| times[part * (times.len() - 1) / 100].as_secs_f64() * 1e3;
    println!("{limit} of {jobs} jobs, {bytes} bytes: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    stop.cancel();
    door.await.unwrap().unwrap();
}

/// Times of an answer, sorted, and its bytes.
async fn ask(url: &str) -> (Vec<Duration>, usize) {
    let (http, mut times, mut bytes) = (reqwest::Client::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let began = Instant::now();
        let answer = http.get(url).send().await.unwrap().error_for_status().unwrap();
        bytes = answer.bytes().await.unwrap().len();
        // The first one waits until the jobs are known.
        if round > 0 {
            times.push(began.elapsed());
        }
    }
    times.sort_unstable();
    (times, bytes)
}

fn stored(n: u64) -> StoredStatus {
    let id = JobId::keyed("list", &n.to_string());
    let at = |ms: u64| Timestamp::new(1_700_000_000_000 + n + ms);
    let status = Status {
        id,
        tenant: Tenant::default(),
        state: State::Completed,
        fingerprint: "f".repeat(64),
        model: Some("tiny".into()),
        endpoint: None,
        priority: Priority::Normal,
        metadata: BTreeMap::from([("team".into(), "a".into())]),
        requests: Counts { total: 1_000, completed: 1_000, ..Counts::default() },
        usage: Usage { prompt: 40_000, completion: 20_000, cached: 0 },
        attempts: 32,
        retries: 0,
        submitted_at: at(0),
        validated_at: Some(at(20)),
        started_at: Some(at(40)),
        closing_at: None,
        ended_at: Some(at(9_000)),
        deadline: at(86_400_000),
        segments: 1,
        archived_prefix: 1,
        errors: Vec::new(),
        errors_total: 0,
        losses: 0,
        warnings: Vec::new(),
        output: Some(File { path: format!("jobs/{id}/output.jsonl"), bytes: 400_000 }),
        error_file: None,
        reason: None,
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        webhook_host: None,
    };
    let live = Live { requests_per_s: Some(111.6), tokens_per_s: Some(2_232.0), ..Live::default() };
    StoredStatus { v: 1, seq: n + 1, status, live }
}
