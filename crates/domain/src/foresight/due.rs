//! What a job still owes, as far as a forecast asks: its chunks' loads, summed by pool and kind.
use crate::{
    ChunkId, Event, Job, Pool,
    event::ChunkPlan,
    forecast::Scope,
    job::{Chunk, Segment},
    load::{Kind, Load},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chunks of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    pub chunks: u64,
    pub requests: u64,
    pub prompt_bytes: u64,
    /// Tokens.
    pub caps: u64,
    /// Chunks with a request that has no cap.
    pub uncapped: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due(BTreeMap<Pool, BTreeMap<Kind, Sum>>);

/// The load of a chunk; where intake told none, what its bytes tell.
pub fn load(plan: &ChunkPlan) -> Load {
    let each = u64::from(plan.bytes) / u64::from(plan.requests().max(1));
    plan.load.unwrap_or(Load { prompt_bytes: u64::from(plan.bytes), caps: 0, kind: Kind::new(0, each) })
}

impl Sum {
    pub fn of(plan: &ChunkPlan) -> Self {
        let Load { prompt_bytes, caps, .. } = load(plan);
        Self { chunks: 1, requests: u64::from(plan.requests()), prompt_bytes, caps, uncapped: u64::from(caps == 0) }
    }

    pub fn add(&mut self, other: &Self) {
        self.chunks += other.chunks;
        self.requests += other.requests;
        self.prompt_bytes += other.prompt_bytes;
        self.caps += other.caps;
        self.uncapped += other.uncapped;
    }

    fn subtract(&mut self, other: &Self) {
        self.chunks = self.chunks.saturating_sub(other.chunks);
        self.requests = self.requests.saturating_sub(other.requests);
        self.prompt_bytes = self.prompt_bytes.saturating_sub(other.prompt_bytes);
        self.caps = self.caps.saturating_sub(other.caps);
        self.uncapped = self.uncapped.saturating_sub(other.uncapped);
    }
}

impl Due {
    pub fn of(job: &Job) -> Self {
        let mut due = Self::default();
        if job.is_wanted() {
            job.open.values().filter(|segment| segment.left > 0).for_each(|segment| due.count(segment));
        }
        due
    }

    /// The part that an event can change: taken before and after the fold, as [`crate::forecast::Owed::touched`].
    pub fn touched(job: &Job, event: &Event) -> Self {
        match Scope::of(job, event) {
            Scope::Nothing => Self::default(),
            Scope::Chunk(id) => Self::of_chunk(job, id),
            Scope::Failed(id) => Self::of_failed(job, id),
            Scope::Segment(number) => {
                let mut due = Self::default();
                job.open.get(&number).into_iter().for_each(|segment| due.count(segment));
                due
            }
            Scope::Job => Self::of(job),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn pools(&self) -> impl Iterator<Item = (&Pool, &BTreeMap<Kind, Sum>)> {
        self.0.iter()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Pool, Kind, &Sum)> {
        self.0.iter().flat_map(|(pool, kinds)| kinds.iter().map(move |(kind, sum)| (pool, *kind, sum)))
    }

    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(pool, kind, sum)| self.put(pool, kind, sum));
    }

    pub fn subtract(&mut self, other: &Self) {
        for (pool, kind, sum) in other.iter() {
            let Some(kinds) = self.0.get_mut(pool) else { continue };
            if let Some(held) = kinds.get_mut(&kind) {
                held.subtract(sum);
            }
            kinds.retain(|_, held| held.chunks > 0);
        }
        self.0.retain(|_, kinds| !kinds.is_empty());
    }

    fn of_chunk(job: &Job, id: ChunkId) -> Self {
        let mut due = Self::default();
        if let (Some(segment), Some(Chunk::Owed { .. })) = (job.open.get(&id.segment), job.chunk(id)) {
            due.count_one(segment, &segment.plan.chunks[id.index as usize]);
        }
        due
    }

    fn of_failed(job: &Job, id: ChunkId) -> Self {
        let mut due = Self::default();
        let touched = job.open.get(&id.segment).map(|segment| segment.touched(id.index));
        for index in touched.into_iter().flatten() {
            due.add(&Self::of_chunk(job, ChunkId::new(id.segment, index)));
        }
        due
    }

    fn count(&mut self, segment: &Segment) {
        let owed = segment.chunks.iter().zip(&segment.plan.chunks);
        owed.filter(|(chunk, _)| matches!(chunk, Chunk::Owed { .. })).for_each(|(_, plan)| {
            self.count_one(segment, plan);
        });
    }

    fn count_one(&mut self, segment: &Segment, plan: &ChunkPlan) {
        self.put(&segment.plan.pools[usize::from(plan.pool)], load(plan).kind, &Sum::of(plan));
    }

    pub(super) fn put(&mut self, pool: &Pool, kind: Kind, sum: &Sum) {
        if !self.0.contains_key(pool) {
            self.0.insert(pool.clone(), BTreeMap::new());
        }
        if let Some(kinds) = self.0.get_mut(pool) {
            kinds.entry(kind).or_default().add(sum);
        }
    }
}
