//! The same rows again: what has a good answer is taken over, and no engine sees it twice.
use crate::{
    cli::jetbatch,
    support::{Http, LONG, MODEL, Plan, Stand},
};
use domain::JobId;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use testkit::{
    process::{Jetbatch, Start, binary},
    wait_for,
};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A table with a column `text`.
fn table(path: &Path, texts: &[String]) {
    fs::write(path, format!("text\n{}\n", texts.join("\n"))).unwrap();
}

fn say(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|n| format!("say {n}")).collect()
}

/// Of each row its text and its answer.
fn rows(path: &Path) -> Vec<(String, Value)> {
    let row = |rows: &tables::Rows, at| Value::Object(rows.row(at).unwrap());
    let read = tables::open(path, &tables::Options::default()).unwrap();
    let rows = read.flat_map(|rows| (0..rows.count()).map(|at| row(&rows, at)).collect::<Vec<_>>());
    rows.map(|row| (row["text"].as_str().unwrap().to_owned(), row["response"].clone())).collect()
}

/// Every row once, in its order, with its own answer.
fn assert_whole(out: &Path, texts: &[String]) {
    let want: Vec<(String, Value)> = texts.iter().map(|text| (text.clone(), json!(text))).collect();
    assert_eq!(rows(out), want);
}

struct Case {
    stand: Stand,
    /// The worker's own door: what its engine has answered is counted there.
    worker: Http,
    input: PathBuf,
    out: PathBuf,
}

impl Case {
    async fn new(echo: &str, slots: u32) -> Self {
        let mut stand = Plan::echo(echo, slots).workers(0).start().await;
        stand.add_worker_with(&[("JETBATCH__WORKER__LISTEN", "127.0.0.1:0")]);
        let said = stand.workers[0].line("probes and metrics", LONG).await;
        let worker = Http::new(&format!("http://{}", said.split("address=").nth(1).unwrap().trim()));
        let (input, out) = (stand.path("in.csv"), stand.path("out.parquet"));
        Self { stand, worker, input, out }
    }

