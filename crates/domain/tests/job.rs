//! A job's life: examples as tables, then random events, duplicates and late facts, with every invariant after each.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Millis, Pool,
    decide::{Command, Refusal, decide},
    event::*,
    job::{Chunk, Phase},
    limits::ATTEMPTS_MAX,
    pack::{Packer, Packing},
    schedule::{self, Room},
    status::{State, Status},
};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

fn id() -> JobId {
    JobId::keyed("default", "job")
}

fn pool() -> Pool {
    "tiny".parse().unwrap()
}

fn submitted() -> Submitted {
    Submitted {
        at: Millis::new(1_000),
        fingerprint: "f".into(),
        input: Input::Inline,
        model: None,
        endpoint: None,
        window_ms: HOUR,
        metadata: Default::default(),
        priority: Priority::Normal,
        trace: None,
        packing: Packing::default(),
    }
}

/// `requests` requests, two to a chunk, six to a segment.
fn plans(requests: u64) -> Vec<SegmentPlan> {
    let chunk_requests = [(pool(), 2)].into();
    let mut packer = Packer::new(Packing { segment_requests: 6, chunk_requests, ..Packing::default() });
    let mut plans: Vec<_> = (0..requests).filter_map(|n| packer.push(n * 10, 10, &pool())).collect();
    plans.extend(packer.finish());
    plans
}

fn running(requests: u64) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    let plans = plans(requests);
    let segments = plans.len() as u32;
    plans.into_iter().for_each(|plan| job.evolve(&Event::SegmentPlanned(plan)));
    let input = "jobs/x/input.jsonl".to_owned();
    job.evolve(&Event::JobPlanned(Planned { at: Millis::new(2_000), input, requests, segments, bytes: requests * 10 }));
    job
}

fn done(segment: u32, index: u32, completed: u64, failed: u64) -> Event {
    let usage = Usage { prompt: 3, completion: 2, cached: 0 };
    Event::ChunkDone(ChunkDone {
        at: Millis::new(5_000),
        chunk: ChunkId::new(segment, index),
        attempt: 1,
        delivered: 1,
        worker: "w".into(),
        started: Millis::new(4_000),
        tally: Tally { completed, failed, unanswered: 0, usage },
    })
}

fn failed(segment: u32, index: u32, attempt: u32) -> Event {
    Event::ChunkFailed(ChunkFailed {
        at: Millis::new(5_000),
        chunk: ChunkId::new(segment, index),
        attempt,
        worker: "w".into(),
        class: FaultClass::Internal,
        reason: "x".into(),
    })
}

fn archived(job: &Job, segment: u32) -> Event {
    let open = &job.open[&segment];
    let unanswered = u64::from(open.plan.requests) - open.tally.requests();
    let tally = Tally { unanswered, ..open.tally };
    Event::SegmentArchived(SegmentArchived { at: Millis::new(6_000), segment, tally, output_bytes: 10, error_bytes: 0 })
}

fn written() -> Event {
    Event::OutputWritten(OutputWritten { at: Millis::new(7_000), output: None, errors: None })
}

fn state(job: &Job) -> State {
    Status::of(job).state
}

/// total = completed + failed + unanswered + remaining, and what is not answered is owed, given up or not archived.
fn invariant_counts(job: &Job) {
    let counts = Status::of(job).requests;
    assert_eq!(counts.total, counts.completed + counts.failed + counts.unanswered + counts.remaining, "{counts:?}");
    if job.is_terminal() && job.planned.is_some() {
        assert_eq!(counts.remaining, 0, "{counts:?}");
        assert!(job.open.is_empty());
    }
}

fn invariant_left(job: &Job) {
    for segment in job.open.values() {
        let owed = segment.chunks.iter().filter(|chunk| matches!(chunk, Chunk::Owed { .. })).count();
        assert_eq!(owed, segment.left as usize);
    }
}

