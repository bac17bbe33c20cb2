//! What a scheduler has sent and does not know to be done: a cache, as the scheduler's own.
use super::env::Number;
use domain::{ChunkId, schedule::Room};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy)]
pub struct Out {
    pub pool: usize,
    pub requests: u32,
    pub at: u64,
}

#[derive(Default)]
pub struct Sent {
    out: BTreeMap<(Number, ChunkId), Out>,
    lost: BTreeMap<(Number, ChunkId), u32>,
}

impl Sent {
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn has(&self, job: Number, chunk: ChunkId) -> bool {
        self.out.contains_key(&(job, chunk))
    }

    pub fn insert(&mut self, job: Number, chunk: ChunkId, out: Out) {
        self.out.insert((job, chunk), out);
    }

    /// The chunk is done or has failed.
    pub fn remove(&mut self, job: Number, chunk: ChunkId) -> Option<Out> {
        self.lost.remove(&(job, chunk));
        self.out.remove(&(job, chunk))
    }

    pub fn resend(&mut self, job: Number, chunk: ChunkId) {
        self.out.remove(&(job, chunk));
        *self.lost.entry((job, chunk)).or_default() += 1;
    }

    pub fn generation(&self, job: Number, chunk: ChunkId) -> u32 {
        self.lost.get(&(job, chunk)).copied().unwrap_or(0)
    }

    /// Whether anything of it was out.
    pub fn drop_job(&mut self, job: Number) -> bool {
        let before = self.out.len();
        self.out.retain(|(number, _), _| *number != job);
        self.lost.retain(|(number, _), _| *number != job);
        self.out.len() != before
    }

    pub fn room(&self, pool: usize) -> Room {
        let of_pool = self.out.values().filter(|out| out.pool == pool);
        of_pool.fold(Room { chunks: 0, requests: 0 }, |room, out| Room {
            chunks: room.chunks + 1,
            requests: room.requests + u64::from(out.requests),
        })
    }

    /// What was sent before `at` and is not among the chunks that WORK held then.
    pub fn lost(&self, held: &BTreeSet<(Number, ChunkId)>, at: u64) -> Vec<(Number, ChunkId)> {
        self.out.iter().filter(|(key, out)| out.at < at && !held.contains(key)).map(|(key, _)| *key).collect()
    }
}
