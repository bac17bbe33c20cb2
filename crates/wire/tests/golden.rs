//! What stands in logs today must be readable for ever. A difference here is a decision about compatibility: bump
//! `event::VERSION` and read both, or do not change it. `GOLDEN=write cargo test -p jetbatch-wire` writes new files.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, JobId, Pool, Timestamp,
    event::*,
    load::{Kind, Load},
    pack::Packing,
    retry::Policies,
};
use std::{fs, path::PathBuf};
use wire::{Results, Work, envelope};

fn pool() -> Pool {
    "tiny".parse().unwrap()
}

fn tally() -> Tally {
    Tally { completed: 9, failed: 1, unanswered: 0, usage: Usage { prompt: 170, completion: 24, cached: 3 } }
}

fn events() -> Vec<Event> {
    let at = Timestamp::new(1_795_000_000_000);
    let chunk = ChunkId::new(3, 17);
    let error = LineError {
        code: Code::InvalidType,
        line: Some(17),
        param: Some("body.temperature".into()),
        message: "body.temperature: invalid type".into(),
    };
    vec![
        Event::JobSubmitted(Submitted {
            at,
            fingerprint: "f00d".into(),
            input: Input::Stored("uploads/x.jsonl".into()),
            model: Some("tiny".into()),
            endpoint: None,
            window_ms: 86_400_000,
            metadata: [("team".to_owned(), "blue".to_owned())].into(),
            priority: Priority::High,
            trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            packing: Packing { chunk_requests: [(pool(), 32)].into(), ..Packing::default() },
            policies: Policies::new([(FaultClass::Timeout, FaultClass::Timeout.policy())].into()),
            strict: false,
            tenant: domain::Tenant::default(),
            pools: Vec::new(),
            webhook_url: None,
        }),
        Event::JobRejected(Rejected { at, errors: vec![error], errors_total: 1 }),
        Event::JobPlanned(Planned {
            at,
            input: "uploads/x.jsonl".into(),
            requests: 10,
            segments: 1,
            bytes: 2_000,
            warnings: vec![],
        }),
        Event::JobPaused(At { at }),
        Event::JobResumed(At { at }),
        Event::DeadlineMoved(DeadlineMoved { at, deadline: at.plus(60_000) }),
        Event::PriorityChanged(PriorityChanged { at, priority: Priority::Low }),
        Event::JobDeleted(At { at }),
        Event::JobClosing(Closing { at, cause: Cause::Cancelled, late: false, reason: None }),
        Event::JobEnded(Ended::of(at, Outcome::Completed)),
        Event::SegmentPlanned(SegmentPlan {
            segment: 3,
            offset: 4_096,
            bytes: 2_000,
            first: 30_000,
            requests: 10,
            pools: vec![pool()],
            chunks: vec![ChunkPlan { pool: 0, runs: vec![(0, 4), (5, 6)], bytes: 2_000, load: None }],
        }),
        Event::ChunkDone(ChunkDone {
            at,
            chunk,
            attempt: 2,
            delivered: 1,
            worker: "box-1".into(),
            started: at,
            tally: tally(),
        }),
        Event::ChunkFailed(ChunkFailed {
            at,
            chunk,
            attempt: 1,
            worker: "box-1".into(),
            class: FaultClass::OutOfMemory,
            reason: "out of memory".into(),
            trust: None,
            others: 0,
        }),
        Event::ChunkLost(ChunkLost { at, chunk, attempt: 2, tally: tally() }),
        Event::SegmentArchived(SegmentArchived {
            at,
            segment: 3,
            tally: tally(),
            output_bytes: 4_000,
            error_bytes: 400,
            losses: 0,
        }),
        Event::OutputWritten(OutputWritten {
            at,
            output: Some(File { path: "jobs/x/output.jsonl".into(), bytes: 4_000 }),
            errors: None,
            losses: 0,
        }),
    ]
}

