//! The stream files and the subjects hold each other.
use crate::support::root;
use domain::{
    ChunkId, JobId, Timestamp, WorkerName,
    event::FaultClass,
    trouble::{Kind, Scope},
    webhook::{HookId, Topic},
};
use serde_json::Value;
use std::collections::HashMap;
use wire::{Address, Stream, Subject, bucket, stream};

/// Every stream file by its stream's name.
fn files() -> HashMap<String, Value> {
    let files = std::fs::read_dir(root().join("streams")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    files
        .map(|path| {
            let json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let name = json["name"].as_str().unwrap().to_owned();
            assert_eq!(path.file_stem().unwrap(), name.as_str(), "a file is named as its stream");
            (name, json)
        })
        .collect()
}

/// One subject of each variant. The match makes a new variant a compile error here.
fn subjects() -> Vec<Subject> {
    let (job, chunk) = (JobId::keyed("default", "k"), ChunkId::new(3, 17));
    let pool: domain::Pool = "tiny".parse().unwrap();
    let listed = |subject: &Subject| match subject {
        Subject::Submit
        | Subject::SubmitJob(_)
        | Subject::Control
        | Subject::ControlJob(_)
        | Subject::JobEvent(_)
        | Subject::ChunkEvent(_)
        | Subject::Work { .. }
        | Subject::Result { .. }
        | Subject::ResultPart { .. }
        | Subject::SubmitOf(_)
        | Subject::ControlOf(_)
        | Subject::InputPart { .. }
        | Subject::OldInputPart { .. }
        | Subject::SlaAlert(_)
        | Subject::TroubleAlert(..)
        | Subject::WorkerAlert(..)
        | Subject::Dead { .. }
        | Subject::DeadPart { .. }
        | Subject::Hook(..)
        | Subject::Audit { .. } => 20,
    };
    let all = vec![
        Subject::Submit,
        Subject::SubmitJob(job),
        Subject::Control,
        Subject::ControlJob(job),
        Subject::JobEvent(job),
        Subject::ChunkEvent(job),
        Subject::Work { pool: pool.clone(), job, chunk },
        Subject::Result { job, chunk },
        Subject::ResultPart { job, chunk, tag: 7, part: 2 },
        Subject::SubmitOf("blue".parse().unwrap()),
        Subject::ControlOf("blue".parse().unwrap()),
        Subject::InputPart { job, chunk, part: 0, pool: pool.clone() },
        Subject::OldInputPart { job, chunk, part: 0 },
        Subject::SlaAlert(job),
        Subject::TroubleAlert(Kind::Worker, Scope::Pool(pool.clone())),
        Subject::WorkerAlert(pool.clone(), WorkerName::of("w1")),
        Subject::Dead { pool: pool.clone(), reason: FaultClass::OutOfMemory, job, chunk },
        Subject::DeadPart { pool, reason: FaultClass::OutOfMemory, job, chunk, part: 1 },
        Subject::Audit { tenant: domain::Tenant::default(), what: domain::audit::What::Submit, job: Some(job) },
        Subject::Hook(job, HookId::of(job, Topic::Completed, Timestamp::new(1))),
    ];
    assert_eq!(listed(&all[0]), all.len(), "a variant is missing from this list");
    all
}

/// NATS wildcards: `*` is one token, `>` is one or more at the end.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in filter.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[test]
fn every_subject_is_in_its_stream_and_in_no_other() {
    let files = files();
    for subject in subjects() {
        let text = subject.to_string();
        let takes =
            |json: &Value| json["subjects"].as_array().unwrap().iter().any(|s| matches(s.as_str().unwrap(), &text));
        let streams: Vec<&String> = files.iter().filter(|(_, json)| takes(json)).map(|(name, _)| name).collect();
        assert_eq!(streams, [subject.stream().as_str()], "{text}");
    }
}

#[test]
fn every_stream_and_bucket_has_its_file() {
    let mut names: Vec<String> = files().into_keys().collect();
    names.sort();
    let streams = [
        stream::SUBMIT,
        stream::EVENTS,
        stream::WORK,
        stream::RESULTS,
        stream::ALERTS,
        stream::DEAD,
        stream::HOOKS,
        stream::AUDIT,
    ]
    .map(|stream| stream.to_string());
    let buckets = [
        bucket::STATUS,
        bucket::WORKERS,
        bucket::LIVES,
        bucket::LEASES,
        bucket::TROUBLES,
        bucket::INSTALLATION,
        bucket::FILES,
        bucket::KEYS,
        bucket::WEBHOOKS,
        bucket::LIMITS,
    ]
    .map(|bucket| format!("KV_{bucket}"));
    let mut want: Vec<String> = streams.into_iter().chain(buckets.clone()).collect();
    want.sort();
    assert_eq!(names, want);
    for name in buckets {
        let json = &files()[&name];
        assert_eq!(json["subjects"], serde_json::json!([format!("$KV.{}.>", &name[3..])]));
        assert_eq!((&json["max_msgs_per_subject"], &json["allow_rollup_hdrs"]), (&1.into(), &true.into()), "{name}");
    }
}

/// The promises that the rooms stand on are properties of streams.
#[test]
fn the_streams_keep_what_the_rooms_rely_on() {
    let files = files();
    let is = |stream: Stream, key: &str, want: Value| assert_eq!(files[stream.as_str()][key], want, "{stream}: {key}");
    for queue in [stream::SUBMIT, stream::WORK] {
        is(queue, "retention", "workqueue".into());
        is(queue, "discard", "new".into());
    }
    is(stream::EVENTS, "deny_delete", true.into());
    is(stream::EVENTS, "deny_purge", true.into());
    is(stream::EVENTS, "retention", "limits".into());
    is(stream::EVENTS, "discard", "old".into());
    is(stream::EVENTS, "max_bytes", (-1).into());
    // The first result of a chunk wins, for ever.
    is(stream::RESULTS, "max_msgs_per_subject", 1.into());
    is(stream::RESULTS, "discard", "new".into());
    is(stream::RESULTS, "discard_new_per_subject", true.into());
    for (name, json) in &files {
        // What is owed is known without it.
        let storage = if name == stream::WORK.as_str() { "memory" } else { "file" };
        assert_eq!(json["storage"], storage, "{name}");
    }
}
