//! The command line as a person and a script use it.
use crate::support::{Ask, LONG, Plan, jsonl, lines};
use serde_json::Value;
use std::path::Path;
use testkit::{
    nats::free_port,
    process::{Jetbatch, Start, binary},
    wait_for,
};

/// Runs a command to its end; its exit code must be this. Gives what it printed.
pub async fn jetbatch(args: &[&str], code: i32) -> Jetbatch {
    end(Start::new(binary()).args(args), code).await
}

async fn end(start: Start, code: i32) -> Jetbatch {
    let mut command = start.env("NO_PROXY", "127.0.0.1").spawn();
    let ended = command.exit(LONG).await;
    assert_eq!(ended.code(), Some(code), "{}", command.story());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_job_from_submit_to_results() {
    let stand = Plan::echo("", 8).start().await;
    let asks: Vec<Ask> = (0..50).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let (input, output) = (stand.path("batch.jsonl"), stand.path("answers.jsonl"));
    std::fs::write(&input, jsonl(&asks)).unwrap();
    let url = stand.http.base.as_str();

    let watched =
        jetbatch(&["submit", text(&input), "--url", url, "--watch", "--metadata", "team=a", "--key", "k"], 0).await;
    assert!(watched.stdout().contains("50 completed"), "{}", watched.story());
    assert!(watched.stdout().contains("met"), "{}", watched.story());
    let again = jetbatch(&["submit", text(&input), "--url", url, "--metadata", "team=a", "--key", "k"], 0).await;
    let id = again.stdout().trim().to_owned();

    let status = jetbatch(&["status", &id, "--url", url, "--json"], 0).await;
    let status: Value = serde_json::from_str(&status.stdout()).unwrap();
    assert_eq!((&status["state"], &status["metadata"]["team"]), (&"completed".into(), &"a".into()));
    let listed = jetbatch(&["jobs", "--url", url], 0).await;
    assert!(listed.stdout().contains(&id), "{}", listed.story());

    jetbatch(&["results", &id, "--url", url, "-o", text(&output)], 0).await;
    crate::support::answers_in(&std::fs::read_to_string(&output).unwrap(), &asks);
    let printed = jetbatch(&["results", &id, "--url", url], 0).await;
    crate::support::answers_in(&printed.stdout(), &asks);
    let errors = jetbatch(&["errors", &id, "--url", url], 0).await;
    assert!(lines(&errors.stdout()).is_empty());

    // A link stays one, and a pipe a pipe.
    let (link, pipe, piped) = (stand.path("link.jsonl"), stand.path("pipe"), stand.path("piped.jsonl"));
    std::fs::write(&output, "").unwrap();
    std::os::unix::fs::symlink(&output, &link).unwrap();
    jetbatch(&["results", &id, "--url", url, "-o", text(&link)], 0).await;
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    crate::support::answers_in(&std::fs::read_to_string(&output).unwrap(), &asks);
    let script = format!("mkfifo {0} && cat {0} > {1}", text(&pipe), text(&piped));
    let mut reader = Start::new("sh").args(["-c", &script]).spawn();
    wait_for("the pipe", LONG, || async { pipe.exists().then_some(()) }).await;
    jetbatch(&["results", &id, "--url", url, "-o", text(&pipe)], 0).await;
    assert_eq!(reader.exit(LONG).await.code(), Some(0), "{}", reader.story());
    crate::support::answers_in(&std::fs::read_to_string(&piped).unwrap(), &asks);
}

/// The answers stand in the file before the job has ended, and at the end each once, over a restart of the server.
#[tokio::test]
async fn a_run_prints_answers_as_they_come() {
    let mut stand = Plan::echo("delay_ms = 2", 4).start().await;
    stand.tell("JETBATCH__HTTP__LISTEN", &format!("127.0.0.1:{}", free_port()));
    stand.replace_head().await;
    let asks: Vec<Ask> = (0..25_000).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    let (input, output) = (stand.path("batch.jsonl"), stand.path("answers.jsonl"));
    std::fs::write(&input, jsonl(&asks)).unwrap();
    let script =
        format!("exec {} run {} --url {} > {}", binary().display(), text(&input), stand.http.base, text(&output));
    let mut run = Start::new("sh").args(["-c", &script]).env("NO_PROXY", "127.0.0.1").spawn();
    let printed = || std::fs::read_to_string(&output).map(|text| text.lines().count()).unwrap_or_default();
    wait_for("the first answers", LONG, || async { (printed() > 0).then_some(()) }).await;
    assert!(printed() < asks.len(), "it printed at the end only");
    stand.replace_head().await;
    assert_eq!(run.exit(LONG).await.code(), Some(0), "{}", run.story());
    crate::support::answers_in(&std::fs::read_to_string(&output).unwrap(), &asks);
    assert!(run.stderr().contains("25,000 completed"), "{}", run.story());
}

#[tokio::test]
async fn a_run_tells_what_became_of_it() {
    let stand = Plan::echo(r#"refuse_containing = "no way""#, 8).start().await;
    let url = stand.http.base.as_str();
    let (bad, mixed, errors) = (stand.path("bad.jsonl"), stand.path("mixed.jsonl"), stand.path("errors.jsonl"));
    std::fs::write(&bad, "{\n").unwrap();
    let failed = jetbatch(&["run", text(&bad), "--url", url], 3).await;
    assert!(failed.stderr().contains("line 1") && failed.stdout().is_empty(), "{}", failed.story());

    let mut asks: Vec<Ask> = (0..30).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect();
    std::fs::write(&mixed, jsonl(&[vec![Ask::echo("no", "no way")], asks.clone()].concat())).unwrap();
    let run = jetbatch(&["run", text(&mixed), "--url", url, "--errors", text(&errors), "--limit", "11"], 0).await;
    asks.truncate(10);
    crate::support::answers_in(&run.stdout(), &asks);
    assert!(std::fs::read_to_string(&errors).unwrap().contains("\"no\""), "{}", run.story());
    let elsewhere = jetbatch(&["run", "s3://bucket/x.jsonl", "--limit", "3", "--url", url], 3).await;
    assert!(elsewhere.stderr().contains("intake.url_prefixes"), "{}", elsewhere.story());
}

#[tokio::test]
async fn an_interrupted_run_leaves_the_job() {
    let stand = Plan::echo("delay_ms = 100", 2).start().await;
    let input = stand.path("batch.jsonl");
    let asks: Vec<Ask> = (0..2_000).map(|n| Ask::echo(format!("r{n}"), "say")).collect();
    std::fs::write(&input, jsonl(&asks)).unwrap();
    let mut run = Start::new(binary())
        .args(["run", text(&input), "--url", &stand.http.base])
        .env("NO_PROXY", "127.0.0.1")
        .spawn();
    wait_for("the job to run", LONG, || async { run.stderr().contains("in_progress").then_some(()) }).await;
    run.interrupt();
    assert_eq!(run.exit(LONG).await.code(), Some(7), "{}", run.story());
    let id = run.stderr().lines().find_map(|line| line.strip_prefix("job ").map(str::to_owned)).unwrap();
    let status = jetbatch(&["status", &id, "--url", &stand.http.base], 0).await;
    assert!(status.stdout().contains("in_progress"), "{}", status.story());
}

#[tokio::test]
async fn exit_codes_mean_something() {
    let stand = Plan::echo("delay_ms = 200", 2).start().await;
    let url = stand.http.base.as_str();
    let (bad, good) = (stand.path("bad.jsonl"), stand.path("good.jsonl"));
    std::fs::write(&bad, "{\n").unwrap();
    let asks: Vec<Ask> = (0..200).map(|n| Ask::echo(format!("r{n}"), "say")).collect();
    std::fs::write(&good, jsonl(&asks)).unwrap();

    let failed = jetbatch(&["submit", text(&bad), "--url", url, "--watch"], 3).await;
    assert!(failed.stdout().contains("line 1"), "{}", failed.story());
    assert!(failed.stderr().contains("failed"), "{}", failed.story());
    let id = jetbatch(&["submit", text(&good), "--url", url, "--key", "k"], 0).await.stdout().trim().to_owned();
    jetbatch(&["cancel", &id, "--url", url], 0).await;
    jetbatch(&["status", &id, "--url", url, "--watch"], 3).await;
    let conflict = jetbatch(&["submit", text(&bad), "--url", url, "--key", "k"], 5).await;
    assert!(conflict.stderr().contains("another body"), "{}", conflict.story());
    jetbatch(&["status", "018f4e2a-7c1b-7000-8000-0123456789ab", "--url", url], 5).await;
    jetbatch(&["status", "17", "--url", url], 2).await;
    jetbatch(&["submit", "/no/such/file", "--url", url], 1).await;

    let nobody = format!("http://127.0.0.1:{}", free_port());
    let unreachable = jetbatch(&["jobs", "--url", &nobody], 4).await;
    assert!(unreachable.stderr().contains(&nobody), "{}", unreachable.story());
}

/// As a debugger reads it: every event of the job, in order, from the first to the last.
/// As where `tee` was killed, or a disk is full.
#[tokio::test]
async fn a_command_goes_on_where_nobody_reads_what_it_says() {
    let stand = Plan::echo("", 8).start().await;
    let asks = [Ask::echo("a".to_owned(), "say a".to_owned())];
    let (input, output) = (stand.path("batch.jsonl"), stand.path("answers.jsonl"));
    std::fs::write(&input, jsonl(&asks)).unwrap();
    let unheard = |words: String| {
        let script = format!("exec {} {words} --url {} 2> /dev/full", binary().display(), stand.http.base);
        Start::new("sh").args(["-c", &script])
    };
    end(unheard("status 018f4e2a-7c1b-7000-8000-0123456789ab".to_owned()), 5).await;
    end(unheard(format!("run {} > {}", text(&input), text(&output))), 0).await;
    crate::support::answers_in(&std::fs::read_to_string(&output).unwrap(), &asks);
}

#[tokio::test]
async fn what_the_server_would_refuse_is_found_before() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("batch.jsonl");
    let asks = ["a", "b", "a"].map(|id| Ask::echo(id.to_owned(), format!("say {id}")));
    std::fs::write(&file, jsonl(&asks)).unwrap();
    let twice = jetbatch(&["validate", text(&file)], 1).await;
    assert!(twice.stdout().contains("row 3: its custom_id is row 1's, too"), "{}", twice.story());
    let table = dir.path().join("table.csv");
    std::fs::write(&table, "id,text\na,1\nb,2\na,3\n").unwrap();
    let twice = jetbatch(&["validate", text(&table), "--prompt-column", "text", "--id-column", "id"], 1).await;
    assert!(twice.stdout().contains("row 3: its custom_id is row 1's, too"), "{}", twice.story());
    jetbatch(&["validate", text(&table), "--prompt-column", "text"], 0).await;
    let piped = format!("exec {} validate - < {}", binary().display(), text(&file));
    let piped = end(Start::new("sh").args(["-c", &piped]), 1).await;
    assert!(piped.stdout().contains("rows       3"), "{}", piped.story());
    assert!(piped.stdout().contains("row 3: its custom_id is row 1's, too"), "{}", piped.story());
    std::fs::write(&file, "").unwrap();
    let empty = jetbatch(&["validate", text(&file)], 2).await;
    assert!(empty.stderr().contains("batch.jsonl has no row that names a column"), "{}", empty.story());
}

#[tokio::test]
async fn the_log_is_saved_event_by_event() {
    let stand = Plan::echo("", 8).start().await;
    let asks: Vec<Ask> = (0..20).map(|n| Ask::echo(format!("r{n}"), format!("text {n}"))).collect();
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.end(id).await;
    let config = stand.config();
    let job = id.to_string();
    for args in [vec!["log", "--config", text(&config)], vec!["log", "--job", &job, "--config", text(&config)]] {
        let saved = jetbatch(&args, 0).await;
        let events: Vec<_> = saved.stdout().lines().map(|line| wire::saved::read(line).unwrap()).collect();
        assert_eq!(events.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), stand.log().await.events(id).await);
    }
    let none = jetbatch(&["log", "--job", "018f4e2a-7c1b-7000-8000-0123456789ab", "--config", text(&config)], 0).await;
    assert_eq!(none.stdout(), "");
}