fn work() -> Work {
    Work {
        job: JobId::keyed("default", "monday"),
        pool: pool(),
        chunk: ChunkId::new(3, 17),
        attempt: 1,
        sent: Timestamp::new(1_795_000_000_000),
        deadline: Timestamp::new(1_795_086_400_000),
        endpoint: None,
        model: Some("tiny".into()),
        alone: false,
        retried: vec![],
        quiet: false,
        runs: vec![(0, 2)],
        first: 30_000,
        lines: "{}\n{}\n".into(),
        parts: 0,
    }
}

fn results() -> Results {
    Results {
        chunk: Some(ChunkId::new(3, 17)),
        worker: "box-1".into(),
        attempt: 1,
        tally: tally(),
        sizes: vec![3, 3],
        errors: vec![1],
        lines: "{}\n{}\n".into(),
        ..Results::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares with the golden file, or writes it where it is told to.
fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(&path, hex(bytes) + "\n").unwrap();
    }
    let stands = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(stands.trim(), hex(bytes), "{name} is not encoded as {} has it", path.display());
}

#[test]
fn events_are_encoded_as_ever() {
    for event in events() {
        let message = envelope::event(JobId::keyed("default", "monday"), &event, None);
        golden(event.name(), &message.payload);
        assert_eq!(envelope::read_event(Some("1"), &message.payload).unwrap(), event);
    }
}

#[test]
fn work_and_results_are_encoded_as_ever() {
    golden("Work", &envelope::encode(&work()));
    golden("Results", &envelope::encode(&results()));
    assert_eq!(envelope::decode::<Work>("work", &envelope::encode(&work())).unwrap(), work());
    assert_eq!(envelope::decode::<Results>("results", &envelope::encode(&results())).unwrap(), results());
}

#[test]
fn a_newer_version_is_refused() {
    let newer = (domain::event::VERSION + 1).to_string();
    let error = envelope::read_event(Some(&newer), b"").unwrap_err();
    assert!(error.to_string().contains(&format!("version {newer}")), "{error}");
}

#[test]
fn a_version_that_is_no_number_is_not_taken_for_the_first() {
    let ended = envelope::event(JobId::keyed("default", "monday"), &events()[4], None);
    for version in ["", "one", "4294967297"] {
        let error = envelope::read_event(Some(version), &ended.payload).unwrap_err();
        assert!(matches!(error, envelope::DecodeError::Version), "{version}: {error}");
    }
}

#[test]
fn lists_within_lists_are_refused_before_the_stack_ends() {
    let deep = [vec![0x91; 100_000], vec![0x90]].concat();
    assert!(envelope::decode::<serde::de::IgnoredAny>("list", &deep).is_err());
    assert!(envelope::decode::<serde::de::IgnoredAny>("list", &deep[100_000 - 100..]).is_ok());
}

#[test]
fn work_has_an_end() {
    for runs in [vec![(0, 1_001)], vec![(u32::MAX, 1)], vec![(0, 600), (600, 600)]] {
        let bytes = envelope::encode(&Work { runs, ..work() });
        assert!(envelope::decode::<Work>("work", &bytes).is_err());
    }
    let whole = Work { runs: vec![(0, 400), (500, 600)], ..work() };
    assert_eq!(envelope::decode::<Work>("work", &envelope::encode(&whole)).unwrap(), whole);
}

/// That says only what is sent to a trace: who does not know of it does as it did.
#[test]
fn a_quiet_chunk_is_read_by_who_does_not_know_of_it() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Old {
        attempt: u32,
        runs: Vec<(u32, u32)>,
        first: u64,
        parts: u32,
    }
    let quiet = envelope::encode(&Work { quiet: true, ..work() });
    let old = Old { attempt: 1, runs: vec![(0, 2)], first: 30_000, parts: 0 };
    assert_eq!(envelope::decode::<Old>("work", &quiet).unwrap(), old);
    assert!(envelope::decode::<Work>("work", &quiet).unwrap().quiet);
    assert_eq!(envelope::decode::<Work>("work", &envelope::encode(&work())).unwrap(), work());
}

