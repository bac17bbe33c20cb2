//! A job's life: examples as tables, then random events, duplicates and late facts, with every invariant after each.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    command::Command,
    decide::{Denied, decide},
    event::*,
    job::{Chunk, Phase},
    pack::{Packer, Packing},
    retry::{Failures, Policies},
    schedule::{self, Capacity, Crew},
    status::{State, Status},
    warning::Warning,
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
        at: Timestamp::new(1_000),
        fingerprint: "f".into(),
        input: Input::Inline,
        model: None,
        endpoint: None,
        window_ms: HOUR,
        metadata: Default::default(),
        priority: Priority::Normal,
        trace: None,
        packing: Packing::default(),
        policies: Policies::default(),
        strict: false,
        tenant: domain::Tenant::default(),
        pools: Vec::new(),
        webhook_url: None,
    }
}

/// `requests` requests, two to a chunk, six to a segment.
fn plans(requests: u64) -> Vec<SegmentPlan> {
    let chunk_requests = [(pool(), 2)].into();
    let mut packer = Packer::new(Packing { segment_requests: 6, chunk_requests, ..Packing::default() });
    let mut plans: Vec<_> = (0..requests).filter_map(|n| packer.push(n * 10, 10, &pool(), b"", None)).collect();
    plans.extend(packer.finish());
    plans
}

fn running(requests: u64) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    let plans = plans(requests);
    let segments = plans.len() as u32;
    plans.into_iter().for_each(|plan| job.evolve(&Event::SegmentPlanned(plan)));
    let input = "jobs/x/input.jsonl".to_owned();
    job.evolve(&Event::JobPlanned(Planned {
        at: Timestamp::new(2_000),
        input,
        requests,
        segments,
        bytes: requests * 10,
        warnings: vec![],
    }));
    job
}

fn done(segment: u32, index: u32, completed: u64, failed: u64) -> Event {
    let usage = Usage { prompt: 3, completion: 2, cached: 0 };
    Event::ChunkDone(ChunkDone {
        at: Timestamp::new(5_000),
        chunk: ChunkId::new(segment, index),
        attempt: 1,
        delivered: 1,
        worker: "w".into(),
        started: Timestamp::new(4_000),
        tally: Tally { completed, failed, unanswered: 0, usage },
    })
}

fn failed(segment: u32, index: u32, attempt: u32) -> Event {
    Event::ChunkFailed(ChunkFailed {
        at: Timestamp::new(5_000),
        chunk: ChunkId::new(segment, index),
        attempt,
        worker: "w".into(),
        class: FaultClass::Internal,
        reason: "x".into(),
        trust: None,
        others: 0,
    })
}

fn archived(job: &Job, segment: u32) -> Event {
    let open = &job.open[&segment];
    let unanswered = u64::from(open.plan.requests) - open.tally.requests();
    let tally = Tally { unanswered, ..open.tally };
    Event::SegmentArchived(SegmentArchived {
        at: Timestamp::new(6_000),
        segment,
        tally,
        output_bytes: 10,
        error_bytes: 0,
        losses: 0,
    })
}

fn lost(segment: u32, index: u32, attempt: u32, completed: u64) -> Event {
    let usage = Usage { prompt: 3, completion: 2, cached: 0 };
    let (at, chunk) = (Timestamp::new(8_000), ChunkId::new(segment, index));
    Event::ChunkLost(ChunkLost { at, chunk, attempt, tally: Tally { completed, failed: 0, unanswered: 0, usage } })
}

fn written() -> Event {
    Event::OutputWritten(OutputWritten { at: Timestamp::new(7_000), output: None, errors: None, losses: 0 })
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
        let mut held: Vec<u32> = segment.whole().flat_map(|(_, plan)| plan.indices()).collect();
        held.sort_unstable();
        assert!(held.into_iter().eq(0..segment.plan.requests), "each request is in one chunk");
    }
}

/// Also of one whose events are gone.
#[test]
fn a_status_says_whose_job_it_is() {
    let tenant = "blue".parse().unwrap();
    let job = Job::begin(id(), &Event::JobSubmitted(Submitted { tenant, ..submitted() })).unwrap();
    let status = Status::of(&job);
    assert_eq!((status.tenant, status.remains().submitted.tenant), (tenant, tenant));
}

