//! The real Jaeger: a job is one trace there.
use crate::support::{Ask, LONG, Need, Plan, answer, jsonl, skip};
use serde_json::Value;
use std::{collections::HashSet, ffi::OsStr, time::Duration};
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
    let Some(binary) = std::env::var_os("JETBATCH_TEST_JAEGER") else {
        skip(
            Need::Jaeger,
            "jaeger_shows_a_job_as_one_trace",
            "JETBATCH_TEST_JAEGER names no Jaeger; sh tests/tools/build.sh jaeger makes one",
        );
        return;
    };
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let (mut jaeger, ports) = up(&binary, &client).await;
    let query = format!("http://127.0.0.1:{}", ports[2]);
    for (port, protocol) in [(ports[0], "grpc"), (ports[1], "http")] {
        let trace = trace(port, protocol, &client, &query).await;
        assert_trace(&trace, protocol);
    }
    readme(&query).await;
    jaeger.kill9().await;
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
