//! Which job goes first, and how far a pool may be ahead.
use super::fair::{Queue, Turns, Weights};
use crate::{
    ChunkId, Job, JobId, Pool, Timestamp,
    event::Priority,
    job::{Chunk, Phase},
};

/// Earlier is more urgent: by class, then by deadline, then by submission, then by id so that the order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency {
    pub priority: Priority,
    pub deadline: Timestamp,
    pub submitted: Timestamp,
    pub job: JobId,
}

impl Urgency {
    pub fn of(job: &Job) -> Self {
        Self { priority: job.priority, deadline: job.deadline, submitted: job.submitted.at, job: job.id }
    }
}

/// Those of the jobs whose chunks are to run now, the most urgent first: so go the jobs of one queue. Whose turn it is among
/// queues: [`super::Turns`].
pub fn order<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<&'a Job> {
    let mut jobs: Vec<_> = jobs.filter(|job| job.is_wanted()).collect();
    jobs.sort_unstable_by_key(|job| Urgency::of(job));
    jobs
}

/// When, after `now`, time alone next changes what is owed: a deadline passes, or a chunk that failed may be sent again.
/// Walks all that is owed: for who steps from time to time, and not for who ticks.
pub fn next_due<'a>(jobs: impl Iterator<Item = &'a Job>, now: Timestamp) -> Option<Timestamp> {
    let times = jobs.filter(|job| matches!(job.phase, Phase::Validating | Phase::Running)).flat_map(|job| {
        let open = job.open.values().filter(|segment| job.is_wanted() && segment.left > 0);
        let retries = open.flat_map(|segment| &segment.chunks).filter_map(|chunk| match chunk {
            Chunk::Owed { not_before, .. } => Some(*not_before),
            Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
        });
        retries.chain(job.hold.not_before().filter(|_| job.is_wanted())).chain([job.deadline])
    });
    times.filter(|at| *at > now).min()
}

/// A chunk that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub job: JobId,
    pub chunk: ChunkId,
    pub requests: u32,
}

/// Who works in a pool: how many workers, and the requests that all of them run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    pub workers: u64,
    pub slots: u64,
}

impl Default for Crew {
    /// As long as nothing is known.
    fn default() -> Self {
        Self { workers: 1, slots: 0 }
    }
}

/// How far a pool may be ahead of its workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    pub chunks: u64,
    pub requests: u64,
}

impl Capacity {
    /// Room for `seconds` of work at `rate` requests/s, at least three chunks for each worker and what fills all slots one
    /// and a half times, less what is out already. Chunks that are out count whole until they are done.
    pub fn ahead(rate: f64, seconds: f64, crew: Crew, out: Self) -> Self {
        let chunks = 3 * crew.workers.max(1);
        let requests = ((rate * seconds).max(0.0) as u64).max(crew.slots + crew.slots / 2);
        if out.chunks < chunks {
            return Self { chunks: chunks - out.chunks, requests: u64::MAX };
        }
        Self { chunks: u64::MAX, requests: requests.saturating_sub(out.requests) }
    }

    pub const fn is_none(self) -> bool {
        self.chunks == 0 || self.requests == 0
    }
}

/// The next chunks for `pool`, whose turn it is first, as long as there is room. The jobs of a queue come in order of
/// urgency; `out` says what is sent and not done.
pub fn next<'a, J: Iterator<Item = &'a Job>>(
    queues: impl Iterator<Item = (Queue, J)>,
    pool: &'a Pool,
    mut room: Capacity,
    out: impl Fn(JobId, ChunkId) -> bool,
    now: Timestamp,
    mut turns: (Turns, &Weights),
) -> Vec<Next> {
    let is_out = &out;
    let owed = |jobs: J| {
        let chunks = jobs.flat_map(move |job| job.sendable(pool, now).map(move |(chunk, n)| (job, chunk, n)));
        chunks.filter(move |(job, chunk, _)| !is_out(job.id, *chunk))
    };
    let mut queues: Vec<_> = queues.map(|(queue, jobs)| (queue, owed(jobs).peekable())).collect();
    let mut sends = Vec::new();
    while !room.is_none() {
        queues.retain_mut(|(_, chunks)| chunks.peek().is_some());
        let heads = queues.iter_mut().filter_map(|(queue, chunks)| Some((*queue, Urgency::of(chunks.peek()?.0))));
        let Some(queue) = turns.0.next(&heads.collect::<Vec<_>>()) else { break };
        let chunks = queues.iter_mut().find(|(other, _)| *other == queue);
        let Some((job, chunk, requests)) = chunks.and_then(|(_, chunks)| chunks.next()) else { break };
        turns.0.charge(&queue, requests, turns.1);
        room.chunks -= 1;
        room.requests = room.requests.saturating_sub(u64::from(requests));
        sends.push(Next { job: job.id, chunk, requests });
    }
    sends
}
