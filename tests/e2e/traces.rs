//! One trace for each job, from the client's span to the job's end, over real OTLP.
use crate::support::{Ask, LONG, Plan, jsonl};
use serde_json::json;
use std::{collections::HashSet, net::TcpListener};
use testkit::otlp::{Received, Receiver};
use wire::{Message, Subject, trace};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const STATE: &str = "congo=t61rcWkgMzE,rojo=1";

fn context() -> String {
    format!("00-{TRACE}-{CLIENT}-01")
}

fn asks(count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect()
}

fn to(receiver: &Receiver) -> String {
    format!("[telemetry]\notlp_endpoint = '{}'", receiver.url())
}

fn named<'a>(spans: &'a [Received], name: &str) -> Vec<&'a Received> {
    spans.iter().filter(|span| span.name() == name).collect()
}

/// Spans of four chunks and of the job's end are there.
fn is_whole(spans: &[Received]) -> bool {
    let done = |name, count| named(spans, name).len() >= count;
    done("job", 1)
        && done("archive segment", 1)
        && done("run chunk", 4)
        && done("store result", 4)
        && done("process submission", 1)
}

#[tokio::test]
async fn a_job_is_one_trace_under_the_clients_span() {
    let receiver = Receiver::start().await;
    let stand = Plan::echo("", 4).with(&to(&receiver)).start().await;
    let asks = asks(16);
    let request = stand.http.ndjson("", jsonl(&asks)).header("traceparent", context()).header("tracestate", STATE);
    let id = crate::support::answer(request).await.accepted();
    let status = stand.answered(id, &asks).await;
    assert_eq!(status["trace_id"], TRACE);
    let spans = receiver.wait("the whole trace", LONG, |s| is_whole(s) && !named(s, "submit jobs").is_empty()).await;
    assert_tree(&spans);
    assert_states(&spans);
    assert_attributes(&spans);
}

/// submit -> process submission, schedule chunk -> queue chunk and run chunk -> store result, archive segment, job.
fn assert_tree(spans: &[Received]) {
    // Who looks at the job is in a trace of his own.
    let own = spans.iter().filter(|span| !span.name().starts_with("GET "));
    let strange: Vec<&str> = own.filter(|span| span.trace_id() != TRACE).map(Received::name).collect();
    assert!(strange.is_empty(), "spans outside the job's trace: {strange:?}");
    let ids = |name| named(spans, name).iter().map(|span| span.span_id()).collect::<HashSet<_>>();
    let parents = |name| named(spans, name).iter().map(|span| span.parent_id()).collect::<HashSet<_>>();
    let root = ids("submit jobs");
    assert_eq!(root.len(), 1);
    for below in ["process submission", "schedule chunk", "archive segment", "job"] {
        assert_eq!(parents(below), root, "{below}");
    }
    for below in ["queue chunk", "run chunk"] {
        assert_eq!(parents(below), ids("schedule chunk"), "{below}");
    }
    assert_eq!(parents("store result"), ids("run chunk"));
    let counts = ["schedule chunk", "queue chunk", "run chunk", "store result"].map(|name| named(spans, name).len());
    assert_eq!(counts, [4; 4]);
    assert_eq!((named(spans, "process submission").len(), named(spans, "job").len()), (1, 1));
    let top = named(spans, "submit jobs")[0].parent_id();
    let doors: HashSet<String> =
        spans.iter().filter(|span| span.parent_id() == CLIENT).map(Received::span_id).collect();
    assert!(top == CLIENT || doors.contains(&top), "the client's span is not the root");
}

/// What other tracers said of the trace goes along to its last span.
fn assert_states(spans: &[Received]) {
    let own = spans.iter().filter(|span| span.trace_id() == TRACE);
    let lost: Vec<&str> = own.filter(|span| span.trace_state() != STATE).map(Received::name).collect();
    assert!(lost.is_empty(), "spans without the client's tracestate: {lost:?}");
}

