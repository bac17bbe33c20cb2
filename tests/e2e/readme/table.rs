//! What each command of README must do. A command is known by how it begins.

/// A command that runs here, in README's order.
pub struct Run {
    pub begins: &'static str,
    pub code: i32,
    /// What its output holds; empty: it prints nothing.
    pub says: &'static str,
    /// Whether the job's id that it prints is the `<id>` of what follows.
    pub names: bool,
}

const fn run(begins: &'static str, says: &'static str) -> Run {
    Run { begins, code: 0, says, names: false }
}

const fn names(begins: &'static str, says: &'static str) -> Run {
    Run { begins, code: 0, says, names: true }
}

pub const SERVE: &str = "jetbatch serve --config config/jetbatch.toml";

pub const RUNS: [Run; 35] = [
    run("jetbatch run models/sample.jsonl > answers.jsonl", "778 completed"),
    names("jetbatch submit models/sample.jsonl --watch", "778 completed"),
    run("jetbatch status <id>", "completed"),
    run("jetbatch results <id> -o answers.jsonl", ""),
    run("jetbatch errors <id>", ""),
    run("jetbatch jobs", "completed"),
    run("jetbatch delete <id>", "is being removed"),
    run("seq 20000 | sed", ""),
    names("jetbatch submit prompts.jsonl", "-"),
    run("jetbatch pause <id>", "paused"),
    run("jetbatch deadline <id> 48h", "(in 1 d 23 h)"),
    run("jetbatch priority <id> low", "paused"),
    run("jetbatch resume <id>", "in_progress"),
    run("jetbatch cancel <id>", "cancel"),
    Run { code: 3, ..run("jetbatch status <id> --watch", "cancelled") },
    names("jetbatch retry <id>", "job "),
    run("jetbatch dead list", "nothing was given up"),
    run("jetbatch workers", "sound"),
    run("curl -X POST localhost:8800/jobs/<id>/pause", r#""paused""#),
    run("jetbatch nats context", "nats --context jetbatch stream ls"),
    run("nats --context jetbatch pub jobs.control", "Published"),
    names("curl -X POST localhost:8800/jobs -H", r#""validating""#),
    names("curl -X POST localhost:8800/start -H", r#""validating""#),
    run("curl localhost:8800/jobs/<id>", r#""object":"job""#),
    run("curl -N localhost:8800/jobs/<id>/events", r#""completed""#),
    run("curl localhost:8800/jobs/<id>/results", r#""custom_id":"prompt-1""#),
    run("nats --context jetbatch pub jobs.submit '{\"requests\"", "Published"),
    run("nats --context jetbatch pub jobs.submit '{\"id\"", "Published"),
    run("jetbatch status 018f4e2a-7c1b-7000-8000-0123456789ab --watch", "completed 1/1"),
    run("curl localhost:8800/healthz", "ok"),
    run("curl localhost:8800/readyz", r#""nats":"nats://127.0.0.1:"#),
    run("curl localhost:8800/metrics", "jetbatch_http_requests_total"),
    run("jetbatch doctor", "sync_interval"),
    run("jetbatch doctor --engine", "sequences are kept apart"),
    run("nats --context jetbatch kv get leases scheduler", "scheduler"),
];

/// A command that does not run here, and why.
pub const OMITTED: [(&str, &str); 11] = [
    ("sh deploy/demo.sh", "sets up and builds for minutes; the demo itself is run by cli.rs"),
    ("sh tests/run.sh", "is what runs this test"),
    ("cargo build --release -p jetbatch", "builds for minutes; what it builds is on PATH here"),
    ("export PATH=", "is for the reader's shell; the same programs are on PATH here"),
    ("docker run --rm", "needs docker, and shows a page"),
    ("sh tests/tools/build.sh jaeger", "builds for minutes; tests/run.sh does it"),
    (".tools/bin/jaeger-all-in-one", "takes seven ports of its own choice; jaeger.rs starts it on others"),
    ("curl 'http://127.0.0.1:16686/api/traces", "jaeger.rs runs it, where there is a Jaeger"),
    ("cargo run -p jetbatch-domain --release --example sim", "builds and runs for minutes"),
    ("sh tests/chaos.sh short", "builds and runs for minutes; CI does"),
    ("sh tests/fuzz/run.sh", "needs a fuzzing toolchain, and runs for as long as one likes"),
];