#[test]
fn a_job_runs_to_its_end() {
    let mut job = running(8);
    assert_eq!(state(&job), State::InProgress);
    assert_eq!(job.sendable(&pool(), Timestamp::new(0)).count(), 4);
    for (segment, index) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        job.evolve(&done(segment, index, 2, 0));
    }
    assert_eq!(state(&job), State::Finalizing);
    assert_eq!(job.archivable().count(), 2);
    for segment in [1, 0] {
        job.evolve(&archived(&job.clone(), segment));
    }
    assert!(matches!(decide(Some(&job), Command::End { at: Timestamp::new(8_000) }), Err(Denied::NotWritten)));
    job.evolve(&written());
    let end = decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap();
    job.evolve(&end.unwrap());
    assert_eq!(state(&job), State::Completed);
    let status = Status::of(&job);
    assert_eq!((status.requests.completed, status.usage.completion, status.attempts), (8, 8, 4));
}

/// The head's clock is set back when a job is planned, and a worker's is an hour ahead.
#[test]
fn a_clock_that_is_wrong_shows_no_end_before_the_beginning() {
    let mut job = running(2);
    let Some(planned) = &mut job.planned else { unreachable!() };
    planned.at = Timestamp::new(10);
    let Event::ChunkDone(fact) = done(0, 0, 2, 0) else { unreachable!() };
    job.evolve(&Event::ChunkDone(ChunkDone { started: Timestamp::new(HOUR * 2), ..fact }));
    assert_eq!(Status::of(&job).started_at, Some(Timestamp::new(HOUR * 2)));
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(20) }).unwrap().unwrap());
    let Status { submitted_at, validated_at, started_at, ended_at, .. } = Status::of(&job);
    assert_eq!((validated_at, started_at, ended_at), (Some(submitted_at), Some(submitted_at), Some(submitted_at)));
}

#[test]
fn a_failed_chunk_waits_and_is_tried_again() {
    let mut job = running(2);
    job.evolve(&failed(0, 0, 1));
    assert_eq!(job.sendable(&pool(), Timestamp::new(5_000)).count(), 0);
    let again = schedule::next_due([&job].into_iter(), Timestamp::new(5_000)).unwrap();
    assert_eq!(job.sendable(&pool(), again).count(), 1);
    assert_eq!((job.attempts, job.retries), (1, 1));
    job.evolve(&failed(0, 0, 1));
    assert_eq!(job.attempts, 1, "the same fact once more");
}

/// A worker's clock may be an hour off, either way: its chunk never stands still for longer than the longest delay.
#[test]
fn a_wrong_clock_does_not_hold_a_retry() {
    let (now, hour) = (10_000_000, 3_600_000);
    let longest_ms = running(2).submitted.policies.longest_ms();
    for at in (now - hour..=now + hour).step_by(7_000) {
        let mut job = running(2);
        job.deadline = Timestamp::new(now + 10 * hour);
        let Event::ChunkFailed(fact) = failed(0, 0, 1) else { panic!("a failure") };
        job.evolve(&Event::ChunkFailed(domain::event::ChunkFailed { at: Timestamp::new(at), ..fact }));
        let is_held = |ms: &u64| job.sendable(&pool(), Timestamp::new(now + ms)).count() == 0;
        let held = (0..2 * hour).step_by(500).filter(is_held).count() as u64 * 500;
        assert!(held <= longest_ms + 500, "{held} ms at {at}");
        assert!(at > now || !is_held(&longest_ms), "{at}");
    }
}