#[test]
fn a_job_runs_to_its_end() {
    let mut job = running(8);
    assert_eq!(state(&job), State::InProgress);
    assert_eq!(job.sendable(Millis::new(0)).count(), 4);
    for (segment, index) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        job.evolve(&done(segment, index, 2, 0));
    }
    assert_eq!(state(&job), State::Finalizing);
    assert_eq!(job.archivable().count(), 2);
    for segment in [1, 0] {
        job.evolve(&archived(&job.clone(), segment));
    }
    assert!(matches!(decide(Some(&job), Command::End { at: Millis::new(8_000) }), Err(Refusal::NotWritten)));
    job.evolve(&written());
    let end = decide(Some(&job), Command::End { at: Millis::new(8_000) }).unwrap();
    job.evolve(&end[0]);
    assert_eq!(state(&job), State::Completed);
    let status = Status::of(&job);
    assert_eq!((status.requests.completed, status.usage.completion, status.attempts), (8, 8, 4));
}

#[test]
fn a_failed_chunk_waits_and_is_given_up_in_the_end() {
    let mut job = running(2);
    job.evolve(&failed(0, 0, 1));
    assert_eq!(job.sendable(Millis::new(5_000)).count(), 0);
    let again = job.next_retry(Millis::new(5_000)).unwrap();
    assert_eq!(job.sendable(again).count(), 1);
    (2..=ATTEMPTS_MAX).for_each(|attempt| job.evolve(&failed(0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
    assert_eq!(job.archivable().count(), 1);
    assert_eq!((job.attempts, job.retries), (u64::from(ATTEMPTS_MAX), u64::from(ATTEMPTS_MAX) - 1));
}

#[test]
fn the_first_terminal_state_wins() {
    let cancel = Command::Cancel { at: Millis::new(3_000) };
    let mut job = running(4);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&decide(Some(&job), cancel.clone()).unwrap()[0]);
    assert_eq!(state(&job), State::Cancelling);
    assert_eq!(job.sendable(Millis::new(9_000)).count(), 0, "a cancelled job sends nothing");
    assert_eq!(decide(Some(&job), cancel.clone()), Ok(vec![]), "cancelling twice is once");
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Millis::new(8_000) }).unwrap()[0]);
    let ended = job.clone();
    for late in [done(0, 1, 2, 0), failed(0, 1, 1), written(), Event::JobSubmitted(submitted())] {
        job.evolve(&late);
    }
    assert_eq!(job, ended);
    assert_eq!((state(&job), Status::of(&job).requests.unanswered), (State::Cancelled, 2));
    let late = decide(Some(&job), Command::Expire { at: Millis::new(HOUR * 2) });
    assert_eq!(late, Err(Refusal::Ended(Outcome::Cancelled)));
}

#[test]
fn one_key_names_one_body() {
    let job = running(2);
    let again = |fingerprint: &str| {
        let submitted = Submitted { fingerprint: fingerprint.into(), ..submitted() };
        decide(Some(&job), Command::Submit(Box::new(submitted))).unwrap_err()
    };
    assert_eq!(again("f"), Refusal::Exists);
    assert_eq!(again("g"), Refusal::Conflict);
}

#[test]
fn a_deadline_expires_what_is_unfinished_and_no_more() {
    let mut job = running(4);
    let expire = |at| Command::Expire { at: Millis::new(at) };
    assert_eq!(decide(Some(&job), expire(2_000)), Err(Refusal::NotDue));
    let late = expire(HOUR + 1_000);
    assert_eq!(decide(Some(&job), late.clone()).unwrap().len(), 1);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&done(0, 1, 1, 1));
    assert_eq!(decide(Some(&job), late), Ok(vec![]), "all is answered: it ends as completed");
}

#[test]
fn a_cancel_before_the_plan_ends_with_nothing() {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    job.evolve(&decide(Some(&job), Command::Cancel { at: Millis::new(1_500) }).unwrap()[0]);
    assert!(job.is_archived() && job.total() == 0);
    let planned = Planned { at: Millis::new(2_000), input: "x".into(), requests: 9, segments: 1, bytes: 9 };
    assert_eq!(decide(Some(&job), Command::Plan(planned)), Err(Refusal::Validated));
}

