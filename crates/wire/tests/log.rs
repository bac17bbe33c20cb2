//! A log of today, as it would lie in EVENTS, must fold to the same statuses for ever. What folds otherwise makes a
//! status that stands differ from its rebuild. A new kind of event is told in a new log beside this one;
//! `GOLDEN=write cargo test -p jetbatch-wire` writes the files.
#![allow(clippy::unwrap_used)]
use domain::{ChunkId, Event, Job, JobId, Pool, Timestamp, event::*, pack::Packing, status::Status, warning::Warning};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};
use wire::{Subject, envelope};

const AT: u64 = 1_795_000_000_000;

/// Tells the events of several jobs, in the order in which they would be stored.
#[derive(Default)]
struct Teller {
    lines: Vec<(String, Event)>,
}

impl Teller {
    fn at(&self) -> Timestamp {
        Timestamp::new(AT + 1_000 * self.lines.len() as u64)
    }

    fn tell(&mut self, job: &str, event: Event) {
        self.lines.push((job.to_owned(), event));
    }

    fn submit(&mut self, job: &str) {
        let submitted = self.submitted(job);
        self.tell(job, Event::JobSubmitted(submitted));
    }

    fn submitted(&self, job: &str) -> Submitted {
        Submitted {
            fingerprint: format!("hash of {job}"),
            model: Some("tiny".into()),
            endpoint: Some("/v1/chat/completions".into()),
            metadata: BTreeMap::from([("name".to_owned(), job.to_owned())]),
            trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            packing: Packing { chunk_requests: [(pool(), 4)].into(), ..Packing::default() },
            ..Submitted::new(self.at(), Input::Stored(format!("uploads/{job}.jsonl")), 86_400_000)
        }
    }

    /// Segments of two chunks of four requests.
    fn plan(&mut self, job: &str, segments: u32) {
        for segment in 0..segments {
            let chunks =
                (0..2).map(|n| ChunkPlan { pool: 0, runs: vec![(4 * n, 4)], bytes: 400, load: None }).collect();
            let (offset, first, pools) = (u64::from(segment) * 800, u64::from(segment) * 8, vec![pool()]);
            let plan = SegmentPlan { segment, offset, bytes: 800, first, requests: 8, pools, chunks };
            self.tell(job, Event::SegmentPlanned(plan));
        }
        let requests = u64::from(segments) * 8;
        let input = format!("uploads/{job}.jsonl");
        self.tell(
            job,
            Event::JobPlanned(Planned {
                at: self.at(),
                input,
                requests,
                segments,
                bytes: requests * 100,
                warnings: vec![],
            }),
        );
    }

    fn done(&mut self, job: &str, segment: u32, index: u32, requests: u64) {
        let (at, started, worker) = (self.at(), self.at(), "box-1".to_owned());
        let (chunk, tally) = (ChunkId::new(segment, index), tally(requests - 1, 1, 0));
        self.tell(job, Event::ChunkDone(ChunkDone { at, chunk, attempt: 1, delivered: 2, worker, started, tally }));
    }

    fn failed(&mut self, job: &str, index: u32, attempt: u32, class: FaultClass) {
        let (at, chunk) = (self.at(), ChunkId::new(0, index));
        let (worker, reason) = ("box-1".to_owned(), "it went wrong".to_owned());
        self.tell(
            job,
            Event::ChunkFailed(ChunkFailed { at, chunk, attempt, worker, class, reason, trust: None, others: 0 }),
        );
    }

    fn archived(&mut self, job: &str, segment: u32, tally: Tally) {
        let archived = SegmentArchived { at: self.at(), segment, tally, output_bytes: 900, error_bytes: 90, losses: 0 };
        self.tell(job, Event::SegmentArchived(archived));
    }