#[test]
fn a_bad_request_stands_alone_in_the_end() {
    let mut job = running(2);
    (1..=2).for_each(|attempt| job.evolve(&failed(0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Split));
    let halves: Vec<_> = job.open[&0].whole().map(|(index, plan)| (index, plan.runs.clone())).collect();
    assert_eq!(halves, [(1, vec![(0, 1)]), (2, vec![(1, 1)])]);
    job.evolve(&done(0, 1, 1, 0));
    (1..=2).for_each(|attempt| job.evolve(&failed(0, 2, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 2)), Some(Chunk::GivenUp(FaultClass::Internal)));
    assert_eq!((state(&job), job.archivable().count()), (State::Finalizing, 1));
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!((job.tally.completed, job.tally.failed), (1, 1), "the chunk that was split has no answers any more");
}

#[test]
fn halves_hold_each_request_once() {
    let plan = ChunkPlan { pool: 0, runs: vec![(3, 2), (9, 1), (20, 4)], bytes: 70, load: None };
    let [first, second] = plan.halves();
    assert_eq!((first.runs.clone(), second.runs.clone()), (vec![(3, 2), (9, 1), (20, 1)], vec![(21, 3)]));
    assert!(first.indices().chain(second.indices()).eq(plan.indices()));
}

#[test]
fn a_paused_job_sends_nothing_and_goes_on_where_it_stood() {
    let pause = Command::Pause { at: Timestamp::new(3_000) };
    let resume = Command::Resume { at: Timestamp::new(4_000) };
    let mut job = running(4);
    job.evolve(&decide(Some(&job), pause.clone()).unwrap().unwrap());
    assert_eq!((state(&job), job.sendable(&pool(), Timestamp::new(9_000)).count()), (State::Paused, 0));
    assert_eq!(decide(Some(&job), pause), Ok(None), "pausing twice is once");
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!(job.tally.completed, 2, "what ran may end");
    job.evolve(&decide(Some(&job), resume.clone()).unwrap().unwrap());
    assert_eq!(
        (state(&job), job.epoch, job.sendable(&pool(), Timestamp::new(9_000)).count()),
        (State::InProgress, 1, 1)
    );
    assert_eq!(decide(Some(&job), resume), Ok(None));
}

#[test]
fn a_deadline_moves_both_ways_but_not_into_the_past() {
    let window = |at, window_ms| Command::Window { at: Timestamp::new(at), window_ms };
    let mut job = running(4);
    job.evolve(&decide(Some(&job), window(3_000, 2 * HOUR)).unwrap().unwrap());
    assert_eq!(job.deadline, Timestamp::new(1_000 + 2 * HOUR));
    let expire = Command::Expire { at: Timestamp::new(1_000 + HOUR), reason: None };
    assert_eq!(decide(Some(&job), expire.clone()), Err(Denied::NotDue));
    assert_eq!(decide(Some(&job), window(9_000, 5_000)), Err(Denied::Past));
    assert_eq!(decide(Some(&job), window(9_000, 31 * 24 * HOUR)), Err(Denied::TooLong));
    job.evolve(&decide(Some(&job), window(3_000, HOUR)).unwrap().unwrap());
    assert_eq!(decide(Some(&job), expire).unwrap().iter().len(), 1);
}

#[test]
fn only_what_has_ended_is_deleted() {
    let delete = Command::Delete { at: Timestamp::new(9_000) };
    let mut job = running(2);
    assert_eq!(decide(Some(&job), delete.clone()), Err(Denied::NotEnded));
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap().unwrap());
    job.evolve(&decide(Some(&job), delete.clone()).unwrap().unwrap());
    assert_eq!((state(&job), job.deleted), (State::Completed, true));
    assert_eq!(decide(Some(&job), delete), Ok(None));
}

#[test]
fn the_first_terminal_state_wins() {
    let cancel = Command::Cancel { at: Timestamp::new(3_000) };
    let mut job = running(4);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&decide(Some(&job), cancel.clone()).unwrap().unwrap());
    assert_eq!(state(&job), State::Cancelling);
    assert_eq!(job.sendable(&pool(), Timestamp::new(9_000)).count(), 0, "a cancelled job sends nothing");
    assert_eq!(decide(Some(&job), cancel.clone()), Ok(None), "cancelling twice is once");
    job.evolve(&done(0, 1, 2, 0));
    assert_eq!(job.tally.completed, 2, "what was not done by the cancel stays without an answer");
    job.evolve(&archived(&job.clone(), 0));
    job.evolve(&written());
    job.evolve(&decide(Some(&job), Command::End { at: Timestamp::new(8_000) }).unwrap().unwrap());
    let ended = job.clone();
    for late in [done(0, 1, 2, 0), failed(0, 1, 1), written(), Event::JobSubmitted(submitted())] {
        job.evolve(&late);
    }
    assert_eq!(job, ended);
    assert_eq!((state(&job), Status::of(&job).requests.unanswered), (State::Cancelled, 2));
    let late = decide(Some(&job), Command::Expire { at: Timestamp::new(HOUR * 2), reason: None });
    assert_eq!(late, Err(Denied::Ended(State::Cancelled)));
}

