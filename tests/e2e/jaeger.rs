//! The real Jaeger: a job is one trace there.
use crate::support::{Ask, LONG, Need, Plan, answer, assert_counts, completed, echoes, jsonl, skip};
use domain::traced;
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    time::Duration,
};
use testkit::{
    nats::free_port,
    process::{Jetbatch, Start},
    tool, wait_for,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPANS: [&str; 8] = [
    "submit jobs",
    "process submission",
    "schedule chunk",
    "queue chunk",
    "run chunk",
    "store result",
    "archive segment",
    "job",
];

#[tokio::test]
async fn jaeger_shows_a_job_as_one_trace() {
    let Some(binary) = binary("jaeger_shows_a_job_as_one_trace") else { return };
    let client = client();
    let (mut jaeger, ports) = up(&binary, &client).await;
    let query = format!("http://127.0.0.1:{}", ports[2]);
    for (port, protocol) in [(ports[0], "grpc"), (ports[1], "http")] {
        let trace = trace(port, protocol, &client, &query).await;
        assert_trace(&trace, protocol);
    }
    readme(&query).await;
    jaeger.kill9().await;
}

fn binary(test: &str) -> Option<OsString> {
    let binary = std::env::var_os("JETBATCH_TEST_JAEGER");
    if binary.is_none() {
        let why = "JETBATCH_TEST_JAEGER names no Jaeger; sh tests/tools/build.sh jaeger makes one";
        skip(Need::Jaeger, test, why);
    }
    binary
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// A Jaeger that answers. One of its seven ports may be taken by another test before it takes them: then it is
/// started once more.
async fn up(binary: &OsStr, client: &reqwest::Client) -> (Jetbatch, Vec<u16>) {
    loop {
        let (jaeger, ports) = start(binary);
        let query = format!("http://127.0.0.1:{}", ports[2]);
        let answers = wait_for("Jaeger", LONG, || async { client.get(&query).send().await.ok() });
        if tokio::time::timeout(Duration::from_secs(30), answers).await.is_ok() {
            return (jaeger, ports);
        }
    }
}

fn start(binary: &OsStr) -> (Jetbatch, Vec<u16>) {
    const FLAGS: [&str; 7] = [
        "--collector.otlp.grpc.host-port",
        "--collector.otlp.http.host-port",
        "--query.http-server.host-port",
        "--admin.http.host-port",
        "--query.grpc-server.host-port",
        "--collector.http-server.host-port",
        "--collector.grpc-server.host-port",
    ];
    let ports: Vec<u16> = FLAGS.iter().map(|_| free_port()).collect();
    let flags = FLAGS.iter().zip(&ports).map(|(flag, port)| format!("{flag}=127.0.0.1:{port}"));
    let start = Start::new(binary).env("OTEL_TRACES_SAMPLER", "always_off").args(flags);
    (start.args(["--memory.max-traces=1000", "--log-level=warn"]).spawn(), ports)
}

/// Runs a job with spans sent over one protocol, and gives what Jaeger knows of its trace.
async fn trace(port: u16, protocol: &str, client: &reqwest::Client, query: &str) -> Value {
    let telemetry = format!("[telemetry]\notlp_endpoint = 'http://127.0.0.1:{port}'\notlp_protocol = '{protocol}'");
    let stand = Plan::echo("", 4).with(&telemetry).start().await;
    let asks: Vec<Ask> = (0..16).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    // Each protocol has a trace of its own.
    let trace = TRACE.replace("0af7", if protocol == "grpc" { "0af7" } else { "0af8" });
    let request = stand.http.ndjson("", jsonl(&asks)).header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let id = answer(request).await.accepted();
    stand.answered(id, &asks).await;
    wait_for("the trace in Jaeger", LONG, || async {
        let found = answer(client.get(format!("{query}/api/traces/{trace}"))).await.body;
        let names = names(&found);
        SPANS.iter().all(|name| names.contains(*name)).then_some(found)
    })
    .await
}

/// What README says shows a trace does.
async fn readme(query: &str) {
    let commands = crate::readme::commands();
    let command = commands.iter().find(|command| command.contains("/api/traces")).unwrap();
    if tool("curl", "JETBATCH_TEST_CURL").is_none() {
        return skip(Need::Curl, "README's look at a trace", "there is no curl");
    }
    let mut curl = Start::new("/bin/sh").arg("-c").arg(command.replace("http://127.0.0.1:16686", query)).spawn();
    assert!(curl.exit(LONG).await.success(), "{}", curl.story());
    let found: Value = serde_json::from_str(&curl.stdout()).unwrap();
    assert!(names(&found).contains("submit jobs"), "{found}");
}

fn names(found: &Value) -> HashSet<String> {
    let spans = found["data"][0]["spans"].as_array().cloned().unwrap_or_default();
    spans.iter().map(|span| span["operationName"].as_str().unwrap().to_owned()).collect()
}

fn assert_trace(found: &Value, protocol: &str) {
    assert_eq!(found["data"].as_array().unwrap().len(), 1, "{protocol}");
    let spans = found["data"][0]["spans"].as_array().unwrap();
    let traces: HashSet<&str> = spans.iter().map(|span| span["traceID"].as_str().unwrap()).collect();
    assert_eq!(traces.len(), 1, "{protocol}");
    let services = found["data"][0]["processes"].as_object().unwrap();
    assert!(services.values().all(|process| process["serviceName"] == "jetbatch"), "{services:?}");
    assert_eq!(services.len(), 2, "head and worker: {services:?}");
}

const CHUNKS: usize = 600;
/// Of the job below, about: 256 chunks of four spans, and a few more.
const SPANS_MAX: usize = 1_400;
const BYTES_MAX: usize = 3 << 20;

/// Of a job of many chunks a part is seen; what failed, and what a killed worker left, is seen in any case.
#[tokio::test]
async fn a_huge_job_is_a_trace_that_can_be_read() {
    let Some(binary) = binary("a_huge_job_is_a_trace_that_can_be_read") else { return };
    let client = client();
    let (mut jaeger, ports) = up(&binary, &client).await;
    let find = || async { answer(client.get(format!("http://127.0.0.1:{}/api/traces/{TRACE}", ports[2]))).await.body };
    let telemetry = format!(
        "[telemetry]\notlp_endpoint = 'http://127.0.0.1:{}'\n[pools.tiny]\nchunk_requests = 2\n[pools.tiny.engine]\nkind = 'echo'\nslots = 8\n\
         echo = {{ delay_ms = 20, hang_while = 'hang', fail_containing = 'boom' }}\n",
        ports[0]
    );
    let soon = "[retry]\ninternal = { max = 3, split_from = 2 }";
    let mut stand = Plan::pools(telemetry).with(soon).start().await;
    let mut asks = echoes(2 * CHUNKS);
    asks[3].question = "boom".to_owned();
    let request = stand.http.ndjson("", jsonl(&asks)).header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    let id = answer(request).await.accepted();
    stand.midway(id, 200).await;
    std::fs::write(stand.path("hang"), "").unwrap();
    wait_for("a worker that has told all and hangs", LONG, || async {
        let before = completed(&stand.http.find(id).await?);
        let found = find().await;
        let is_told = !spans(&found).is_empty() && orphans(&found).is_empty();
        (is_told && before == completed(&stand.http.find(id).await?)).then_some(())
    })
    .await;
    stand.workers[0].kill9().await;
    std::fs::remove_file(stand.path("hang")).unwrap();
    stand.add_worker();
    let status = stand.end(id).await;
    assert_counts(&status, [2 * CHUNKS, 2 * CHUNKS - 1, 1, 0]);
    let found = wait_for("the trace in Jaeger", LONG, || async {
        Some(find().await).filter(|found| names(found).contains("job") && orphans(found).is_empty())
    })
    .await;
    assert_size(&found);
    assert_links(&found);
    jaeger.kill9().await;
}

fn spans(found: &Value) -> &[Value] {
    found["data"][0]["spans"].as_array().map_or(&[], Vec::as_slice)
}

fn named<'a>(found: &'a Value, name: &str) -> Vec<&'a Value> {
    spans(found).iter().filter(|span| span["operationName"] == name).collect()
}

