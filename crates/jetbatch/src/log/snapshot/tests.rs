//! A fold that goes through a snapshot, wherever it was taken, is the fold of the whole log.
use super::*;
use crate::log::fold;
use domain::{Event, status::Status};
use proptest::prelude::*;
use std::{fs, path::PathBuf};
use wire::{Subject, envelope};

type Jobs = HashMap<JobId, Arc<Folded>>;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wire/tests/golden/log");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The golden log of the wire's tests: every kind of event, of several jobs.
fn log() -> Vec<(JobId, Event)> {
    saved("events.txt")
}

fn saved(name: &str) -> Vec<(JobId, Event)> {
    let text = fs::read_to_string(PathBuf::from(GOLDEN).join(name)).unwrap();
    let event = |line: &str| {
        let [subject, version, payload] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let event = envelope::read_event(Some(version), &bytes(payload)).unwrap();
        match subject.parse().unwrap() {
            Subject::JobEvent(job) | Subject::ChunkEvent(job) => (job, event),
            other => panic!("{other}"),
        }
    };
    text.lines().map(event).collect()
}

fn apply(jobs: &mut Jobs, log: &[(JobId, Event)], from: usize, forgets: bool) {
    for (seq, (job, event)) in (from as u64 + 1..).zip(&log[from..]) {
        fold(jobs, *job, event, seq);
        if forgets && jobs.get(job).is_some_and(|folded| folded.job.is_terminal()) {
            jobs.remove(job);
        }
    }
}

fn image(jobs: &Jobs, seq: usize) -> Image {
    let (log, notes) = ("2026-01-01T00:00:00Z".to_owned(), Bytes::from_static(b"notes"));
    Image { log, seq: seq as u64, notes, jobs: jobs.values().cloned().collect() }
}

/// Each job's status with the sequences that writes are made against.
fn statuses(jobs: &Jobs) -> Vec<(JobId, u64, u64, String)> {
    let status = |folded: &Folded| serde_json::to_string(&Status::of(&folded.job)).unwrap();
    let all = jobs.values().map(|one| (one.job.id, one.lifecycle_seq, one.seq, status(one)));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    all
}

/// The golden log in any order, with repetitions: most of it makes no sense, and all of it must fold.
fn any_log() -> impl Strategy<Value = Vec<(JobId, Event)>> {
    let log = log();
    let mostly = proptest::collection::vec(0..log.len(), 0..200);
    (mostly, any::<bool>()).prop_map(move |(mut order, sorted)| {
        if sorted {
            order.sort_unstable();
        }
        order.into_iter().map(|n| log[n].clone()).collect()
    })
}

proptest! {
    #[test]
    fn wherever_it_is_taken_the_rest_folds_to_the_same(
        log in any_log(),
        at in any::<prop::sample::Index>(),
        forgets in any::<bool>(),
    ) {
        let at = at.index(log.len() + 1);
        let (mut whole, mut first) = (Jobs::new(), Jobs::new());
        apply(&mut whole, &log, 0, forgets);
        apply(&mut first, &log[..at], 0, forgets);
        let bytes = image(&first, at).encode().unwrap();
        // What changes meanwhile is not in it.
        apply(&mut first, &log, at, forgets);
        let read = Snapshot::decode("x", &bytes).unwrap();
        prop_assert_eq!((read.seq, read.notes.as_ref()), (at as u64, b"notes".as_slice()));
        let mut resumed = read.jobs;
        apply(&mut resumed, &log, at, forgets);
        prop_assert_eq!(statuses(&resumed), statuses(&whole));
        prop_assert_eq!(&resumed, &whole);
        prop_assert_eq!(&first, &whole);
        prop_assert_eq!(image(&resumed, log.len()).encode().unwrap(), image(&whole, log.len()).encode().unwrap());
    }

    #[test]
    fn nothing_but_what_was_written_is_read(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let mut jobs = Jobs::new();
        apply(&mut jobs, &log(), 0, false);
        let mut bytes = image(&jobs, 1).encode().unwrap().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1_u8 << bit }
        prop_assert!(Snapshot::decode("x", &bytes).is_err());
    }
}

#[test]
fn every_place_of_a_real_log_will_do() {
    let log = log();
    let mut whole = Jobs::new();
    apply(&mut whole, &log, 0, true);
    for at in 0..=log.len() {
        let mut jobs = Jobs::new();
        apply(&mut jobs, &log[..at], 0, true);
        jobs = Snapshot::decode("x", &image(&jobs, at).encode().unwrap()).unwrap().jobs;
        apply(&mut jobs, &log, at, true);
        assert_eq!((jobs.len(), statuses(&jobs)), (3, statuses(&whole)), "from {at}");
    }
}

/// Who does not know whose a job is would show it to all.
#[test]
fn a_snapshot_with_a_tenants_job_is_of_a_version_of_its_own() {
    let mut log = log();
    let encode = |log: &[(JobId, Event)]| {
        let mut jobs = Jobs::new();
        apply(&mut jobs, log, 0, false);
        (image(&jobs, log.len()).encode().unwrap(), jobs)
    };
    assert_eq!(encode(&log).0[MAGIC.len()..MAGIC.len() + 2], COMMON.to_be_bytes());
    let begin = log.iter_mut().find_map(|(_, event)| if let Event::JobSubmitted(it) = event { Some(it) } else { None });
    begin.unwrap().tenant = "blue".parse().unwrap();
    let (bytes, jobs) = encode(&log);
    assert_eq!(bytes[MAGIC.len()..MAGIC.len() + 2], TENANTS.to_be_bytes());
    assert_eq!(Snapshot::decode("x", &bytes).unwrap().jobs, jobs);
}

/// Who does not know on whom a chunk failed would believe one worker alone.
#[test]
fn a_snapshot_with_witnesses_is_of_a_version_of_its_own() {
    let log = saved("witnessed.txt");
    for at in 0..=log.len() {
        let mut jobs = Jobs::new();
        apply(&mut jobs, &log[..at], 0, false);
        let bytes = image(&jobs, at).encode().unwrap();
        let has = jobs.values().any(|folded| folded.job.has_witnesses());
        let version = if has { VERSION } else { COMMON };
        assert_eq!(bytes[MAGIC.len()..MAGIC.len() + 2], version.to_be_bytes(), "after {at}");
        assert_eq!(Snapshot::decode("x", &bytes).unwrap().jobs, jobs);
    }
}

/// Where this fails, count [`VERSION`] up, and write the file anew with `GOLDEN=write`: a snapshot of the old kind must
/// not pass for one of the new kind.
#[test]
fn a_snapshot_is_encoded_as_its_version_says() {
    let log = log();
    let mut jobs = Jobs::new();
    apply(&mut jobs, &log[..log.len() / 2], 0, true);
    let bytes = image(&jobs, log.len() / 2).encode().unwrap();
    let file = PathBuf::from(GOLDEN).join("snapshot.bin");
    if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(&file, &bytes).unwrap();
    }
    let stands = fs::read(&file).unwrap_or_default();
    assert!(stands == bytes, "a snapshot is encoded otherwise than {}", file.display());
    assert_eq!(Snapshot::decode("x", &stands).unwrap().jobs, jobs);
}