/// Facts are no part of the compare-and-set: the last answer may stand between a cancel's decision and its event.
#[test]
fn a_cancel_that_comes_after_the_last_answer_gives_nothing_up() {
    let mut job = running(2);
    let cancel = decide(Some(&job), Command::Cancel { at: Timestamp::new(3_000) }).unwrap();
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&cancel.unwrap());
    assert_eq!((state(&job), job.outcome()), (State::Finalizing, Outcome::Completed));
}

#[test]
fn one_key_names_one_body() {
    let job = running(2);
    let again = |fingerprint: &str| {
        let submitted = Submitted { fingerprint: fingerprint.into(), ..submitted() };
        decide(Some(&job), Command::Submit(Box::new(submitted))).unwrap_err()
    };
    assert_eq!(again("f"), Denied::Exists);
    assert_eq!(again("g"), Denied::Conflict);
}

#[test]
fn a_deadline_expires_what_is_unfinished_and_no_more() {
    let mut job = running(4);
    let expire = |at| Command::Expire { at: Timestamp::new(at), reason: None };
    assert_eq!(decide(Some(&job), expire(2_000)), Err(Denied::NotDue));
    let late = expire(HOUR + 1_000);
    assert_eq!(decide(Some(&job), late.clone()).unwrap().iter().len(), 1);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&done(0, 1, 1, 1));
    assert_eq!(decide(Some(&job), late), Ok(None), "all is answered: it ends as completed");
}

/// What may be tried again is not given up for want of time: at the deadline it reads as expired, and not as failed.
#[test]
fn a_failure_just_before_the_deadline_is_left_to_the_deadline() {
    let mut job = running(4);
    let (at, class) = (Timestamp::new(HOUR), FaultClass::Timeout);
    let failed = |attempt| {
        let (chunk, worker, reason) = (ChunkId::new(0, 0), "w".to_owned(), String::new());
        Event::ChunkFailed(ChunkFailed {
            at: Timestamp::new(HOUR + 900),
            chunk,
            attempt,
            worker,
            class,
            reason,
            trust: None,
            others: 0,
        })
    };
    job.evolve(&failed(1));
    job.evolve(&failed(2));
    assert!(job.tally.failed == 0 && job.remaining() == 4);
    assert_eq!(job.sendable(&pool(), at).count(), 1, "only the chunk that did not fail");
    job.evolve(
        &decide(Some(&job), Command::Expire { at: Timestamp::new(HOUR + 1_000), reason: None }).unwrap().unwrap(),
    );
    let segment = job.archivable().next().unwrap();
    assert!(segment.whole().all(|(index, _)| segment.chunks[index as usize] == Chunk::Unanswered));
}

#[test]
fn a_plan_that_names_what_is_not_there_is_no_plan() {
    let plan = plans(4).remove(0);
    let spoilt = |spoil: fn(&mut SegmentPlan)| {
        let mut plan = plan.clone();
        spoil(&mut plan);
        let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
        job.evolve(&Event::SegmentPlanned(plan));
        job.open.is_empty()
    };
    assert!(!spoilt(|_| {}));
    assert!(spoilt(|plan| plan.chunks[0].pool = 7));
    assert!(spoilt(|plan| plan.chunks[0].runs[0] = (u32::MAX, 2)));
    assert!(spoilt(|plan| plan.chunks[0].runs = vec![(0, u32::MAX), (0, u32::MAX)]));
}

#[test]
fn a_cancel_before_the_plan_ends_with_nothing() {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    job.evolve(&decide(Some(&job), Command::Cancel { at: Timestamp::new(1_500) }).unwrap().unwrap());
    assert!(job.is_archived() && job.total() == 0);
    let planned =
        Planned { at: Timestamp::new(2_000), input: "x".into(), requests: 9, segments: 1, bytes: 9, warnings: vec![] };
    assert_eq!(decide(Some(&job), Command::Plan(planned)), Err(Denied::Validated));
}

/// What is decided of a plan in which requests will be refused.
fn planned_with_warnings(strict: bool) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(Submitted { strict, ..submitted() })).unwrap();
    let warning = Warning {
        code: Code::UnsupportedParameter,
        param: Some("body.stream".into()),
        count: 3,
        line: 5,
        message: "no".into(),
    };
    let warnings = vec![warning];
    let planned =
        Planned { at: Timestamp::new(2_000), input: "x".into(), requests: 9, segments: 1, bytes: 9, warnings };
    job.evolve(&decide(Some(&job), Command::Plan(planned)).unwrap().unwrap());
    job
}