    fn end(&mut self, job: &str, outcome: Outcome) {
        let file = |kind: &str| Some(File { path: format!("jobs/{job}/{kind}.jsonl"), bytes: 900 });
        let written = OutputWritten { at: self.at(), output: file("output"), errors: file("errors"), losses: 0 };
        self.tell(job, Event::OutputWritten(written));
        self.tell(job, Event::JobEnded(Ended::of(self.at(), outcome)));
    }

    fn close(&mut self, job: &str, cause: Cause) {
        self.tell(job, Event::JobClosing(Closing { at: self.at(), cause, late: false, reason: None }));
    }
}

fn pool() -> Pool {
    "tiny".parse().unwrap()
}

fn tally(completed: u64, failed: u64, unanswered: u64) -> Tally {
    Tally { completed, failed, unanswered, usage: Usage { prompt: 17 * completed, completion: 24, cached: 3 } }
}

fn id(job: &str) -> JobId {
    JobId::keyed("golden", job)
}

/// What may happen to a job, each in one of its own and all at the same time.
fn log() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    let all = ["whole", "split", "cancelled", "expired", "unread", "waiting", "deleted", "open"];
    all.iter().for_each(|job| log.submit(job));
    let error = LineError { code: Code::InvalidType, line: Some(17), param: None, message: "not a number".into() };
    log.submit("rejected");
    log.tell("rejected", Event::JobRejected(Rejected { at: log.at(), errors: vec![error], errors_total: 3 }));
    ["whole", "split", "cancelled", "expired", "open"].iter().for_each(|job| log.plan(job, 2));
    log.plan("deleted", 1);

    log.done("whole", 0, 0, 4);
    log.tell("whole", Event::JobPaused(At { at: log.at() }));
    log.done("whole", 0, 1, 4);
    let (at, deadline) = (log.at(), Timestamp::new(AT + 7_200_000));
    log.tell("whole", Event::DeadlineMoved(DeadlineMoved { at, deadline }));
    log.tell("whole", Event::PriorityChanged(PriorityChanged { at: log.at(), priority: Priority::High }));
    log.tell("whole", Event::JobResumed(At { at: log.at() }));
    log.archived("whole", 0, tally(6, 2, 0));
    // Told twice.
    log.done("whole", 0, 1, 4);
    log.done("whole", 1, 0, 4);

    // Four requests fail together, then in halves, until one is given up alone.
    log.failed("split", 0, 1, FaultClass::Overloaded);
    log.failed("split", 0, 2, FaultClass::OutOfMemory);
    log.failed("split", 2, 1, FaultClass::OutOfMemory);
    log.done("split", 0, 3, 2);
    for attempt in 1..=3 {
        log.failed("split", 4, attempt, FaultClass::EngineDied);
        log.failed("split", 5, attempt, FaultClass::Timeout);
    }
    log.failed("split", 1, 1, FaultClass::Refused);

    log.done("cancelled", 0, 0, 4);
    log.close("cancelled", Cause::Cancelled);
    // Late, and without effect.
    log.done("cancelled", 1, 0, 4);
    log.done("expired", 1, 1, 4);
    log.close("expired", Cause::Expired);
    log.close("unread", Cause::Cancelled);
    for (job, left) in [("cancelled", [4, 8]), ("expired", [8, 4])] {
        (0..).zip(left).for_each(|(segment, left)| log.archived(job, segment, tally(8 - left, 0, left)));
    }
    log.end("cancelled", Outcome::Cancelled);
    log.end("expired", Outcome::Expired);
    log.end("unread", Outcome::Cancelled);

    log.done("whole", 1, 1, 4);
    log.archived("whole", 1, tally(7, 1, 0));
    log.end("whole", Outcome::Completed);
    log.done("deleted", 0, 0, 4);
    log.done("deleted", 0, 1, 4);
    log.archived("deleted", 0, tally(8, 0, 0));
    log.end("deleted", Outcome::Completed);
    log.tell("deleted", Event::JobDeleted(At { at: log.at() }));
    log.done("open", 1, 1, 4);
    log.lines
}

