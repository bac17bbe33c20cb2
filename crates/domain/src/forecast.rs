//! When every running job will be done: each pool answers in the order of urgency, at the speed it was seen to have.
use crate::{
    ChunkId, Event, Job, JobId, Millis, Pool,
    eta::{self, Eta},
    job::{Chunk, Segment},
    rate::Speed,
};
use std::collections::BTreeMap;

/// Requests that a job wants answered now, by pool. A job that is paused or does not run wants none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed(BTreeMap<Pool, u64>);

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
        let running = job.is_wanted();
        match event {
            Event::ChunkDone(done) if running => Self::of_chunk(job, done.chunk),
            // It may be split: its halves stand at the end of the segment.
            Event::ChunkFailed(failed) if running => Self::of_segment(job, failed.chunk.segment),
            Event::SegmentPlanned(plan) if running => Self::of_segment(job, plan.segment),
            Event::SegmentArchived(segment) if running => Self::of_segment(job, segment.segment),
            Event::ChunkDone(_)
            | Event::ChunkFailed(_)
            | Event::SegmentPlanned(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => Self::default(),
            Event::JobSubmitted(_)
            | Event::JobRejected(_)
            | Event::JobPlanned(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobClosing(_)
            | Event::JobEnded(_)
            | Event::JobDeleted(_) => Self::of(job),
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

/// The ETA of each running job, from the most urgent on: a pool answers what is owed to more urgent jobs first. A job
/// over several pools is done with its last one, and has no ETA while one of them was never seen at work.
pub fn forecast<'a>(
    jobs: impl IntoIterator<Item = (JobId, &'a Owed)>,
    speeds: &BTreeMap<Pool, Speed>,
    now: Millis,
) -> Vec<(JobId, Eta)> {
    let mut ahead = Owed::default();
    let etas = jobs.into_iter().map(|(job, owed)| {
        ahead.add(owed);
        let pools = owed.iter().map(|(pool, _)| Some(eta::eta(now, ahead.get(pool), *speeds.get(pool)?)));
        let done = Some(Eta { p50: now, p90: now });
        (job, pools.fold(done, |last, eta| Some(eta::later(last?, eta?))))
    });
    etas.filter_map(|(job, eta)| Some((job, eta?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{
            At, Cause, ChunkDone, ChunkFailed, ChunkPlan, Closing, FaultClass, Input, Planned, Priority,
            SegmentArchived, SegmentPlan, Submitted, Tally,
        },
        pack::Packing,
        retry::Policies,
    };

    const NOW: Millis = Millis::new(1_000_000);

    fn pool(name: &str) -> Pool {
        name.parse().unwrap()
    }

    fn owed(counts: &[(&str, u64)]) -> Owed {
        Owed(counts.iter().map(|(name, count)| (pool(name), *count)).collect())
    }

    fn speeds(means: &[(&str, f64)]) -> BTreeMap<Pool, Speed> {
        means.iter().map(|(name, mean)| (pool(name), Speed { mean: *mean, variation: 0.1, windows: 9 })).collect()
    }

    fn submitted() -> Event {
        Event::JobSubmitted(Submitted {
            at: NOW,
            fingerprint: String::new(),
            input: Input::Stored("in".into()),
            model: None,
            endpoint: None,
            window_ms: 100_000,
            metadata: BTreeMap::new(),
            priority: Priority::Normal,
            trace: None,
            packing: Packing::default(),
            retries: Policies::default(),
            strict: false,
        })
    }

    fn plan(segment: u32, chunks: &[(u16, u32)]) -> Event {
        let chunks = chunks.iter().map(|&(pool, n)| ChunkPlan { pool, runs: vec![(0, n)], bytes: 1 }).collect();
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
        Event::ChunkFailed(ChunkFailed { at: NOW, chunk, attempt, worker, class, reason })
    }

    fn archived(segment: u32) -> Event {
        let tally = Tally::default();
        Event::SegmentArchived(SegmentArchived { at: NOW, segment, tally, output_bytes: 0, error_bytes: 0 })
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
            (done(1, 2), &[("a", 27)]),
            (Event::JobPaused(At { at: NOW }), &[]),
            (failed(1, 3, 1), &[]),
            (Event::JobResumed(At { at: NOW }), &[("a", 27)]),
            (failed(1, 3, 2), &[("a", 27)]),
            (done(1, 4), &[("a", 21)]),
            (done(1, 5), &[("a", 15)]),
            (done(0, 0), &[("a", 5)]),
            (done(7, 0), &[("a", 5)]),
            (archived(0), &[("a", 5)]),
            (Event::JobClosing(Closing { at: NOW, cause: Cause::Cancelled }), &[]),
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

    #[test]
    fn a_job_waits_for_the_more_urgent_ones_in_its_pools() {
        let id = |key| JobId::keyed("t", key);
        let jobs =
            [(id("first"), owed(&[("a", 100)])), (id("other"), owed(&[("b", 50)])), (id("last"), owed(&[("a", 300)]))];
        let etas = forecast(jobs.iter().map(|(id, owed)| (*id, owed)), &speeds(&[("a", 100.0), ("b", 10.0)]), NOW);
        let p50: Vec<u64> = etas.iter().map(|(_, eta)| eta.p50.since(NOW)).collect();
        assert_eq!(p50, [1_000, 5_000, 4_000]);
        assert!(etas.iter().all(|(_, eta)| eta.p90 > eta.p50));
    }

    #[test]
    fn a_job_over_two_pools_is_done_with_the_later() {
        let job = owed(&[("a", 100), ("b", 50)]);
        let id = JobId::keyed("t", "k");
        let etas = forecast([(id, &job)], &speeds(&[("a", 100.0), ("b", 10.0)]), NOW);
        assert_eq!(etas[0].1.p50.since(NOW), 5_000);
        assert_eq!(forecast([(id, &job)], &speeds(&[("a", 100.0)]), NOW), []);
    }

    #[test]
    fn a_job_that_owes_nothing_is_done_now() {
        let none = Owed::default();
        let etas = forecast([(JobId::keyed("t", "k"), &none)], &BTreeMap::new(), NOW);
        assert_eq!(etas[0].1, Eta { p50: NOW, p90: NOW });
    }
}