    fn args<'a>(&'a self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let url = self.stand.http.base.as_str();
        let own = [command, text(&self.input), "--prompt-column", "text", "--model", MODEL, "--url", url];
        own.into_iter().chain(more.iter().copied()).collect()
    }

    /// `run` into the table.
    async fn run(&self, more: &[&str]) -> Jetbatch {
        jetbatch(&self.args("run", &[&["-o", text(&self.out)], more].concat()), 0).await
    }

    /// Waits until the engine has answered so many requests; it must not be more.
    async fn engine_answered(&self, want: u64) {
        let counted = || async {
            let metrics = self.worker.text("/metrics").await;
            let lines = metrics.lines().filter(|line| line.starts_with("jetbatch_requests_total{"));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
        };
        wait_for("the metrics to know all answers", LONG, || async { (counted().await >= want).then_some(()) }).await;
        assert_eq!(counted().await, want);
    }

    async fn jobs(&self) -> Vec<Value> {
        self.stand.http.get("/jobs").await.body["data"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn the_same_command_again_runs_what_is_missing_and_nothing_else() {
    let case = Case::new(r#"refuse_containing = "boom""#, 8).await;
    let mut texts = say(0..300);
    table(&case.input, &texts);
    case.run(&["--limit", "100"]).await;
    case.engine_answered(100).await;
    let again = case.run(&[]).await;
    assert!(again.stderr().contains("100 rows taken over, 200 rows to run"), "{}", again.story());
    assert_whole(&case.out, &texts);
    case.engine_answered(300).await;
    // There is nothing to run, and no job.
    let nothing = case.run(&[]).await;
    assert!(nothing.stderr().contains("300 rows taken over\n"), "{}", nothing.story());
    assert_eq!(case.jobs().await.len(), 2);
    assert_whole(&case.out, &texts);

    // Rows come, go and move; one of them will never have an answer, and another is no request.
    texts.reverse();
    texts.drain(50..100);
    texts.splice(10..10, say(1_000..1_005));
    table(&case.input, &[texts.clone(), vec!["boom".to_owned(), "\"\"".to_owned()]].concat());
    let changed = case.run(&[]).await;
    let said = "250 rows taken over, 1 row with an error that is known, 6 rows to run";
    assert!(changed.stderr().contains(said), "{}", changed.story());
    case.engine_answered(306).await;
    let stubborn = case.run(&[]).await;
    let said = "255 rows taken over, 1 row with an error that is known, 1 row to run";
    assert!(stubborn.stderr().contains(said), "{}", stubborn.story());
    case.engine_answered(307).await;
    table(&case.input, &texts);
    case.run(&[]).await;
    assert_whole(&case.out, &texts);
    // Another parameter is another request; and so is whatever is asked for anew.
    let other = case.run(&["--seed", "1", "--limit", "20"]).await;
    assert!(other.stderr().contains("20 rows to run"), "{}", other.story());
    case.engine_answered(327).await;
    case.run(&["--seed", "1", "--limit", "20", "--fresh"]).await;
    case.engine_answered(347).await;
    assert!(!case.stand.path("out.parquet.jobs").exists());
}

#[tokio::test]
async fn a_job_that_was_cancelled_or_expired_is_resumed() {
    let case = Case::new("delay_ms = 25", 2).await;
    let texts = say(0..1_200);
    table(&case.input, &texts);
    let submit = |more: Vec<String>| {
        let case = &case;
        async move {
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            let told = jetbatch(&case.args("submit", &more), 0).await;
            told.stdout().trim().parse::<JobId>().unwrap()
        }
    };
    let first = submit(vec![]).await;
    case.stand.midway(first, 40).await;
    let early = jetbatch(&case.args("submit", &["--resume", &first.to_string()]), 2).await;
    assert!(early.stderr().contains("wait for its end, or cancel it"), "{}", early.story());
    jetbatch(&["cancel", &first.to_string(), "--url", &case.stand.http.base], 0).await;
    case.stand.end(first).await;
    let second = submit(vec!["--resume".into(), first.to_string(), "--window".into(), "2s".into()]).await;
    let expired = case.stand.end(second).await;
    assert_eq!((&expired["state"], &expired["metadata"]["resume_of"]), (&json!("expired"), &json!(first.to_string())));
    // The second names the first: the answers of both are there.
    let whole = case.run(&["--resume", &second.to_string()]).await;
    assert!(whole.stderr().contains("rows taken over"), "{}", whole.story());
    assert_whole(&case.out, &texts);
    let jobs = case.jobs().await;
    let count = |which: &str| jobs.iter().map(|job| job["requests"][which].as_u64().unwrap()).sum::<u64>();
    assert_eq!((jobs.len(), count("completed")), (3, 1_200), "{jobs:?}");

    // The jobs say it all, from anywhere: into another table, with nothing to run.
    let last = jobs.iter().find(|job| job["state"] == "completed").unwrap()["id"].as_str().unwrap().to_owned();
    let elsewhere = case.stand.path("elsewhere.csv");
    jetbatch(&case.args("run", &["-o", text(&elsewhere), "--resume", &last]), 0).await;
    assert_whole(&elsewhere, &texts);
    assert_eq!(case.jobs().await.len(), 3);
    // And so do tables: of one without the jobs, and of the plain answers of a job.
    let plain = case.stand.path("plain.csv");
    jetbatch(&["results", &last, "-o", text(&plain), "--url", &case.stand.http.base], 0).await;
    fs::remove_file(&case.out).unwrap();
    case.run(&["--resume", text(&elsewhere), "--resume", text(&plain)]).await;
    assert_whole(&case.out, &texts);
    jetbatch(&case.args("submit", &["--resume", text(&elsewhere)]), 0).await;
    assert_eq!(case.jobs().await.len(), 3);
    jetbatch(&case.args("run", &["--resume", &last]), 2).await;
    jetbatch(&case.args("submit", &["--resume", text(&case.input)]), 2).await;
    let unknown = jetbatch(&case.args("submit", &["--resume", "018f4e2a-7c1b-7000-8000-0123456789ab"]), 5).await;
    assert!(unknown.stderr().contains("nothing can be taken over from job 018f4e2a"), "{}", unknown.story());
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_with_its_job() {
    let case = Case::new("delay_ms = 25", 4).await;
    let texts = say(0..300);
    table(&case.input, &texts);
    let args = case.args("run", &["-o", text(&case.out)]);
    let mut run = Start::new(binary()).args(&args).env("NO_PROXY", "127.0.0.1").spawn();
    wait_for("the job to run", LONG, || async { run.stderr().contains("in_progress").then_some(()) }).await;
    run.kill9().await;
    assert!(!case.out.exists());
    let again = case.run(&[]).await;
    assert!(again.stderr().contains("which was begun before, is in_progress"), "{}", again.story());
    assert!(again.stderr().contains("300 rows taken over\n"), "{}", again.story());
    assert_whole(&case.out, &texts);
    assert_eq!(case.jobs().await.len(), 1);
    let left: Vec<String> = fs::read_dir(case.stand.path(""))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!left.iter().any(|name| name.starts_with("out.parquet.")), "{left:?}");
}
