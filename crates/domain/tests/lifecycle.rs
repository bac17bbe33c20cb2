//! The table of a job's life is what the code does, and what docs/lifecycle.md draws.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Timestamp, command::Command, decide::decide, event::*, job::Chunk, status::State,
};
use std::collections::BTreeSet;

#[path = "lifecycle/table.rs"]
mod table;

use table::{Cue, TABLE};

const AT: Timestamp = Timestamp::new(2_000);

fn validating() -> Job {
    let submitted =
        Submitted { fingerprint: "f".into(), ..Submitted::new(Timestamp::new(1_000), Input::Inline, 60_000) };
    Job::begin(JobId::keyed("default", "job"), &Event::JobSubmitted(submitted)).unwrap()
}

fn segment() -> SegmentPlan {
    let chunks = (0..2).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10, load: None }).collect();
    SegmentPlan { segment: 0, offset: 0, bytes: 20, first: 0, requests: 2, pools: vec!["p".parse().unwrap()], chunks }
}

/// The job after a cue, if the cue means anything for it.
fn after(job: &Job, cue: Cue) -> Job {
    let mut job = job.clone();
    match cue {
        Cue::Planned => plan(&mut job),
        Cue::Rejected => order(&mut job, Command::Reject { at: AT, errors: vec![], total: 1 }),
        Cue::Pause => order(&mut job, Command::Pause { at: AT }),
        Cue::Resume => order(&mut job, Command::Resume { at: AT }),
        Cue::Cancel => order(&mut job, Command::Cancel { at: AT }),
        Cue::Deadline => order(&mut job, Command::Expire { at: Timestamp::new(90_000), reason: None }),
        Cue::Answered => (0..2).for_each(|index| answer(&mut job, index)),
        Cue::Lost => lose(&mut job),
        Cue::Written => write(&mut job),
        Cue::Abandoned => order(&mut job, Command::Abandon { at: AT }),
    }
    job
}

fn order(job: &mut Job, command: Command) {
    decide(Some(job), command).unwrap_or_default().iter().for_each(|event| job.evolve(event));
}

fn plan(job: &mut Job) {
    job.evolve(&Event::SegmentPlanned(segment()));
    let input = "x".to_owned();
    order(job, Command::Plan(Planned { at: AT, input, requests: 2, segments: 1, bytes: 20, warnings: vec![] }));
}

fn answer(job: &mut Job, index: u32) {
    let tally = Tally { completed: 1, ..Tally::default() };
    let (chunk, worker, attempt) = (ChunkId::new(0, index), "w".to_owned(), attempt(job, index));
    job.evolve(&Event::ChunkDone(ChunkDone { at: AT, chunk, attempt, delivered: 1, worker, started: AT, tally }));
}

fn lose(job: &mut Job) {
    let (chunk, attempt) = (ChunkId::new(0, 0), attempt(job, 0));
    let tally = Tally { completed: 1, ..Tally::default() };
    job.evolve(&Event::ChunkLost(ChunkLost { at: AT, chunk, attempt, tally }));
}

/// One that was not lost yet.
fn attempt(job: &Job, index: u32) -> u32 {
    let lost = job.open.get(&0).and_then(|segment| segment.lost.get(&index));
    lost.map_or(1, |lost| lost.attempt + 1)
}

fn write(job: &mut Job) {
    let segments: Vec<_> = job.archivable().cloned().collect();
    for segment in segments {
        let unanswered = segment.chunks.iter().filter(|chunk| **chunk == Chunk::Unanswered).count() as u64;
        let tally = Tally { unanswered, ..segment.tally };
        let (segment, output_bytes, error_bytes) = (segment.plan.segment, 1, 0);
        job.evolve(&Event::SegmentArchived(SegmentArchived {
            at: AT,
            segment,
            tally,
            output_bytes,
            error_bytes,
            losses: 0,
        }));
    }
    if job.is_archived() {
        job.evolve(&Event::OutputWritten(OutputWritten { at: AT, output: None, errors: None, losses: 0 }));
    }
    order(job, Command::End { at: AT });
}

/// Every step that any sequence of cues can make.
fn walk(job: &Job, depth: u32, seen: &mut BTreeSet<(State, &'static str, State)>) {
    for cue in Cue::ALL {
        let next = after(job, cue);
        let (from, to) = (State::of(job), State::of(&next));
        if from != to {
            seen.insert((from, cue.as_str(), to));
        } else if next == *job {
            continue;
        }
        let counts = domain::status::Status::of(&next).requests;
        assert_eq!(counts.total, counts.completed + counts.failed + counts.unanswered + counts.remaining, "{to:?}");
        if depth > 0 {
            walk(&next, depth - 1, seen);
        }
    }
}

#[test]
fn the_table_is_what_the_code_does() {
    let mut seen = BTreeSet::new();
    walk(&validating(), 6, &mut seen);
    let table = TABLE.map(|(from, cue, to)| (from, cue.as_str(), to));
    assert_eq!(seen, BTreeSet::from(table));
}

#[test]
fn nothing_leaves_a_terminal_state() {
    assert!(TABLE.iter().all(|(from, _, _)| !from.is_terminal()));
    for state in State::ALL.iter().copied().filter(|state| state.is_terminal()) {
        assert!(TABLE.iter().any(|(_, _, to)| *to == state), "{state:?} is never reached");
    }
}

#[test]
fn the_architecture_draws_it() {
    let text = include_str!("../../../docs/lifecycle.md");
    let drawn = text.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    assert_eq!(drawn, table::mermaid(), "docs/lifecycle.md must hold exactly this diagram");
}