fn tag<'a>(span: &'a Value, key: &str) -> &'a Value {
    let tags = span["tags"].as_array().unwrap();
    tags.iter().find(|tag| tag["key"] == key).map_or(&Value::Null, |tag| &tag["value"])
}

/// The ids that a span refers to in one way.
fn refers<'a>(span: &'a Value, way: &str) -> Vec<&'a str> {
    let all = span["references"].as_array().unwrap().iter().filter(|to| to["refType"] == way);
    all.map(|to| to["spanID"].as_str().unwrap()).collect()
}

/// Spans whose parent is nowhere; the client's own is not sent.
fn orphans(found: &Value) -> Vec<&Value> {
    let ids: HashSet<&str> = spans(found).iter().map(|span| span["spanID"].as_str().unwrap()).collect();
    let is_there = |id: &&str| ids.contains(id) || *id == "b7ad6b7169203331";
    spans(found).iter().filter(|span| !refers(span, "CHILD_OF").iter().all(is_there)).collect()
}

fn assert_size(found: &Value) {
    let count = |name| named(found, name).len();
    let sent = count("schedule chunk");
    let shown = traced::CHUNKS_MAX as usize;
    assert!((shown..shown + 40).contains(&sent), "{sent} of {CHUNKS} chunks");
    // Who was killed took with it what was not sent yet.
    assert!((shown - 60..shown + 80).contains(&count("run chunk")), "{} runs", count("run chunk"));
    assert_eq!((count("job"), count("process submission")), (1, 1));
    // The one of the only segment, and that of the job's files.
    assert!((1..=2).contains(&count("archive segment")), "{}", count("archive segment"));
    assert_eq!(tag(named(found, "job")[0], "jetbatch.requests"), &json!(2 * CHUNKS));
    assert!(spans(found).len() <= SPANS_MAX, "{} spans", spans(found).len());
    let bytes = found.to_string().len();
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}

/// A chunk's next attempt is linked to the one that failed, and the next delivery to that of the killed worker.
fn assert_links(found: &Value) {
    let ids = |why: &str| {
        let failed = named(found, "run chunk").into_iter().filter(|span| tag(span, "otel.status_description") == why);
        failed.map(|span| span["spanID"].as_str().unwrap()).collect::<HashSet<&str>>()
    };
    let linked = |name: &str, to: &HashSet<&str>| {
        let all = named(found, name).into_iter();
        all.filter(|span| refers(span, "FOLLOWS_FROM").iter().any(|id| to.contains(id))).count()
    };
    let (lost, broken) = (ids("worker_lost"), ids("internal"));
    assert!(!lost.is_empty(), "nothing was lost");
    assert_eq!(linked("run chunk", &lost), lost.len());
    assert!(broken.len() > 1 && linked("schedule chunk", &broken) > 0, "{} failed", broken.len());
    assert!(!traced_whole(1), "the request that fails is in a chunk that is seen anyway");
}

/// Whether a chunk of the job is seen whatever becomes of it.
fn traced_whole(chunk: u64) -> bool {
    chunk * traced::CHUNKS_MAX % (CHUNKS as u64) < traced::CHUNKS_MAX
}