#[test]
fn the_most_urgent_job_is_sent_first() {
    let late = running(6);
    let mut soon = running(6);
    soon.id = JobId::keyed("default", "soon");
    soon.submitted.window_ms = 60_000;
    let mut jobs = [&late, &soon];
    jobs.sort_by_key(|job| schedule::Urgency::of(job));
    let room = Room { chunks: 4, requests: 100 };
    let sends = schedule::next(jobs.into_iter(), &pool(), room, |_, chunk| chunk.index == 0, Millis::new(9_000));
    let sent: Vec<_> = sends.iter().map(|send| (send.job == soon.id, send.chunk.index)).collect();
    assert_eq!(sent, [(true, 1), (true, 2), (false, 1), (false, 2)]);
}

#[test]
fn a_pool_is_ahead_by_three_chunks_a_worker_or_by_seconds_of_work() {
    let out = |chunks, requests| Room { chunks, requests };
    assert_eq!(Room::ahead(0.0, 2.0, 1, out(0, 0)).chunks, 3);
    assert_eq!(Room::ahead(0.0, 2.0, 2, out(5, 50)).chunks, 1);
    assert_eq!(Room::ahead(100.0, 2.0, 1, out(3, 50)).requests, 150);
    assert_eq!(Room::ahead(100.0, 2.0, 1, out(9, 500)).requests, 0);
}

#[derive(Debug, Clone)]
enum Step {
    Done(u32, u32),
    Failed(u32, u32, u32),
    Archive(u32),
    Cancel,
    Expire,
    Written,
    End,
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let chunk = (0u32..4, 0u32..4);
    prop_oneof![
        6 => chunk.clone().prop_map(|(s, c)| Step::Done(s, c)),
        2 => (chunk, 1u32..=ATTEMPTS_MAX).prop_map(|((s, c), n)| Step::Failed(s, c, n)),
        3 => (0u32..4).prop_map(Step::Archive),
        1 => Just(Step::Cancel),
        1 => Just(Step::Expire),
        1 => Just(Step::Written),
        2 => Just(Step::End),
        3 => any::<usize>().prop_map(Step::Again),
    ]
}

/// What the rooms would append in this state, whatever the worker, the archiver and the clock do.
fn event(job: &Job, step: &Step, past: &[Event]) -> Option<Event> {
    let command = |command| decide(Some(job), command).ok()?.pop();
    match step {
        Step::Done(segment, index) => {
            let plan = job.open.get(segment)?.plan.chunks.get(*index as usize)?;
            Some(done(*segment, *index, u64::from(plan.requests()), 0))
        }
        Step::Failed(segment, index, attempt) => Some(failed(*segment, *index, *attempt)),
        Step::Archive(segment) => {
            job.archivable().any(|open| open.plan.segment == *segment).then(|| archived(job, *segment))
        }
        Step::Cancel => command(Command::Cancel { at: Millis::new(3_000) }),
        Step::Expire => command(Command::Expire { at: Millis::new(HOUR * 2) }),
        Step::Written => job.is_archived().then(written),
        Step::End => command(Command::End { at: Millis::new(HOUR * 3) }),
        Step::Again(n) => past.get(n % past.len().max(1)).cloned(),
    }
}

proptest! {
    #[test]
    fn whatever_happens_counts_are_kept_and_a_replay_agrees(
        requests in 1u64..20, steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut job = running(requests);
        let start = job.clone();
        let mut past = Vec::new();
        for step in &steps {
            let Some(event) = event(&job, step, &past) else { continue };
            let before = job.clone();
            job.evolve(&event);
            if before.is_terminal() {
                prop_assert_eq!(&job, &before);
            }
            invariant_counts(&job);
            invariant_left(&job);
            past.push(event);
        }
        let mut replay = start;
        past.iter().for_each(|event| replay.evolve(event));
        prop_assert_eq!(Status::of(&replay), Status::of(&job));
        // Each fact once more changes nothing but what is still owed.
        let facts: Vec<_> = past.iter().filter(|event| !event.is_lifecycle()).collect();
        let ended = matches!(job.phase, Phase::Ended(_));
        facts.iter().for_each(|event| replay.evolve(event));
        if ended {
            prop_assert_eq!(replay, job);
        }
    }
}
