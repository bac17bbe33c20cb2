//! The attempts that mattered, of however many there were: the slowest, and the first and the last that failed.
use crate::{
    ChunkId, Timestamp,
    event::{ChunkDone, ChunkFailed, FaultClass},
};
use std::collections::{BTreeMap, VecDeque};

/// Attempts of each kind that are kept.
pub const KEPT: usize = 6;
/// Workers whose failures are counted apart.
const WORKERS_MAX: usize = 64;

/// One run of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub chunk: ChunkId,
    pub attempt: u32,
    pub worker: String,
    /// When it began, as far as that was told: of one that failed it was not.
    pub from: Option<Timestamp>,
    pub until: Timestamp,
    /// Deliveries, if more than one: workers were lost with it.
    pub delivered: u32,
    pub fault: Option<Fault>,
}

/// What an attempt failed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub class: FaultClass,
    pub reason: String,
}

#[derive(Debug, Clone, Default)]
pub struct Attempts {
    pub runs: u64,
    pub failed: u64,
    /// Milliseconds that the longest run took.
    pub longest: u64,
    /// Of done ones, the longest first.
    slow: Vec<Attempt>,
    first: Vec<Attempt>,
    last: VecDeque<Attempt>,
    classes: BTreeMap<FaultClass, u64>,
    workers: BTreeMap<String, u64>,
}

impl Attempt {
    /// How long it ran, milliseconds.
    pub fn ms(&self) -> Option<u64> {
        self.from.map(|from| self.until.since(from))
    }
}

impl Attempts {
    pub fn done(&mut self, done: &ChunkDone, from: Timestamp, until: Timestamp) {
        self.runs += 1;
        let ms = until.since(from);
        self.longest = self.longest.max(ms);
        let at = self.slow.partition_point(|held| held.ms().unwrap_or(0) >= ms);
        if at < KEPT {
            let ChunkDone { chunk, attempt, delivered, .. } = *done;
            let worker = done.worker.clone();
            self.slow.insert(at, Attempt { chunk, attempt, worker, from: Some(from), until, delivered, fault: None });
            self.slow.truncate(KEPT);
        }
    }

    pub fn failed(&mut self, failed: &ChunkFailed, until: Timestamp) {
        (self.runs, self.failed) = (self.runs + 1, self.failed + 1);
        *self.classes.entry(failed.class).or_default() += 1;
        if self.workers.len() < WORKERS_MAX || self.workers.contains_key(&failed.worker) {
            *self.workers.entry(failed.worker.clone()).or_default() += 1;
        }
        let fault = Some(Fault { class: failed.class, reason: failed.reason.clone() });
        let (chunk, attempt, worker) = (failed.chunk, failed.attempt, failed.worker.clone());
        let attempt = Attempt { chunk, attempt, worker, from: None, until, delivered: 1, fault };
        if self.first.len() < KEPT / 2 {
            return self.first.push(attempt);
        }
        self.last.push_back(attempt);
        if self.last.len() > KEPT / 2 {
            self.last.pop_front();
        }
    }

    /// In the order in which they ended.
    pub fn told(&self) -> Vec<Attempt> {
        let mut told: Vec<_> = self.slow.iter().chain(&self.first).chain(&self.last).cloned().collect();
        told.sort_by_key(|attempt| (attempt.until, attempt.chunk, attempt.attempt));
        told
    }

    /// What most of the failed ones failed of, and the worker that most of them failed on.
    pub fn blamed(&self) -> Option<(FaultClass, &str)> {
        let (class, _) = self.classes.iter().max_by_key(|(_, count)| **count)?;
        let (worker, _) = self.workers.iter().max_by_key(|(_, count)| **count)?;
        Some((*class, worker))
    }
}