#[test]
fn requests_that_will_be_refused_refuse_a_strict_job_alone() {
    let lenient = Status::of(&planned_with_warnings(false));
    assert_eq!((lenient.state, lenient.warnings[0].count, lenient.errors_total), (State::InProgress, 3, 0));
    let strict = Status::of(&planned_with_warnings(true));
    assert_eq!((strict.state, strict.warnings.len(), strict.errors_total), (State::Failed, 0, 3));
    assert_eq!((strict.errors[0].line, strict.errors[0].param.as_deref()), (Some(5), Some("body.stream")));
}

#[test]
fn the_most_urgent_job_is_sent_first() {
    let late = running(6);
    let mut soon = running(6);
    soon.id = JobId::keyed("default", "soon");
    soon.deadline = Timestamp::new(61_000);
    let jobs = schedule::order([&late, &soon].into_iter());
    let room = Capacity { chunks: 4, requests: 100 };
    let queues = [(schedule::Queue::of(&soon, false), jobs.into_iter())].into_iter();
    let (turns, weights) = (schedule::Turns::default(), schedule::Weights::default());
    let out = |_, chunk: ChunkId| chunk.index == 0;
    let sends = schedule::next(queues, &pool(), room, out, Timestamp::new(9_000), (turns, &weights));
    let sent: Vec<_> = sends.iter().map(|send| (send.job == soon.id, send.chunk.index)).collect();
    assert_eq!(sent, [(true, 1), (true, 2), (false, 1), (false, 2)]);
}

#[test]
fn a_pool_is_ahead_by_three_chunks_a_worker_or_by_seconds_of_work() {
    let out = |chunks, requests| Capacity { chunks, requests };
    let crew = |workers| Crew { workers, slots: 0 };
    assert_eq!(Capacity::ahead(0.0, 2.0, crew(1), out(0, 0)).chunks, 3);
    assert_eq!(Capacity::ahead(0.0, 2.0, crew(2), out(5, 50)).chunks, 1);
    assert_eq!(Capacity::ahead(100.0, 2.0, crew(1), out(3, 50)).requests, 150);
    assert_eq!(Capacity::ahead(100.0, 2.0, crew(1), out(9, 500)).requests, 0);
    let wide = Crew { workers: 1, slots: 400 };
    assert_eq!(Capacity::ahead(100.0, 2.0, wide, out(9, 500)).requests, 100, "all slots, and half of them again");
}

#[derive(Debug, Clone)]
enum Step {
    Done(u32, u32),
    Failed(u32, u32, u32),
    Archive(u32),
    Cancel,
    Expire,
    Pause,
    Resume,
    Window(u64),
    Written,
    End,
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let chunk = (0u32..4, 0u32..9);
    prop_oneof![
        6 => chunk.clone().prop_map(|(s, c)| Step::Done(s, c)),
        3 => (chunk, 1u32..5).prop_map(|((s, c), n)| Step::Failed(s, c, n)),
        3 => (0u32..4).prop_map(Step::Archive),
        1 => Just(Step::Cancel),
        1 => Just(Step::Expire),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => (1u64..4).prop_map(Step::Window),
        1 => Just(Step::Written),
        2 => Just(Step::End),
        3 => any::<usize>().prop_map(Step::Again),
    ]
}