fn assert_attributes(spans: &[Received]) {
    for (name, want) in [
        ("submit jobs", &[("messaging.system", "nats"), ("messaging.operation.type", "send")][..]),
        ("process submission", &[("messaging.destination.name", "SUBMIT"), ("messaging.operation.type", "process")]),
        (
            "schedule chunk",
            &[("messaging.destination.name", "WORK"), ("jetbatch.pool", "tiny"), ("jetbatch.attempt", "1")],
        ),
        (
            "run chunk",
            &[("messaging.system", "nats"), ("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "echo")],
        ),
        ("run chunk", &[("gen_ai.request.model", "echo"), ("jetbatch.worker", "w1"), ("jetbatch.requests", "4")]),
        ("store result", &[("messaging.destination.name", "RESULTS")]),
        (
            "job",
            &[("jetbatch.outcome", "completed"), ("jetbatch.requests", "16"), ("jetbatch.requests.completed", "16")],
        ),
    ] {
        for span in named(spans, name) {
            for (key, value) in want {
                assert_eq!(span.attribute(key).as_deref(), Some(*value), "{name}: {key}");
            }
        }
    }
    for run in named(spans, "run chunk") {
        for key in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
            assert!(run.attribute(key).unwrap().parse::<u64>().unwrap() > 0, "{key}");
        }
        assert_eq!(run.resource("service.name").as_deref(), Some("jetbatch"));
        assert_eq!(run.resource("jetbatch.role").as_deref(), Some("worker"));
    }
}

#[tokio::test]
async fn the_nats_door_takes_a_trace_too() {
    let receiver = Receiver::start().await;
    let stand = Plan::echo("", 4).with(&to(&receiver)).start().await;
    let requests: Vec<_> = asks(16).iter().map(Ask::json).collect();
    let message = Message::new(Subject::Submit, json!({"requests": requests}).to_string());
    let log = stand.log().await;
    log.publish(trace::put(message.clone(), Some(&format!("{} {STATE}", context())))).await;
    let spans = receiver.wait("the whole trace", LONG, is_whole).await;
    assert!(spans.iter().all(|span| span.trace_id() == TRACE));
    assert_states(&spans);
    assert_eq!(named(&spans, "process submission")[0].parent_id(), CLIENT);

    // Without a client's span, the submission's own is the root.
    log.publish(message).await;
    let own = receiver.wait("the second trace", LONG, |s| is_whole(&others(s))).await;
    let own = others(&own);
    assert_eq!(own.iter().map(Received::trace_id).collect::<HashSet<_>>().len(), 1);
    let root = named(&own, "process submission")[0];
    assert_eq!(root.parent_id(), "");
    assert!(named(&own, "schedule chunk").iter().all(|span| span.parent_id() == root.span_id()));
}

fn others(spans: &[Received]) -> Vec<Received> {
    spans.iter().filter(|span| span.trace_id() != TRACE).cloned().collect()
}

/// An attempt after a failed one links to it.
#[tokio::test]
async fn attempts_are_linked() {
    let receiver = Receiver::start().await;
    let stand = Plan::echo("fail_containing = 'boom'", 4).with(&to(&receiver)).start().await;
    stand.http.submit("?completion_window=20s", jsonl(&[Ask::echo("a", "boom")])).await;
    let runs = |spans: &[Received]| spans.iter().filter(|span| span.name() == "schedule chunk").count();
    let failed = |spans: &[Received]| spans.iter().filter(|span| span.name() == "run chunk").count();
    let spans = receiver.wait("a second attempt", LONG, |s| runs(s) >= 2 && failed(s) >= 1).await;
    let second =
        spans.iter().find(|s| s.name() == "schedule chunk" && s.attribute("jetbatch.attempt").as_deref() == Some("2"));
    let links = second.expect("a second attempt").links();
    let first = named(&spans, "run chunk");
    let first = first.iter().find(|s| s.attribute("jetbatch.attempt").as_deref() == Some("1")).unwrap();
    assert_eq!(links, [(first.trace_id(), first.span_id())]);
}

/// Without an endpoint nothing leaves the process, also not to the places where collectors listen by custom.
#[tokio::test]
async fn nothing_is_sent_unasked() {
    let receiver = Receiver::start().await;
    let customary: Vec<TcpListener> =
        [4317, 4318].iter().filter_map(|port| TcpListener::bind(("127.0.0.1", *port)).ok()).collect();
    let disabled = Plan::echo("", 4).with(&to(&receiver)).env("OTEL_SDK_DISABLED", "true");
    for plan in [Plan::echo("", 4), disabled] {
        run(plan).await;
    }
    assert!(receiver.spans().is_empty());
    for listener in customary {
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "something was sent to {:?}", listener.local_addr());
    }
}

async fn run(plan: Plan) {
    let mut stand = plan.start().await;
    let asks = asks(8);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    // At its end a process sends what it still holds.
    stand.workers[0].term();
    stand.head.term();
    assert!(stand.workers[0].exit(LONG).await.success() && stand.head.exit(LONG).await.success());
}