#[tokio::test]
async fn streams_and_doctor_say_how_nats_stands() {
    let mut stand = Plan::echo("", 8).start().await;
    let config = stand.config();
    jetbatch(&["streams", "check", "--config", text(&config)], 0).await;
    // Who starts creates what is missing, the head and each worker: none may still be about to.
    stand.head.kill9().await;
    for worker in &mut stand.workers {
        worker.kill9().await;
    }
    stand.log().await.js.delete_stream(wire::stream::ALERTS).await.unwrap();
    let missing = jetbatch(&["streams", "check", "--config", text(&config)], 1).await;
    assert!(missing.stdout().contains(wire::stream::ALERTS.as_str()), "{}", missing.story());
    jetbatch(&["streams", "apply", "--config", text(&config)], 0).await;
    jetbatch(&["streams", "check", "--config", text(&config)], 0).await;
    let doctor = Start::new(binary()).args(["doctor", "--json", "--config"]).arg(&config);
    let mut doctor = doctor.spawn();
    doctor.exit(LONG).await;
    let found: Value = serde_json::from_str(&doctor.stdout()).unwrap_or_else(|_| panic!("{}", doctor.story()));
    assert!(found.to_string().contains("sync_interval"), "{found}");
}

async fn demo(args: &[&str]) {
    let data = tempfile::tempdir().unwrap();
    let models = crate::support::root().join("models");
    // The demo looks for nats-server on PATH.
    let server = testkit::nats::binary().parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(server).chain(std::env::split_paths(&path))).unwrap();
    let start =
        Start::new(binary()).arg("demo").args(args).arg("--data").arg(data.path()).arg("--model-dir").arg(models);
    let demo = end(start.env("PATH", path), 0).await;
    let said = demo.stdout();
    assert!(said.contains("778 of 778 answers are right, each exactly once, in input order"), "{}", demo.story());
    assert!(said.contains(" nats context && nats --context jetbatch pub jobs.submit ..."), "{}", demo.story());
    let file = said.lines().find_map(|line| line.strip_prefix("answers")).unwrap().trim();
    let file = file.split(" (").next().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 778);
}

#[tokio::test]
async fn the_demo_runs_with_the_echo_engine() {
    demo(&["--engine", "echo"]).await;
}

#[tokio::test]
async fn the_demo_runs_with_the_bundled_model() {
    if crate::support::is_echo() {
        crate::support::skip(
            crate::support::Need::Model,
            "the_demo_runs_with_the_bundled_model",
            "JETBATCH_TEST_ENGINE is echo",
        );
        return;
    }
    demo(&[]).await;
}
