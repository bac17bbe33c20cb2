use super::*;
use crate::{
    Event, JobId,
    event::{At, Cause, ChunkFailed, ChunkPlan, Closing, FaultClass, Input, Planned, SegmentPlan, Submitted},
};

const NOW: Timestamp = Timestamp::new(1_000_000);
const LONG_AGO: Timestamp = Timestamp::new(900_000);

fn pool() -> Pool {
    "a".parse().unwrap()
}

fn submitted() -> Event {
    Event::JobSubmitted(Submitted::new(LONG_AGO, Input::Stored("in".into()), 1_000_000))
}

fn validating() -> Job {
    Job::begin(JobId::keyed("t", "k"), &submitted()).unwrap()
}

/// One chunk, owed by pool a.
fn running() -> Job {
    let mut job = validating();
    let chunks = vec![ChunkPlan { pool: 0, runs: vec![(0, 10)], bytes: 1, load: None }];
    let plan = SegmentPlan { segment: 0, offset: 0, bytes: 1, first: 0, requests: 10, pools: vec![pool()], chunks };
    job.evolve(&Event::SegmentPlanned(plan));
    let planned = Planned { at: LONG_AGO, input: "in".into(), requests: 10, segments: 1, bytes: 1, warnings: vec![] };
    job.evolve(&Event::JobPlanned(planned));
    job
}

/// A worker is there and busy, a scheduler leads, and nothing came back for long.
fn world() -> World {
    let view = PoolView {
        is_configured: true,
        workers: 1,
        is_busy: true,
        answered: LONG_AGO,
        longest_ms: 100,
        ..PoolView::default()
    };
    World { now: NOW, pools: [(pool(), view)].into(), is_scheduled: true, ..World::default() }
}

fn find(job: &Job, world: &World, ahead: &[Pool]) -> Option<(Kind, bool)> {
    let owed = Owed::of(job);
    let still = Still { job, owed: &owed, since: LONG_AGO };
    let turns = [(pool(), LONG_AGO)].into_iter().filter(|(pool, _)| !ahead.contains(pool)).collect();
    let stall = stall(&still, world, &turns)?;
    Some((stall.trouble.what, stall.pool.is_some()))
}

fn with(change: impl FnOnce(&mut World, &mut PoolView)) -> World {
    let mut world = world();
    let mut view = world.pools.remove(&pool()).unwrap();
    change(&mut world, &mut view);
    world.pools.insert(pool(), view);
    world
}

#[test]
fn a_running_job_is_told_what_it_waits_for() {
    let job = running();
    assert_eq!(find(&job, &world(), &[]), Some((Kind::Worker, true)), "a worker that answers nothing");
    for (world, want, why) in [
        (with(|_, view| view.workers = 0), Some((Kind::Worker, true)), "no worker"),
        (with(|_, view| *view = PoolView::default()), Some((Kind::Pool, true)), "a pool that nobody knows"),
        (with(|world, _| world.is_scheduled = false), Some((Kind::Queue, false)), "no scheduler"),
        (with(|_, view| view.is_busy = false), Some((Kind::Queue, true)), "idle workers"),
        (with(|_, view| view.answered = NOW), Some((Kind::Chunk, false)), "others are answered, and it is the first"),
        (with(|_, view| view.longest_ms = 40_000), None, "runs are long here"),
        (with(|world, _| world.clear_since = NOW), None, "nobody looked before"),
    ] {
        assert_eq!(find(&job, &world, &[]), want, "{why}");
    }
}

#[test]
fn who_waits_for_more_urgent_jobs_is_not_stalled() {
    let world = with(|_, view| view.answered = NOW);
    assert_eq!(find(&running(), &world, &[pool()]), None);
    assert_eq!(find(&running(), &self::world(), &[pool()]), Some((Kind::Worker, true)), "nobody is answered");
}

#[test]
fn what_is_held_or_over_is_not_stalled() {
    let mut job = running();
    job.evolve(&Event::JobPaused(At { at: NOW }));
    assert_eq!(find(&job, &with(|_, view| view.workers = 0), &[]), None);
}

#[test]
fn a_first_chunk_is_given_as_long_as_its_tokens_come() {
    let first = |now: u64, moved: u64| {
        with(|world, view| {
            (world.now, view.answered, view.longest_ms) = (LONG_AGO.plus(now), Timestamp::default(), 0);
            view.moved = LONG_AGO.plus(moved);
        })
    };
    assert_eq!(find(&running(), &first(STILL_MS - 1, 0), &[]), None);
    assert_eq!(find(&running(), &first(STILL_MS, 0), &[]), Some((Kind::Worker, true)), "no token");
    assert_eq!(find(&running(), &first(60_000, 60_001 - STILL_MS), &[]), None);
    assert_eq!(find(&running(), &first(60_000, 60_000 - STILL_MS), &[]), Some((Kind::Worker, true)), "none any more");
}

#[test]
fn validation_and_archiving_are_watched_and_take_turns() {
    let job = validating();
    assert_eq!(find(&job, &world(), &[]), Some((Kind::Validation, false)));
    assert_eq!(find(&job, &World { validated: NOW, ..world() }, &[]), None);
    let mut job = running();
    job.evolve(&Event::JobClosing(Closing { at: NOW, cause: Cause::Cancelled, late: false, reason: None }));
    assert_eq!(find(&job, &world(), &[]), Some((Kind::Results, false)));
    job.output_bytes = 90 * WRITTEN_BYTES_PER_S + 10;
    assert_eq!(find(&job, &world(), &[]), Some((Kind::Results, false)), "98 s");
    job.output_bytes = 100 * WRITTEN_BYTES_PER_S;
    assert_eq!(find(&job, &world(), &[]), None, "a large output takes its time");
}

fn failed(attempt: u32, at: Timestamp) -> Event {
    let (worker, reason, chunk) = (String::new(), String::new(), ChunkId::new(0, 0));
    let class = FaultClass::Internal;
    Event::ChunkFailed(ChunkFailed { at, chunk, attempt, worker, class, reason, trust: None, others: 0 })
}

#[test]
fn a_failed_attempt_is_no_progress_and_is_named() {
    let (mut job, before) = (running(), Progress::of(&running()));
    job.evolve(&failed(1, LONG_AGO));
    assert_eq!(Progress::of(&job), before);
    let owed = Owed::of(&job);
    let still = Still { job: &job, owed: &owed, since: LONG_AGO };
    let look = |turn| stall(&still, &with(|_, view| view.answered = NOW), &[(pool(), turn)].into());
    assert_eq!(look(NOW), None, "its turn has only come");
    let found = look(LONG_AGO).unwrap();
    assert!(found.trouble.cause.contains("failed 1 times"), "{}", found.trouble.cause);
}

/// Idle workers are no fault of the scheduler's then.
#[test]
fn a_job_that_waits_to_be_tried_again_says_so() {
    let mut job = running();
    job.evolve(&failed(1, NOW));
    let owed = Owed::of(&job);
    let still = Still { job: &job, owed: &owed, since: LONG_AGO };
    let idle = with(|_, view| view.is_busy = false);
    let found = stall(&still, &idle, &BTreeMap::new()).unwrap();
    assert_eq!((found.pool, found.trouble.what), (None, Kind::Chunk));
    assert!(found.trouble.cause.ends_with("failed 1 times, and waits to be tried again"), "{}", found.trouble.cause);
    let later = World { now: NOW.plus(1_000 + STILL_MS), ..idle };
    assert_eq!(find(&job, &later, &[]), Some((Kind::Queue, true)), "it could be tried by now");
}