/// What the rooms would append in this state, whatever the worker, the archiver and the clock do.
fn event(job: &Job, step: &Step, past: &[Event]) -> Option<Event> {
    let command = |command| decide(Some(job), command).ok().flatten();
    match step {
        Step::Done(segment, index) => {
            let plan = job.open.get(segment)?.plan.chunks.get(*index as usize)?;
            Some(done(*segment, *index, u64::from(plan.requests()), 0))
        }
        Step::Failed(segment, index, attempt) => Some(failed(*segment, *index, *attempt)),
        Step::Archive(segment) => {
            job.archivable().any(|open| open.plan.segment == *segment).then(|| archived(job, *segment))
        }
        Step::Cancel => command(Command::Cancel { at: Timestamp::new(3_000) }),
        Step::Expire => command(Command::Expire { at: Timestamp::new(HOUR * 2), reason: None }),
        Step::Pause => command(Command::Pause { at: Timestamp::new(3_000) }),
        Step::Resume => command(Command::Resume { at: Timestamp::new(3_000) }),
        Step::Window(hours) => command(Command::Window { at: Timestamp::new(3_000), window_ms: hours * HOUR }),
        Step::Written => job.is_archived().then(written),
        Step::End => command(Command::End { at: Timestamp::new(HOUR * 3) }),
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
        // What a snapshot keeps goes on as if it had been folded.
        let kept: Job = rmp_serde::from_slice(&rmp_serde::to_vec_named(&replay).unwrap()).unwrap();
        prop_assert_eq!(&kept, &replay);
        // Each fact once more changes nothing but what is still owed.
        let facts: Vec<_> = past.iter().filter(|event| !event.is_lifecycle()).collect();
        let ended = matches!(job.phase, Phase::Ended(_));
        facts.iter().for_each(|event| replay.evolve(event));
        if ended {
            prop_assert_eq!(replay, job);
        }
    }
}

fn failed_at(trust: Option<Trust>, index: u32, attempt: u32, at: u64) -> Event {
    let Event::ChunkFailed(fact) = failed(0, index, attempt) else { panic!("a failure") };
    Event::ChunkFailed(ChunkFailed { at: Timestamp::new(at), trust, ..fact })
}

#[test]
fn a_failure_on_a_worker_that_is_not_trusted_speaks_against_nobody() {
    let mut job = running(1);
    (1..=50).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Untrusted), 0, attempt, 5_000)));
    assert!(matches!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Owed { failures, .. }) if failures.counted == 0));
    (51..=53).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Trusted), 0, attempt, 5_000)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

fn failed_on(worker: &str, others: u32, index: u32, attempt: u32) -> Event {
    let Event::ChunkFailed(fact) = failed_at(Some(Trust::Trusted), index, attempt, 5_000) else { panic!("a failure") };
    Event::ChunkFailed(ChunkFailed { worker: worker.into(), others, ..fact })
}

fn counted(job: &Job, index: u32) -> u32 {
    let Some(Chunk::Owed { failures, .. }) = job.chunk(ChunkId::new(0, index)) else { panic!("it is owed") };
    failures.counted
}

/// What fails on one worker alone is tried until another one has had it; what fails on both is poison.
#[test]
fn a_request_is_given_up_where_it_fails_on_whoever_takes_it() {
    let mut job = running(1);
    (1..=20).for_each(|attempt| job.evolve(&failed_on("sour", 1, 0, attempt)));
    assert_eq!(counted(&job, 0), 1);
    job.evolve(&failed_on("good", 1, 0, 21));
    assert_eq!(counted(&job, 0), 2);
    job.evolve(&failed_on("sour", 1, 0, 22));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

/// Whoever is alone is believed, as ever: who was not alone before, a little later.
#[test]
fn where_nobody_else_takes_work_one_worker_is_enough() {
    let mut job = running(1);
    (1..=3).for_each(|attempt| job.evolve(&failed_on("one", 0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
    let mut job = running(1);
    (1..=3).for_each(|attempt| job.evolve(&failed_on("one", 1, 0, attempt)));
    (4..=7).for_each(|attempt| job.evolve(&failed_on("one", 0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

/// A chunk is not taken apart for what one worker says alone.
#[test]
fn a_chunk_is_split_where_it_fails_on_whoever_takes_it() {
    let mut job = running(2);
    (1..=20).for_each(|attempt| job.evolve(&failed_on("sour", 1, 0, attempt)));
    assert_eq!(counted(&job, 0), 1);
    job.evolve(&failed_on("good", 1, 0, 21));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Split));
}

/// Gives up so many single requests, each an own chunk.
fn lossy(requests: u64, lost: u32, trust: Option<Trust>) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    let chunks =
        (0..requests as u32).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10, load: None }).collect();
    let (pools, requests32) = (vec![pool()], requests as u32);
    let plan = SegmentPlan { segment: 0, offset: 0, bytes: 10, first: 0, requests: requests32, pools, chunks };
    job.evolve(&Event::SegmentPlanned(plan));
    let input = "jobs/x/input.jsonl".to_owned();
    let (at, warnings) = (Timestamp::new(2_000), vec![]);
    job.evolve(&Event::JobPlanned(Planned { at, input, requests, segments: 1, bytes: 10, warnings }));
    for index in 0..lost {
        (1..=3).for_each(|attempt| job.evolve(&failed_at(trust, index, attempt, 5_000)));
    }
    job
}

#[test]
fn a_job_of_which_all_fails_holds_and_tries_one_chunk_at_a_time() {
    let mut job = lossy(40, 16, Some(Trust::Trusted));
    assert!(job.hold.is_on());
    assert_eq!(job.tally.failed, 16);
    let sendable =
        |job: &Job, at| job.sendable(&pool(), Timestamp::new(at)).map(|(id, _)| id.index).collect::<Vec<_>>();
    assert_eq!(sendable(&job, 5_500), [0_u32; 0], "it rests");
    assert_eq!(sendable(&job, 6_000), [16]);
    for (tries, pause) in (1..9).zip([2, 4, 8, 16, 32, 60, 60, 60]) {
        job.evolve(&failed_at(Some(Trust::Trusted), 16, tries, 100_000));
        let next = schedule::next_due([&job].into_iter(), Timestamp::new(100_000)).unwrap();
        assert!(next.get() <= 100_000 + pause * 1_000);
        assert_eq!(sendable(&job, 99_999 + pause * 1_000), [0_u32; 0], "{tries}");
        assert_eq!(sendable(&job, 100_000 + pause * 1_000).len(), 1, "{tries}");
    }
    assert_eq!(job.tally.failed, 16, "nothing more is given up");
    job.evolve(&done(0, 17, 1, 0));
    assert!(!job.hold.is_on());
    assert_eq!(sendable(&job, 200_000).len(), 23);
    (9..=11).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Trusted), 16, attempt, 100_000)));
    assert_eq!(job.tally.failed, 17, "what is bad among good ones is given up");
}

