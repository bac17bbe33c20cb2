//! The store in a bucket of a real S3 server, over HTTP.
use crate::support::{Ask, KEY, LONG, NoDelete, Plan, S3, SECRET, Stand, answer, completed, jsonl};
use domain::JobId;
use serde_json::{Value, json};
use testkit::{
    process::{Start, binary},
    wait_for,
};

/// 64 KiB a question: few requests make more than one segment, and an output of more than one part.
fn asks(count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("r{n}"), format!("say {n} {}", "x".repeat(64 << 10)))).collect()
}

async fn by_input(stand: &Stand, input: &str) -> JobId {
    answer(stand.http.post("/jobs").json(&json!({"input": input}))).await.accepted()
}

#[tokio::test]
async fn a_job_lives_in_a_bucket() {
    let Some(s3) = S3::start("a_job_lives_in_a_bucket").await else { return };
    let stand = s3.plan(Plan::echo("", 8)).start().await;
    let (uploaded, named) = (asks(300), asks(20));
    let file = stand.http.post("/files").header("Content-Type", "application/x-ndjson").body(jsonl(&uploaded));
    let file: Value = file.send().await.unwrap().json().await.unwrap();
    let upload = by_input(&stand, file["input"].as_str().unwrap()).await;
    s3.put("prompts.jsonl", &jsonl(&named));
    let url = by_input(&stand, &s3.input("prompts.jsonl")).await;

    let status = stand.answered(upload, &uploaded).await;
    let output = status["output"]["path"].as_str().unwrap();
    assert_parts(&s3, file["id"].as_str().unwrap());
    assert_parts(&s3, output);
    stand.answered(url, &named).await;
    let parts = s3.path(output).with_file_name("parts");
    let is_gone = || std::fs::read_dir(&parts).map_or(true, |mut files| files.next().is_none());
    wait_for("the parts to be gone", LONG, || async { is_gone().then_some(()) }).await;
    assert_silent(&stand);
}

#[tokio::test]
async fn an_input_that_is_not_in_the_bucket_is_named() {
    let Some(s3) = S3::start("an_input_that_is_not_in_the_bucket_is_named").await else { return };
    let stand = s3.plan(Plan::echo("", 8)).start().await;
    let id = by_input(&stand, &s3.input("none.jsonl")).await;
    let status = stand.end(id).await;
    assert_eq!(
        (&status["state"], &status["errors"][0]["code"]),
        (&"failed".into(), &"input_not_found".into()),
        "{status}"
    );
}

#[tokio::test]
async fn a_wrong_key_is_told_at_once() {
    const WRONG: &str = "the+wrong/secret";
    let Some(s3) = S3::start("a_wrong_key_is_told_at_once").await else { return };
    let stand = s3.plan(Plan::echo("", 8)).start().await;
    let start = Start::new(binary()).args(["serve", "--roles", "gateway", "--config"]).arg(stand.config());
    let start = start.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", WRONG);
    let mut head = start.env("NO_PROXY", "127.0.0.1").spawn();
    assert_eq!(head.exit(LONG).await.code(), Some(1), "{}", head.story());
    let told = head.stderr();
    let errors: Vec<&str> = told.lines().filter(|line| line.contains("SignatureDoesNotMatch")).collect();
    assert!(matches!(errors[..], [line] if line.contains("s3://batches")), "{told}");
    assert!(!told.contains(WRONG) && !told.contains('<'), "{told}");
}

/// What runs goes on while the bucket is away; what needs it waits, also a submission. An upload cannot wait.
#[tokio::test]
async fn the_bucket_goes_and_comes_back() {
    let Some(mut s3) = S3::start("the_bucket_goes_and_comes_back").await else { return };
    let mut stand = s3.plan(Plan::echo("delay_ms = 50", 4)).start().await;
    let (asks, named) = (asks(300), asks(4));
    s3.put("prompts.jsonl", &jsonl(&named));
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 20).await;
    s3.kill().await;
    assert_unfinished(&stand, id, &asks).await;
    let url = by_input(&stand, &s3.input("prompts.jsonl")).await;
    stand.head.line("a submission could not be handled; it is tried again", LONG).await;
    let ready = stand.http.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body["reasons"].to_string().contains("store"), "{ready:?}");
    assert_eq!(answer(stand.http.post("/files").body("{}\n")).await.status, 503);
    let without = stand.http.find(id).await.unwrap();
    assert_ne!(without["state"], "completed", "its output has no place: {without}");
    s3.restart().await;
    stand.answered(id, &asks).await;
    stand.answered(url, &named).await;
    assert_silent(&stand);
}

/// Slower than any patience: what asks it waits, and nothing else does.
#[tokio::test]
async fn a_bucket_that_hangs_only_takes_longer() {
    let Some(s3) = S3::start("a_bucket_that_hangs_only_takes_longer").await else { return };
    let stand = s3.plan(Plan::echo("delay_ms = 50", 4)).start().await;
    let asks = asks(300);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.midway(id, 20).await;
    s3.freeze();
    assert_unfinished(&stand, id, &asks).await;
    let not_ready = || async { Some(stand.http.get("/readyz").await).filter(|ready| ready.status == 503) };
    let ready = wait_for("the head to miss its store", LONG, not_ready).await;
    assert!(ready.body["reasons"].to_string().contains("store"), "{ready:?}");
    s3.thaw();
    let status = stand.answered(id, &asks).await;
    assert_eq!(status["retries"], 0, "{status}");
    assert_silent(&stand);
}

/// A usual hardening: work is done all the same, and what stays behind is said.
#[tokio::test]
async fn a_bucket_that_refuses_to_delete_keeps_what_it_holds_and_jobs_complete() {
    let Some(s3) = S3::start("a_bucket_that_refuses_to_delete").await else { return };
    let door = NoDelete::before(s3.port()).await;
    let mut stand = s3.plan_at(Plan::echo("", 8), door.port).start().await;
    let said = stand.head.line("refuses to delete", LONG).await;
    assert!(said.contains("AccessDenied") && said.contains("store.delete"), "{said}");
    let asks = asks(300);
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    assert_eq!(stand.http.get("/readyz").await.status, 200, "it stops no work");
    let mut doctor = Start::new(binary()).args(["doctor", "--config"]).arg(stand.config()).spawn();
    doctor.exit(LONG).await;
    assert!(doctor.stdout().contains("refuses to delete"), "{}", doctor.story());
    assert_silent(&stand);

    stand.tell("JETBATCH__STORE__DELETE", "never");
    let (accepting, _) = stand.second_head().await;
    assert!(!accepting.story().contains("refuses to delete"), "{}", accepting.story());
}

/// More than one request carried it.
fn assert_parts(s3: &S3, key: &str) {
    let asked = s3.asked(key);
    assert!(asked.iter().any(|line| line.contains("partNumber=2")), "{asked:#?}");
}

/// What was done to the store was done in the middle of the job.
async fn assert_unfinished(stand: &Stand, id: JobId, asks: &[Ask]) {
    let status = stand.http.find(id).await.unwrap();
    assert!(completed(&status) < asks.len() as u64, "too fast to be interrupted: {status}");
}

/// The keys are in no line that was said.
fn assert_silent(stand: &Stand) {
    let said = [stand.head.story(), stand.workers[0].story()].concat();
    assert!(!said.contains(SECRET), "{said}");
}
