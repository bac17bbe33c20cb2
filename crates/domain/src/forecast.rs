//! What a job still wants answered, counted in requests. When it will be done: [`crate::foresight`].
use crate::{
    ChunkId, Event, Job, Pool,
    job::{Chunk, Segment},
};
use std::collections::BTreeMap;

/// Requests that a job wants answered now, by pool. A job that is paused or does not run wants none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed(BTreeMap<Pool, u64>);

/// How much of what a job owes an event can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Nothing,
    Chunk(ChunkId),
    /// A chunk, or its halves.
    Failed(ChunkId),
    Segment(u32),
    Job,
}

impl Scope {
    pub fn of(job: &Job, event: &Event) -> Self {
        let running = job.is_wanted();
        match event {
            Event::ChunkDone(done) if running => Self::Chunk(done.chunk),
            Event::ChunkLost(lost) if running => Self::Chunk(lost.chunk),
            Event::ChunkFailed(failed) if running => Self::Failed(failed.chunk),
            Event::SegmentPlanned(plan) if running => Self::Segment(plan.segment),
            Event::SegmentArchived(segment) if running => Self::Segment(segment.segment),
            Event::ChunkDone(_)
            | Event::ChunkLost(_)
            | Event::ChunkFailed(_)
            | Event::SegmentPlanned(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => Self::Nothing,
            Event::JobSubmitted(_)
            | Event::JobRejected(_)
            | Event::JobPlanned(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobClosing(_)
            | Event::JobEnded(_)
            | Event::JobDeleted(_) => Self::Job,
        }
    }
}

impl Owed {
    pub fn of(job: &Job) -> Self {
        let mut owed = Self::default();
        if job.is_wanted() {
            job.open.values().filter(|segment| segment.left > 0).for_each(|segment| owed.count(segment));
        }
        owed
    }

    /// The part of a job's owed requests that an event can change. Taken before and after the fold, the difference is
    /// what the event changed, so that no fact costs more than the chunk or segment it is about.
    pub fn touched(job: &Job, event: &Event) -> Self {
        match Scope::of(job, event) {
            Scope::Nothing => Self::default(),
            Scope::Chunk(id) => Self::of_chunk(job, id),
            Scope::Failed(id) => Self::of_failed(job, id),
            Scope::Segment(number) => Self::of_segment(job, number),
            Scope::Job => Self::of(job),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, pool: &Pool) -> u64 {
        self.0.get(pool).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Pool, u64)> {
        self.0.iter().map(|(pool, count)| (pool, *count))
    }

    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(pool, count)| self.put(pool, count));
    }

    pub fn subtract(&mut self, other: &Self) {
        for (pool, count) in other.iter() {
            let left = self.get(pool).saturating_sub(count);
            if left == 0 {
                self.0.remove(pool);
            } else {
                self.0.insert(pool.clone(), left);
            }
        }
    }

    fn of_chunk(job: &Job, id: ChunkId) -> Self {
        let mut owed = Self::default();
        if let (Some(segment), Some(Chunk::Owed { .. })) = (job.open.get(&id.segment), job.chunk(id)) {
            let plan = &segment.plan.chunks[id.index as usize];
            owed.put(&segment.plan.pools[usize::from(plan.pool)], u64::from(plan.requests()));
        }
        owed
    }

    fn of_failed(job: &Job, id: ChunkId) -> Self {
        let mut owed = Self::default();
        let touched = job.open.get(&id.segment).map(|segment| segment.touched(id.index));
        for index in touched.into_iter().flatten() {
            owed.add(&Self::of_chunk(job, ChunkId::new(id.segment, index)));
        }
        owed
    }

    fn of_segment(job: &Job, number: u32) -> Self {
        let mut owed = Self::default();
        job.open.get(&number).into_iter().for_each(|segment| owed.count(segment));
        owed
    }

    fn count(&mut self, segment: &Segment) {
        for (chunk, plan) in segment.chunks.iter().zip(&segment.plan.chunks) {
            match chunk {
                Chunk::Owed { .. } => {
                    self.put(&segment.plan.pools[usize::from(plan.pool)], u64::from(plan.requests()));
                }
                Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => {}
            }
        }
    }

    fn put(&mut self, pool: &Pool, count: u64) {
        match self.0.get_mut(pool) {
            Some(held) => *held += count,
            None if count > 0 => drop(self.0.insert(pool.clone(), count)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        JobId, Timestamp,
        event::{
            At, Cause, ChunkDone, ChunkFailed, ChunkPlan, Closing, FaultClass, Input, Planned, SegmentArchived,
            SegmentPlan, Submitted, Tally,
        },
    };

    const NOW: Timestamp = Timestamp::new(1_000_000);

    fn pool(name: &str) -> Pool {
        name.parse().unwrap()
    }

    fn owed(counts: &[(&str, u64)]) -> Owed {
        Owed(counts.iter().map(|(name, count)| (pool(name), *count)).collect())
    }

    fn submitted() -> Event {
        Event::JobSubmitted(Submitted::new(NOW, Input::Stored("in".into()), 100_000))
    }

    fn plan(segment: u32, chunks: &[(u16, u32)]) -> Event {
        let chunks =
            chunks.iter().map(|&(pool, n)| ChunkPlan { pool, runs: vec![(0, n)], bytes: 1, load: None }).collect();
        let pools = vec![pool("a"), pool("b")];
        Event::SegmentPlanned(SegmentPlan { segment, offset: 0, bytes: 1, first: 0, requests: 1, pools, chunks })
    }

    fn planned(segments: u32) -> Event {
        Event::JobPlanned(Planned { at: NOW, input: "in".into(), requests: 60, segments, bytes: 1, warnings: vec![] })
    }

    fn done(segment: u32, index: u32) -> Event {
        let (chunk, tally) = (ChunkId::new(segment, index), Tally::default());
        let worker = "w".to_owned();
        Event::ChunkDone(ChunkDone { at: NOW, chunk, attempt: 1, delivered: 1, worker, started: NOW, tally })
    }

    fn failed(segment: u32, index: u32, attempt: u32) -> Event {
        let (chunk, class) = (ChunkId::new(segment, index), FaultClass::Internal);
        let (worker, reason) = ("w".to_owned(), String::new());
        Event::ChunkFailed(ChunkFailed { at: NOW, chunk, attempt, worker, class, reason, trust: None, others: 0 })
    }

    fn archived(segment: u32) -> Event {
        let tally = Tally::default();
        Event::SegmentArchived(SegmentArchived { at: NOW, segment, tally, output_bytes: 0, error_bytes: 0, losses: 0 })
    }

    /// However many chunks its segment has.
    #[test]
    fn a_failure_touches_its_chunk_alone() {
        let mut job = Job::begin(JobId::keyed("t", "k"), &submitted()).unwrap();
        [plan(0, &[(0, 10), (1, 20), (0, 30)]), planned(1), failed(0, 0, 1)].iter().for_each(|event| job.evolve(event));
        let event = failed(0, 0, 2);
        assert_eq!(Owed::touched(&job, &event), owed(&[("a", 10)]));
        job.evolve(&event);
        assert_eq!(Owed::touched(&job, &event), owed(&[("a", 10)]), "both halves");
    }

    #[test]
    fn what_is_owed_follows_the_events() {
        let mut job = Job::begin(JobId::keyed("t", "k"), &submitted()).unwrap();
        let mut sum = Owed::default();
        for (event, want) in [
            (plan(0, &[(0, 10), (1, 20)]), &[][..]),
            (plan(1, &[(0, 5), (0, 25)]), &[]),
            // Intake began to plan once more and came to fewer segments.
            (plan(2, &[(0, 99)]), &[]),
            (planned(2), &[("a", 40), ("b", 20)]),
            (done(0, 1), &[("a", 40)]),
            (done(0, 1), &[("a", 40)]),
            (failed(1, 1, 1), &[("a", 40)]),
            // It is split now: what it owes, its halves owe.
            (failed(1, 1, 2), &[("a", 40)]),
            (failed(1, 1, 2), &[("a", 40)]),
            (done(1, 2), &[("a", 27)]),
            (failed(1, 1, 3), &[("a", 27)]),
            (Event::JobPaused(At { at: NOW }), &[]),
            (failed(1, 3, 1), &[]),
            (Event::JobResumed(At { at: NOW }), &[("a", 27)]),
            (failed(1, 3, 2), &[("a", 27)]),
            (done(1, 4), &[("a", 21)]),
            (done(1, 5), &[("a", 15)]),
            (done(0, 0), &[("a", 5)]),
            (done(7, 0), &[("a", 5)]),
            (archived(0), &[("a", 5)]),
            (Event::JobClosing(Closing { at: NOW, cause: Cause::Cancelled, late: false, reason: None }), &[]),
            (done(1, 0), &[]),
        ] {
            let before = Owed::touched(&job, &event);
            job.evolve(&event);
            sum.subtract(&before);
            sum.add(&Owed::touched(&job, &event));
            assert_eq!(sum, owed(want), "{event:?}");
            assert_eq!(sum, Owed::of(&job), "{event:?}");
        }
    }
}
