//! A cancel ends a job wherever it stands: while it is finalizing, when nothing can be written, and when the log does
//! not know it any more.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Timestamp,
    command::Command,
    decide::{Denied, bury, decide},
    event::*,
    job::Chunk,
    status::{State, Status},
};

const AT: Timestamp = Timestamp::new(5_000);

fn submitted() -> Submitted {
    Submitted {
        fingerprint: "f".into(),
        model: Some("tiny".into()),
        metadata: [("team".to_owned(), "a".to_owned())].into(),
        priority: Priority::High,
        ..Submitted::new(Timestamp::new(1_000), Input::Inline, 60_000)
    }
}

/// Two chunks of one request each, so many of them answered.
fn job(answered: u32) -> Job {
    let mut job = Job::begin(JobId::keyed("default", "job"), &Event::JobSubmitted(submitted())).unwrap();
    let chunks = (0..2).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10, load: None }).collect();
    let pools = vec!["tiny".parse().unwrap()];
    job.evolve(&Event::SegmentPlanned(SegmentPlan {
        segment: 0,
        offset: 0,
        bytes: 20,
        first: 0,
        requests: 2,
        pools,
        chunks,
    }));
    let (at, input) = (Timestamp::new(2_000), "in".into());
    job.evolve(&Event::JobPlanned(Planned { at, input, requests: 2, segments: 1, bytes: 20, warnings: vec![] }));
    (0..answered).for_each(|index| job.evolve(&done(index)));
    job
}

fn done(index: u32) -> Event {
    let (usage, chunk) = (Usage { prompt: 1, completion: 2, cached: 0 }, ChunkId::new(0, index));
    let tally = Tally { completed: 1, usage, ..Tally::default() };
    Event::ChunkDone(ChunkDone { at: AT, chunk, attempt: 1, delivered: 1, worker: "w".into(), started: AT, tally })
}

fn order(job: &mut Job, command: Command) -> Result<Option<Event>, Denied> {
    let event = decide(Some(job), command)?;
    event.iter().for_each(|event| job.evolve(event));
    Ok(event)
}

fn counts(job: &Job) -> (u64, u64, u64) {
    let counts = Status::of(job).requests;
    (counts.completed, counts.unanswered, counts.remaining)
}

#[test]
fn a_job_that_is_finalizing_can_be_cancelled_and_keeps_its_answers() {
    let mut job = job(2);
    let event = order(&mut job, Command::Cancel { at: AT }).unwrap().unwrap();
    assert_eq!((event.version(), State::of(&job), counts(&job)), (3, State::Cancelling, (2, 0, 0)));
    assert_eq!(order(&mut job, Command::Cancel { at: AT }), Ok(None));
    assert!(job.is_archivable(0), "what is answered is written still");
}

/// As the logs of old have it.
#[test]
fn a_cancel_that_was_decided_before_the_last_answer_changes_nothing() {
    let (mut running, mut answered) = (job(1), job(2));
    let event = order(&mut running, Command::Cancel { at: AT }).unwrap().unwrap();
    answered.evolve(&event);
    assert_eq!((event.version(), State::of(&answered)), (1, State::Finalizing));
}

#[test]
fn a_job_that_expires_can_be_cancelled_and_its_lines_keep_their_cause() {
    let mut job = job(1);
    order(&mut job, Command::Expire { at: Timestamp::new(90_000), reason: None }).unwrap();
    assert_eq!(State::of(&job), State::Finalizing);
    order(&mut job, Command::Cancel { at: AT }).unwrap();
    assert_eq!((State::of(&job), job.outcome()), (State::Cancelling, Outcome::Cancelled));
    assert!(matches!(&job.phase, domain::job::Phase::Closing(closing) if closing.cause == Cause::Expired));
}

#[test]
fn a_lost_answer_of_a_cancelled_job_is_not_owed_again() {
    let mut job = job(2);
    order(&mut job, Command::Cancel { at: AT }).unwrap();
    let tally = Tally { completed: 1, ..Tally::default() };
    job.evolve(&Event::ChunkLost(ChunkLost { at: AT, chunk: ChunkId::new(0, 0), attempt: 1, tally }));
    assert_eq!((State::of(&job), job.chunk(ChunkId::new(0, 0))), (State::Cancelling, Some(Chunk::Unanswered)));
}

#[test]
fn what_cannot_be_written_is_given_up_and_no_request_counts_as_answered() {
    let mut job = job(1);
    assert_eq!(order(&mut job, Command::Abandon { at: AT }), Err(Denied::NotEnded));
    order(&mut job, Command::Cancel { at: AT }).unwrap();
    order(&mut job, Command::Abandon { at: AT }).unwrap();
    let status = Status::of(&job);
    assert_eq!((status.state, counts(&job), status.usage.completion), (State::Cancelled, (0, 2, 0), 2));
    assert!(status.reason.unwrap().contains("could not be written"));
    assert_eq!((status.output, status.error_file), (None, None));
    assert_eq!(order(&mut job, Command::Abandon { at: AT }), Err(Denied::Ended(State::Cancelled)));
}

/// Who reads the log from where it begins now, and who knew the job before, come to the same.
#[test]
fn the_end_of_a_job_that_the_log_lost_is_folded_from_nothing() {
    let job = job(1);
    let event = bury(&Status::of(&job), AT).unwrap();
    let (fresh, mut known) = (Job::begin(job.id, &event).unwrap(), job);
    known.evolve(&event);
    assert_eq!(fresh, known);
    let status = Status::of(&fresh);
    assert_eq!((status.state, counts(&fresh), status.usage.completion), (State::Cancelled, (0, 2, 0), 2));
    assert_eq!((status.deadline, status.priority), (Timestamp::new(61_000), Priority::High));
    assert!(status.reason.as_deref().unwrap().contains("gone from the log"));
    assert_eq!(bury(&status, AT), Err(Denied::Ended(State::Cancelled)));
    let again = Command::Submit(Box::new(submitted()));
    assert_eq!(decide(Some(&fresh), again), Err(Denied::Exists), "its key stays taken");
}

#[test]
fn a_job_that_was_not_validated_leaves_nothing() {
    let mut job = Job::begin(JobId::keyed("default", "job"), &Event::JobSubmitted(submitted())).unwrap();
    let event = bury(&Status::of(&job), AT).unwrap();
    job.evolve(&event);
    assert_eq!((State::of(&job), counts(&job)), (State::Cancelled, (0, 0, 0)));
    job.evolve(&Event::JobEnded(Ended::of(AT, Outcome::Completed)));
    assert_eq!(State::of(&job), State::Cancelled, "the first end wins");
}
