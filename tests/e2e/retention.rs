//! What is kept, for how long, and that nothing else is: after a thousand jobs a test counts.
use crate::{
    cli::jetbatch,
    support::{Answer, Ask, LONG, Log, MODEL, Plan, Stand, answer, jsonl, message_count, subjects},
};
use domain::{
    ChunkId, Event, JobId,
    command::{CommandKind, JobCommand},
    event::Input,
};
use futures::{StreamExt, stream as streams};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};
use testkit::{wait_for, wait_until};
use wire::{Message, Subject, stream};

const JOBS: usize = 1_000;
const AT_ONCE: usize = 24;

fn asks(count: usize, last: &str) -> Vec<Ask> {
    let question = |n| if n + 1 == count { format!("say {n} {last}") } else { format!("say {n}") };
    (0..count).map(|n| Ask::echo(format!("r{n}"), question(n))).collect()
}

fn inline(asks: &[Ask]) -> Value {
    json!({"requests": asks.iter().map(Ask::json).collect::<Vec<_>>()})
}

/// Every file in the store, by its path there, but the log's snapshots and the id, which are no job's.
fn files(stand: &Stand) -> BTreeSet<String> {
    let root = stand.path("store");
    let (mut found, mut open) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.extend((path != root.join("snapshots")).then_some(path));
            } else if path == root.join("installation.json") {
                continue;
            } else {
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

async fn command(log: &Log, kind: CommandKind, job: JobId) {
    let command = JobCommand::new(kind, job);
    log.publish(Message::new(Subject::Control, serde_json::to_vec(&command).unwrap())).await;
}

/// One of the thousand, to its end. Its status, and whether it was deleted.
async fn live(stand: &Stand, log: &Log, n: usize) -> (JobId, Value, bool) {
    let asks = asks(1 + n / 10 % 5, if n % 10 == 8 { "boom" } else { "" });
    let id = match n % 10 {
        0..=2 | 8 => stand.http.submit("", jsonl(&asks)).await,
        3 => answer(stand.http.post("/jobs").json(&inline(&asks))).await.accepted(),
        4 | 5 | 9 => {
            let id = JobId::new(uuid::Uuid::now_v7());
            let mut body = inline(&asks);
            body["id"] = json!(id);
            log.publish(Message::new(Subject::Submit, body.to_string())).await;
            id
        }
        6 => {
            let id = stand.http.submit("", jsonl(&asks)).await;
            command(log, CommandKind::Cancel, id).await;
            id
        }
        _ => stand.http.submit("", "{\n").await,
    };
    let status = stand.end(id).await;
    let is_deleted = n % 10 == 9 || n.is_multiple_of(7);
    match is_deleted {
        true if n.is_multiple_of(2) => command(log, CommandKind::Delete, id).await,
        true => assert_eq!(stand.http.delete(id).await.status, 202),
        false => {}
    }
    (id, status, is_deleted)
}

/// What the store is to hold of the jobs that are there.
async fn expected(log: &Log, jobs: &BTreeMap<JobId, Value>) -> BTreeSet<String> {
    let named = |status: &Value, file: &str| status[file]["path"].as_str().map(str::to_owned);
    let outputs = jobs.values().flat_map(|status| [named(status, "output"), named(status, "error_file")]).flatten();
    let mut files: BTreeSet<String> = outputs.collect();
    for (id, event) in log.lifecycles().await {
        if jobs.get(&id).is_none_or(|status| status["state"] == "failed") {
            continue;
        }
        match event {
            Event::JobPlanned(planned) => drop(files.insert(planned.input)),
            Event::JobSubmitted(submitted) => match submitted.input {
                Input::Stored(path) => drop(files.insert(path)),
                Input::Inline | Input::Url(_) => {}
            },
            _ => {}
        }
    }
    files
}

/// What crashes, other heads and late workers leave.
async fn litter(stand: &Stand, log: &Log, ended: JobId, deleted: JobId) {
    let store = stand.path("store");
    let put = |path: &str| {
        let path = store.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "left").unwrap();
        path
    };
    for path in [
        format!("jobs/{ended}/parts/0000000000.output.jsonl"),
        format!("jobs/{deleted}/output.jsonl"),
        format!("uploads/{}.jsonl", uuid::Uuid::from_u128(7)),
    ] {
        put(&path);
    }
    let cut = put(&format!("jobs/{ended}/output.jsonl#1"));
    let old = SystemTime::now() - Duration::from_secs(2 * 86_400);
    fs::File::options().write(true).open(cut).unwrap().set_modified(old).unwrap();
    let chunk = ChunkId::new(0, 0);
    for job in [ended, deleted] {
        log.publish(Message::new(Subject::Result { job, chunk }, "late")).await;
        log.publish(Message::new(Subject::InputPart { job, chunk, part: 0, pool: MODEL.parse().unwrap() }, "late"))
            .await;
    }
}

