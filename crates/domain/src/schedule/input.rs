//! What the scheduler is told, and what it wants done.
use super::Crew;
use crate::{ChunkId, Event, Job, JobId, Pool, Timestamp, command::Command};
use std::collections::HashMap;

/// Milliseconds of a clock that nobody sets. Only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    pub const fn new(ms: u64) -> Self {
        Self(ms)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// One instant on both clocks: the one that events are dated with, and the one that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub at: Timestamp,
    pub moment: Moment,
}

/// The fold of the log, which the scheduler reads and does not own. A job that ended may be missing.
pub trait Jobs {
    fn job(&self, id: JobId) -> Option<&Job>;
    fn jobs(&self) -> impl Iterator<Item = &Job>;
}

/// An event that was folded into the jobs.
#[derive(Debug, Clone, Copy)]
pub struct Folded<'a> {
    pub job: JobId,
    pub event: &'a Event,
    /// Its place in the log.
    pub seq: u64,
    /// When it was stored.
    pub stored: Timestamp,
    /// The trace context it was written with.
    pub trace: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    Folded(Folded<'a>),
    /// Who works, by pool.
    Crews(&'a HashMap<Pool, Crew>),
    /// WORK has taken it.
    Sent(&'a Send),
    /// The job's input cannot be read, or is not the one that was planned.
    Unreadable(JobId),
    /// A stream had no room for what was sent.
    Full,
    /// All that was sent was taken.
    Taken,
    /// The command's event is stored.
    Appended(JobId),
    /// WORK holds nothing of the job any more, or needs not to.
    Withdrawn(JobId),
    /// The dead-letter desk knows of the job's events up to this one.
    DeadLettered(JobId, u64),
    /// All that was owed was tried.
    Tried,
    /// An effect did not come to pass for a reason that may be over soon.
    Failed,
}

/// A chunk to be put into WORK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    pub job: JobId,
    pub chunk: ChunkId,
    pub pool: Pool,
    pub requests: u32,
    /// How often it was lost from WORK: part of its message's id.
    pub generation: u32,
    /// The trace of its failed attempt.
    pub failed: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the dead-letter desk of the chunks that the job's events of this span have given up.
    DeadLetter {
        job: JobId,
        from: u64,
        until: u64,
    },
    /// Append what the command decides.
    Append(JobId, Command),
    /// Remove from WORK what it holds of the job.
    Withdraw(JobId),
    Send(Send),
}

/// What WORK held.
#[derive(Debug, Clone)]
pub struct Held {
    /// Sent and not acknowledged.
    pub chunks: HashMap<(JobId, ChunkId), Pool>,
    /// When it was looked at, on both clocks.
    pub at: Timestamp,
    pub looked: Moment,
}