/// With what its worker's record says it has another meaning, which who does not know it must not miss.
#[test]
fn a_failure_with_a_record_is_of_the_second_version() {
    let Some(Event::ChunkFailed(failed)) = events().into_iter().find(|event| event.name() == "ChunkFailed") else {
        panic!("a failure")
    };
    for (trust, name) in [(Trust::Trusted, "ChunkFailedTrusted"), (Trust::Untrusted, "ChunkFailedUntrusted")] {
        let event = Event::ChunkFailed(ChunkFailed { trust: Some(trust), ..failed.clone() });
        let message = envelope::event(JobId::keyed("default", "monday"), &event, None);
        golden(name, &message.payload);
        assert_eq!((event.version(), envelope::read_event(Some("2"), &message.payload).unwrap()), (2, event));
    }
}

/// Who does not know of others would believe one worker alone.
#[test]
fn a_failure_that_others_could_have_had_is_of_the_fifth_version() {
    let Some(Event::ChunkFailed(failed)) = events().into_iter().find(|event| event.name() == "ChunkFailed") else {
        panic!("a failure")
    };
    let event = Event::ChunkFailed(ChunkFailed { trust: Some(Trust::Trusted), others: 2, ..failed });
    let message = envelope::event(JobId::keyed("default", "monday"), &event, None);
    golden("ChunkFailedOthers", &message.payload);
    assert_eq!((event.version(), envelope::read_event(Some("5"), &message.payload).unwrap()), (5, event));
}

/// Each ends a job that who does not know it would think to go on, or to have its files.
#[test]
fn ends_without_files_and_late_cancels_are_of_the_third_version() {
    let at = Timestamp::new(1_795_000_000_000);
    let mut events = events().into_iter();
    let Some(Event::JobSubmitted(submitted)) = events.next() else { panic!("a submission") };
    let planned = events.find_map(|event| if let Event::JobPlanned(planned) = event { Some(planned) } else { None });
    let remains = Remains { submitted, planned, usage: tally().usage };
    let unlogged = Abandoned::Unlogged(Box::new(remains));
    for (name, event) in [
        ("JobClosingLate", Event::JobClosing(Closing { at, cause: Cause::Cancelled, late: true, reason: None })),
        (
            "JobClosingReason",
            Event::JobClosing(Closing { at, cause: Cause::Expired, late: false, reason: Some("no worker".into()) }),
        ),
        ("JobEndedUnwritten", Event::JobEnded(Ended::abandoned(at, Abandoned::Unwritten))),
        ("JobEndedUnlogged", Event::JobEnded(Ended::abandoned(at, unlogged))),
    ] {
        let message = envelope::event(JobId::keyed("default", "monday"), &event, None);
        golden(name, &message.payload);
        assert_eq!((event.version(), envelope::read_event(Some("3"), &message.payload).unwrap()), (3, event));
    }
}

/// Who does not know of tenants would show it to all.
#[test]
fn a_tenants_submission_is_of_the_fourth_version() {
    let Some(Event::JobSubmitted(submitted)) = events().into_iter().next() else { panic!("a submission") };
    let event = Event::JobSubmitted(Submitted { tenant: "blue".parse().unwrap(), pools: vec![pool()], ..submitted });
    let message = envelope::event(JobId::keyed("blue", "monday"), &event, None);
    golden("JobSubmittedTenant", &message.payload);
    assert_eq!((event.version(), envelope::read_event(Some("4"), &message.payload).unwrap()), (4, event));
}

/// Who does not know of it folds the same job, so it is of the first version; and a plan without it is as it ever was.
#[test]
fn a_plan_that_tells_its_load_is_read_by_who_knows_of_none() {
    let Some(Event::SegmentPlanned(mut plan)) = events().into_iter().find(|event| event.name() == "SegmentPlanned")
    else {
        panic!("a plan")
    };
    plan.chunks[0].load = Some(Load { prompt_bytes: 1_500, caps: 640, kind: Kind::new(0xabcd_ef00, 150) });
    let event = Event::SegmentPlanned(plan);
    let message = envelope::event(JobId::keyed("default", "monday"), &event, None);
    golden("SegmentPlannedLoad", &message.payload);
    assert_eq!((event.version(), envelope::read_event(Some("1"), &message.payload).unwrap()), (1, event));
}