#[tokio::test]
async fn after_a_thousand_jobs_nothing_is_left_but_what_is_theirs() {
    let quick = "[retry]\ninternal = { delay_ms = 1, longest_ms = 10 }";
    let mut stand = Plan::echo("fail_containing = 'boom'", 8).with(quick).start().await;
    let log = stand.log().await;
    let lives = streams::iter(0..JOBS).map(|n| live(&stand, &log, n)).buffer_unordered(AT_ONCE);
    let all: Vec<(JobId, Value, bool)> = lives.collect().await;
    assert_eq!(all.iter().map(|(id, ..)| id).collect::<BTreeSet<_>>().len(), JOBS);
    let deleted: BTreeSet<JobId> = all.iter().filter(|job| job.2).map(|job| job.0).collect();
    let jobs: BTreeMap<JobId, Value> = all.into_iter().filter(|job| !job.2).map(|job| (job.0, job.1)).collect();
    // On a fast machine every job may be done before its cancel comes.
    for state in ["completed", "failed"] {
        assert!(jobs.values().any(|status| status["state"] == state), "no job is {state}");
    }

    // Every deletion is one fact, and the facts stay.
    wait_for("the deletions", LONG, || async { (tombstones(&log).await.len() >= deleted.len()).then_some(()) }).await;
    let told = tombstones(&log).await;
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), deleted);
    assert_eq!(told.len(), deleted.len(), "a job was deleted twice");

    let ended = *jobs.iter().find(|(_, status)| status["state"] == "completed").unwrap().0;
    stand.head.kill9().await;
    litter(&stand, &log, ended, *deleted.first().unwrap()).await;
    for (name, value) in [("UPLOADS", "1s"), ("SWEEP_S", "1")] {
        stand.tell(&format!("JETBATCH__RETENTION__{name}"), value);
    }
    stand.new_head().await;

    let expected = expected(&log, &jobs).await;
    assert_eq!(wait_until(LONG, &expected, || async { files(&stand) }).await, expected);
    for stream in [stream::WORK, stream::RESULTS] {
        assert_eq!(wait_until(LONG, &0, || message_count(&log.js, stream)).await, 0, "{stream}");
    }
    let poisoned: BTreeSet<JobId> =
        jobs.iter().filter(|(_, s)| s["requests"]["failed"] == 1).map(|(id, _)| *id).collect();
    assert!(poisoned.len() > JOBS / 20);
    assert_eq!(wait_until(LONG, &poisoned, || dead(&log)).await, poisoned);
}

async fn tombstones(log: &Log) -> Vec<JobId> {
    let events = log.lifecycles().await.into_iter();
    events.filter(|(_, event)| matches!(event, Event::JobDeleted(_))).map(|(id, _)| id).collect()
}

async fn dead(log: &Log) -> BTreeSet<JobId> {
    let job = |subject| match subject {
        Subject::Dead { job, .. } => job,
        other => panic!("{other} is in DEAD"),
    };
    subjects(&log.js, stream::DEAD).await.into_iter().map(job).collect()
}

