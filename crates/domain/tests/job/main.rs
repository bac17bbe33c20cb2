//! A job's life: examples as tables, then random events, duplicates and late facts, with every invariant after each.
#![allow(clippy::unwrap_used)]
mod failures;
mod life;
mod losses;
mod random;
mod turns;

use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    command::Command,
    decide::{Denied, decide},
    event::*,
    job::{Chunk, Phase},
    pack::{Packer, Packing},
    retry::Failures,
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
    Submitted { fingerprint: "f".into(), ..Submitted::new(Timestamp::new(1_000), Input::Inline, HOUR) }
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

fn failed_at(trust: Option<Trust>, index: u32, attempt: u32, at: u64) -> Event {
    let Event::ChunkFailed(fact) = failed(0, index, attempt) else { panic!("a failure") };
    Event::ChunkFailed(ChunkFailed { at: Timestamp::new(at), trust, ..fact })
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