/// Requests that will be refused: told with the plan, and what a strict job is rejected for.
fn warned() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    let message = "Unsupported parameter: `stream`: a batch has one answer for each request".to_owned();
    let code = Code::UnsupportedParameter;
    let warning = Warning { code, param: Some("body.stream".into()), count: 3, line: 5, message };
    log.submit("warned");
    log.plan("warned", 1);
    if let Some((_, Event::JobPlanned(planned))) = log.lines.last_mut() {
        planned.warnings = vec![warning.clone()];
    }
    let submitted = Submitted { strict: true, ..log.submitted("strict") };
    log.tell("strict", Event::JobSubmitted(submitted));
    let rejected = Rejected { at: log.at(), errors: vec![warning.error()], errors_total: 3 };
    log.tell("strict", Event::JobRejected(rejected));
    log.lines
}

/// Results that were lost: they run again, or stay without an answer.
fn lost() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    let lost = |log: &mut Teller, job: &str, attempt| {
        let (at, chunk) = (log.at(), ChunkId::new(0, 1));
        log.tell(job, Event::ChunkLost(ChunkLost { at, chunk, attempt, tally: tally(3, 1, 0) }));
    };
    for job in ["again", "gone"] {
        log.submit(job);
        log.plan(job, 1);
        log.done(job, 0, 0, 4);
        log.done(job, 0, 1, 4);
        lost(&mut log, job, 1);
        // Told twice, and once more of what is lost.
        lost(&mut log, job, 1);
        log.done(job, 0, 1, 4);
    }
    log.close("gone", Cause::Cancelled);
    log.lines
}

/// Failures with what the worker's record says of them: those of a worker that is not trusted speak against nobody, and a
/// job of which all is given up holds.
fn recorded() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    let failed = |log: &mut Teller, job: &str, chunk: ChunkId, attempt, trust| {
        log.failed(job, chunk.index, attempt, FaultClass::Internal);
        if let Some((_, Event::ChunkFailed(failed))) = log.lines.last_mut() {
            (failed.chunk, failed.trust) = (chunk, Some(trust));
        }
    };
    for job in ["spared", "held"] {
        log.submit(job);
        log.plan(job, 3);
    }
    (1..=9).for_each(|attempt| failed(&mut log, "spared", ChunkId::new(0, 0), attempt, Trust::Untrusted));
    log.done("spared", 0, 1, 4);
    // Each chunk of four is taken apart, to the last of sixteen requests; the others are spared.
    for segment in 0..3 {
        let trusted = |log: &mut Teller, index, attempts| {
            (1..=attempts)
                .for_each(|attempt| failed(log, "held", ChunkId::new(segment, index), attempt, Trust::Trusted));
        };
        (0..2).for_each(|index| trusted(&mut log, index, 2));
        (2..6).for_each(|index| trusted(&mut log, index, 1));
        (6..14).for_each(|index| trusted(&mut log, index, 2));
    }
    log.lines
}

/// Failures on several workers: what one says alone is tried until another one has had it.
fn witnessed() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    let failed = |log: &mut Teller, job: &str, index, attempt, (worker, others): (&str, u32)| {
        log.failed(job, index, attempt, FaultClass::Internal);
        if let Some((_, Event::ChunkFailed(failed))) = log.lines.last_mut() {
            (failed.worker, failed.trust, failed.others) = (worker.to_owned(), Some(Trust::Trusted), others);
        }
    };
    for job in ["doubted", "poisoned"] {
        log.submit(job);
        log.plan(job, 1);
        (1..=9).for_each(|attempt| failed(&mut log, job, 0, attempt, ("box-1", 1)));
    }
    log.done("doubted", 0, 0, 4);
    // Both halves of the whole, the two of the first half, and its first request.
    failed(&mut log, "poisoned", 0, 10, ("box-2", 1));
    failed(&mut log, "poisoned", 2, 1, ("box-2", 1));
    failed(&mut log, "poisoned", 4, 1, ("box-1", 1));
    failed(&mut log, "poisoned", 4, 2, ("box-1", 1));
    failed(&mut log, "poisoned", 4, 3, ("box-2", 1));
    log.lines
}