/// As they were folded before there were records.
#[test]
fn facts_of_old_are_judged_as_ever() {
    let job = lossy(40, 40, None);
    assert_eq!((job.tally.failed, job.remaining()), (40, 0));
}

#[test]
fn a_result_that_is_lost_is_owed_again() {
    let mut job = running(2);
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!((state(&job), job.remaining()), (State::Finalizing, 0));
    job.evolve(&lost(0, 0, 1, 2));
    let (none, owed) = (
        Tally::default(),
        Some(Chunk::Owed { failures: Failures { tries: 1, ..Failures::default() }, not_before: Timestamp::new(8_000) }),
    );
    assert_eq!((state(&job), job.tally, job.chunk(ChunkId::new(0, 0))), (State::InProgress, none, owed));
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), owed, "it tells of what is lost");
    let Event::ChunkDone(second) = done(0, 0, 2, 0) else { panic!("a fact") };
    job.evolve(&Event::ChunkDone(ChunkDone { attempt: 2, ..second }));
    assert_eq!((state(&job), job.retries), (State::Finalizing, 1));
    job.evolve(&lost(0, 0, 1, 2));
    assert_eq!(state(&job), State::Finalizing, "it was told already");
    invariant_counts(&job);
    invariant_left(&job);
}

#[test]
fn what_is_lost_over_and_over_rests_longer_each_time() {
    let mut job = running(1);
    let rests = (1..10).map(|attempt| {
        let Event::ChunkDone(fact) = done(0, 0, 1, 0) else { panic!("a fact") };
        job.evolve(&Event::ChunkDone(ChunkDone { attempt, ..fact }));
        job.evolve(&lost(0, 0, attempt, 1));
        let Some(Chunk::Owed { not_before, .. }) = job.chunk(ChunkId::new(0, 0)) else { panic!("owed") };
        not_before.since(Timestamp::new(8_000))
    });
    assert_eq!(rests.collect::<Vec<_>>(), [0, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
}

#[test]
fn a_result_lost_from_a_job_that_closes_stays_without_an_answer() {
    let mut job = running(4);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&Event::JobClosing(Closing {
        at: Timestamp::new(7_000),
        cause: Cause::Cancelled,
        late: false,
        reason: None,
    }));
    job.evolve(&lost(0, 0, 1, 2));
    assert_eq!((job.chunk(ChunkId::new(0, 0)), job.tally), (Some(Chunk::Unanswered), Tally::default()));
    invariant_counts(&job);
    invariant_left(&job);
}
