//! WORK: a queue that may lose, double and reorder what it holds.
use super::env::{Env, Link, Number};
use domain::ChunkId;
use std::collections::HashMap;

const WINDOW_MS: u64 = 120_000;
/// A delivery that is not heard of comes again.
pub const ACK_WAIT_MS: u64 = 30_000;

#[derive(Debug, Clone)]
pub struct Work {
    pub seq: u64,
    pub job: Number,
    pub pool: usize,
    pub chunk: ChunkId,
    pub attempt: u32,
    pub alone: bool,
    /// The requests' numbers in the job.
    pub numbers: Vec<u64>,
    pub delivered: u32,
    /// Out at a worker, or handed back, until then.
    pub hidden: u64,
}

/// Job, chunk, attempt, epoch and generation.
pub type Id = (Number, ChunkId, u32, u32, u32);

#[derive(Default)]
pub struct Queue {
    pub held: Vec<Work>,
    ids: HashMap<Id, u64>,
    last: u64,
}

impl Queue {
    pub fn push(&mut self, mut work: Work) {
        self.last += 1;
        work.seq = self.last;
        self.held.push(work);
    }

    pub fn ready(&self, pool: usize, now: u64) -> impl Iterator<Item = usize> + '_ {
        let held = self.held.iter().enumerate();
        held.filter(move |(_, work)| work.pool == pool && work.hidden <= now).map(|(at, _)| at)
    }

    pub fn deliver(&mut self, at: usize, now: u64) -> Work {
        let work = &mut self.held[at];
        work.delivered += 1;
        work.hidden = now + ACK_WAIT_MS;
        work.clone()
    }

    pub fn hide(&mut self, seq: u64, until: u64) {
        self.held.iter_mut().filter(|work| work.seq == seq).for_each(|work| work.hidden = until);
    }

    pub fn ack(&mut self, seq: u64) {
        self.held.retain(|work| work.seq != seq);
    }

    pub fn purge(&mut self, job: Number) {
        self.held.retain(|work| work.job != job);
    }

    pub fn forget_ids(&mut self) {
        self.ids.clear();
    }
}

/// What a publisher hears of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Taken,
    /// It may be stored or not.
    Nothing,
    Refused,
}

pub fn publish(env: &mut Env, work: Work, id: Id) -> Heard {
    let is_there = env.pools[work.pool];
    env.expect(is_there, "nothing is sent to a pool that is gone", || format!("job {} chunk {}", work.job, work.chunk));
    if env.refused.contains(&work.job) {
        env.tell(|| format!("WORK refuses job {} chunk {}", work.job, work.chunk));
        return Heard::Refused;
    }
    let link = env.link();
    if link == Link::Lost {
        return Heard::Nothing;
    }
    let now = env.now;
    if env.work.ids.get(&id).is_none_or(|at| now >= at + WINDOW_MS) {
        env.work.ids.insert(id, now);
        env.work.push(work);
        env.tell(|| format!("WORK takes job {} chunk {} attempt {} ({}.{})", id.0, id.1, id.2, id.3, id.4));
    }
    if link == Link::Fine { Heard::Taken } else { Heard::Nothing }
}