/// A cancel of what is answered already, and jobs that end without their files: one that the log knows, one that it lost.
fn abandoned() -> Vec<(String, Event)> {
    let mut log = Teller::default();
    for job in ["late", "unwritten", "unlogged"] {
        log.submit(job);
        log.plan(job, 1);
        (0..2).for_each(|chunk| log.done(job, 0, chunk, 4));
    }
    let late = |at| Event::JobClosing(Closing { at, cause: Cause::Cancelled, late: true, reason: None });
    log.tell("late", late(log.at()));
    log.tell("unwritten", late(log.at()));
    log.tell("unwritten", Event::JobEnded(Ended::abandoned(log.at(), Abandoned::Unwritten)));
    let (kept, lost): (Vec<_>, Vec<_>) = log.lines.iter().cloned().partition(|(job, _)| job != "unlogged");
    let mut job = Job::begin(id("unlogged"), &lost[0].1).unwrap();
    lost.iter().for_each(|(_, event)| job.evolve(event));
    let event = domain::decide::bury(&Status::of(&job), log.at()).unwrap();
    kept.into_iter().chain([("unlogged".to_owned(), event)]).collect()
}

/// Each log with its file.
fn logs() -> [(&'static str, Vec<(String, Event)>); 6] {
    let [first, warned] = [("events.txt", log()), ("warnings.txt", warned())];
    let [recorded, witnessed] = [("recorded.txt", recorded()), ("witnessed.txt", witnessed())];
    [first, warned, ("lost.txt", lost()), recorded, ("abandoned.txt", abandoned()), witnessed]
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log").join(name)
}

/// Compares with the golden file, or writes it where it is told to.
fn golden(name: &str, text: &str) {
    if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
        fs::create_dir_all(file("")).unwrap();
        fs::write(file(name), text).unwrap();
    }
    let stands = fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(stands, text, "{name} is not what it was");
}

/// Subject, version and payload of each event.
fn lines(log: &[(String, Event)]) -> String {
    let line = |(job, event): &(String, Event)| {
        let message = envelope::event(id(job), event, None);
        let hex: String = message.payload.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} {hex}\n", message.subject, event.version())
    };
    log.iter().map(line).collect()
}

fn read(line: &str) -> (JobId, Event) {
    let [subject, version, hex] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    let event = envelope::read_event(Some(version), &bytes.collect::<Vec<u8>>()).unwrap();
    match subject.parse().unwrap() {
        Subject::JobEvent(job) | Subject::ChunkEvent(job) => (job, event),
        other => panic!("{other}"),
    }
}

#[test]
fn todays_log_is_encoded_as_ever() {
    logs().iter().for_each(|(name, log)| golden(name, &lines(log)));
}

#[test]
fn todays_log_folds_as_ever() {
    let mut jobs = BTreeMap::<JobId, Job>::new();
    let logs = logs().map(|(name, _)| fs::read_to_string(file(name)).unwrap());
    for (id, event) in logs.iter().flat_map(|log| log.lines()).map(read) {
        match jobs.get_mut(&id) {
            Some(job) => job.evolve(&event),
            None => drop(jobs.insert(id, Job::begin(id, &event).unwrap())),
        }
    }
    for (job, folded) in jobs.values().map(|job| (&job.submitted.metadata["name"], job)) {
        let status = serde_json::to_string(&Status::of(folded)).unwrap();
        golden(&format!("{job}.json"), &(status + "\n"));
        assert_eq!(folded.deleted, job == "deleted");
    }
}

#[test]
fn every_kind_of_event_is_in_it() {
    let logs = logs();
    let kinds: BTreeSet<&str> = logs.iter().flat_map(|(_, log)| log).map(|(_, event)| event.name()).collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}
