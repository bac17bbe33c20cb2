//! What is sent and not done: a cache. What it forgets, reconciling finds again.
use super::{Capacity, Held, Moment};
use crate::{ChunkId, JobId, Pool};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug)]
pub(super) struct Out {
    pub pool: Pool,
    pub requests: u32,
    /// Of no wall clock: one that is set back would hide for as long what WORK has lost.
    pub at: Moment,
}

#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Ordered, so that a job's are found without a look at the others'.
    out: BTreeMap<(JobId, ChunkId), Out>,
    pools: HashMap<Pool, Capacity>,
    /// How often a chunk was lost from WORK: the message id of its next send must be a new one.
    lost: BTreeMap<(JobId, ChunkId), u32>,
}

impl Sent {
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn has(&self, job: JobId, chunk: ChunkId) -> bool {
        self.out.contains_key(&(job, chunk))
    }

    pub fn insert(&mut self, job: JobId, chunk: ChunkId, out: Out) {
        self.remove_out(job, chunk);
        let pool = self.pools.entry(out.pool.clone()).or_default();
        *pool = Capacity { chunks: pool.chunks + 1, requests: pool.requests + u64::from(out.requests) };
        self.out.insert((job, chunk), out);
    }

    /// The chunk is done or has failed.
    pub fn remove(&mut self, job: JobId, chunk: ChunkId) -> Option<Out> {
        self.lost.remove(&(job, chunk));
        self.remove_out(job, chunk)
    }

    pub fn resend(&mut self, job: JobId, chunk: ChunkId) {
        self.remove_out(job, chunk);
        *self.lost.entry((job, chunk)).or_default() += 1;
    }

    pub fn generation(&self, job: JobId, chunk: ChunkId) -> u32 {
        self.lost.get(&(job, chunk)).copied().unwrap_or(0)
    }

    /// Whether anything of it was out.
    pub fn drop_job(&mut self, job: JobId) -> bool {
        let all = (job, ChunkId::new(0, 0))..=(job, ChunkId::new(u32::MAX, u32::MAX));
        let gone: Vec<_> = self.out.range(all.clone()).map(|(key, _)| *key).collect();
        for (job, chunk) in &gone {
            self.remove_out(*job, *chunk);
        }
        let lost: Vec<_> = self.lost.range(all).map(|(key, _)| *key).collect();
        for key in lost {
            self.lost.remove(&key);
        }
        !gone.is_empty()
    }

    /// What is out in a pool.
    pub fn of(&self, pool: &Pool) -> Capacity {
        self.pools.get(pool).copied().unwrap_or_default()
    }

    /// What was sent before WORK was looked at and is not among the chunks that it held then.
    pub fn lost(&self, held: &Held) -> Vec<(JobId, ChunkId)> {
        let lost = self.out.iter().filter(|(key, out)| out.at < held.looked && !held.chunks.contains_key(key));
        lost.map(|(key, _)| *key).collect()
    }

    fn remove_out(&mut self, job: JobId, chunk: ChunkId) -> Option<Out> {
        let out = self.out.remove(&(job, chunk))?;
        if let Some(pool) = self.pools.get_mut(&out.pool) {
            *pool = Capacity { chunks: pool.chunks - 1, requests: pool.requests - u64::from(out.requests) };
        }
        Some(out)
    }
}