/// Two jobs may name one upload: it stays for the second, and goes with it.
#[tokio::test]
async fn a_shared_upload_goes_with_the_last_job_that_names_it() {
    let stand = Plan::echo("", 8).start().await;
    let asks = asks(3, "");
    let file = answer(stand.http.post("/files").body(jsonl(&asks))).await;
    let (input, path) = (&file.body["input"], format!("uploads/{}.jsonl", file.body["id"].as_str().unwrap()));
    let mut jobs = Vec::new();
    for priority in ["high", "low"] {
        let body = json!({"input": input, "priority": priority});
        jobs.push(answer(stand.http.post("/jobs").json(&body)).await.accepted());
    }
    for id in &jobs {
        stand.answered(*id, &asks).await;
    }
    let folder = |id: JobId| stand.path("store").join(format!("jobs/{id}"));
    for (id, is_last) in [(jobs[0], false), (jobs[1], true)] {
        assert_eq!(stand.http.delete(id).await.status, 202);
        let gone = |path: &Path| (!path.exists()).then_some(());
        wait_for("the output to go", LONG, || async { gone(&folder(id)) }).await;
        if is_last {
            wait_for("the upload to go", LONG, || async { gone(&stand.path("store").join(&path)) }).await;
        }
        assert_eq!(files(&stand).contains(&path), !is_last);
    }
}

/// Refused while it runs, by every door; once and for all when it has ended. The key stays taken.
#[tokio::test]
async fn a_job_is_deleted_once_and_not_while_it_runs() {
    let stand = Plan::echo("delay_ms = 100", 2).start().await;
    let (log, url) = (stand.log().await, stand.http.base.clone());
    let asks = asks(60, "");
    let submit = || answer(stand.http.ndjson("", jsonl(&asks)).header("Idempotency-Key", "monday"));
    let id = submit().await.accepted();
    stand.midway(id, 2).await;
    let refused = stand.http.delete(id).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("cancel it first"), "{refused:?}");
    let said = jetbatch(&["delete", &id.to_string(), "--url", &url], 5).await;
    assert!(said.stderr().contains("cancel it first"), "{}", said.story());
    command(&log, CommandKind::Delete, id).await;
    command(&log, CommandKind::Cancel, id).await;
    let status = stand.end(id).await;
    assert_eq!(status["state"], "cancelled");
    assert!(stand.file(&status, "error_file").is_some());

    jetbatch(&["delete", &id.to_string(), "--url", &url], 0).await;
    let nothing = BTreeSet::new();
    assert_eq!(wait_until(LONG, &nothing, || async { files(&stand) }).await, nothing);
    let twice = stand.http.delete(id).await;
    assert!([202, 404].contains(&twice.status), "{twice:?}");
    command(&log, CommandKind::Delete, id).await;

    let again: Answer = submit().await;
    assert!([200, 409].contains(&again.status), "{again:?}");
    let other = stand.http.submit("", "{\n").await;
    stand.end(other).await;
    wait_for("SUBMIT to be empty", LONG, || async {
        (message_count(&log.js, stream::SUBMIT).await == 0).then_some(())
    })
    .await;
    let events = log.events(id).await;
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, Event::JobSubmitted(_))), 1);
    assert_eq!(count(|event| matches!(event, Event::JobDeleted(_))), 1);
}

#[tokio::test]
async fn a_job_that_ended_long_ago_is_deleted() {
    let stand = Plan::echo("", 8).with("[retention]\njobs = '8s'\nsweep_s = 1").start().await;
    let log = stand.log().await;
    let asks = asks(3, "");
    let id = stand.http.submit("", jsonl(&asks)).await;
    stand.answered(id, &asks).await;
    wait_for("the deletion", LONG, || async { (tombstones(&log).await == [id]).then_some(()) }).await;
    let nothing = BTreeSet::new();
    assert_eq!(wait_until(LONG, &nothing, || async { files(&stand) }).await, nothing);
}
