//! Which spans of a huge job are sent: a bounded number, spread evenly over its chunks, and of the rest those that
//! failed, that followed on a failure, or that took longest.
use crate::{JobId, event::SegmentPlan};
use std::collections::{HashMap, VecDeque};

/// Chunks of a job whose spans are all sent. A smaller job is seen whole.
pub const CHUNKS_MAX: u64 = 256;
/// Segments of a job whose spans are sent.
pub const SEGMENTS_MAX: u64 = 128;
/// Attempts after a failure, of a job, and failures of a job's other chunks on one worker.
pub const FAILED_MAX: u32 = 256;
/// Runs of a job's other chunks on one worker that took as long, to the nearest doubling.
const SLOW_MAX: u8 = 8;
/// Jobs that are remembered: as many as run at once, or nearly.
const JOBS_MAX: usize = 64;

/// Whether the place is one of the `wanted` that lie evenly among `count`: exactly so many, or all.
const fn is_among(place: u64, count: u64, wanted: u64) -> bool {
    wanted >= count || place.saturating_mul(wanted) % count < wanted
}

/// How many of `wanted` fall on one of `count` places. The first has one.
const fn share(place: u64, count: u64, wanted: u64) -> u64 {
    (place + 1).saturating_mul(wanted).div_ceil(count) - place.saturating_mul(wanted).div_ceil(count)
}

/// Whether a chunk's spans are sent whatever becomes of it. `segments`: of its job.
pub fn shows_chunk(segments: u32, plan: &SegmentPlan, chunk: u32) -> bool {
    let share = share(u64::from(plan.segment), u64::from(segments.max(plan.segment + 1)), CHUNKS_MAX);
    is_among(u64::from(chunk), plan.chunks.len() as u64, share)
}

pub const fn shows_segment(segments: u32, segment: u32) -> bool {
    is_among(segment as u64, segments as u64, SEGMENTS_MAX)
}

/// What was sent beside the even share, of each job. It is lost with its process, and begins again then.
#[derive(Debug, Default)]
pub struct Extra {
    jobs: HashMap<JobId, Sent>,
    /// The one that was begun first goes first.
    order: VecDeque<JobId>,
}

#[derive(Debug)]
struct Sent {
    failed: u32,
    /// Runs that took from `2^n` ms on.
    slow: [u8; 64],
}

impl Default for Sent {
    fn default() -> Self {
        Self { failed: 0, slow: [0; 64] }
    }
}

impl Extra {
    /// Whether a failure, or an attempt after one, is sent.
    pub fn failed(&mut self, job: JobId) -> bool {
        let sent = self.of(job);
        sent.failed = sent.failed.saturating_add(1);
        sent.failed <= FAILED_MAX
    }

    /// Whether a run is sent for the time it took. Only the two longest doublings that were seen count as slow.
    pub fn slow(&mut self, job: JobId, took_ms: u64) -> bool {
        let sent = self.of(job);
        let doubling = took_ms.max(1).ilog2() as usize;
        let is_long = sent.slow[(doubling + 2).min(64)..].iter().all(|runs| *runs == 0);
        sent.slow[doubling] = sent.slow[doubling].saturating_add(1);
        is_long && sent.slow[doubling] <= SLOW_MAX
    }

    pub fn forget(&mut self, job: JobId) {
        if self.jobs.remove(&job).is_some() {
            self.order.retain(|other| *other != job);
        }
    }

    fn of(&mut self, job: JobId) -> &mut Sent {
        if !self.jobs.contains_key(&job) {
            if self.order.len() >= JOBS_MAX
                && let Some(first) = self.order.pop_front()
            {
                self.jobs.remove(&first);
            }
            self.order.push_back(job);
        }
        self.jobs.entry(job).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ChunkPlan;

    fn plan(segment: u32, chunks: usize) -> SegmentPlan {
        let chunk = ChunkPlan { pool: 0, runs: vec![(0, 1)], bytes: 1, load: None };
        let (offset, bytes, first, requests) = (0, 1, 0, chunks as u32);
        SegmentPlan { segment, offset, bytes, first, requests, pools: Vec::new(), chunks: vec![chunk; chunks] }
    }

    fn shown(segments: u32, chunks: usize) -> usize {
        let of = |segment| {
            let plan = plan(segment, chunks);
            (0..chunks as u32).filter(|chunk| shows_chunk(segments, &plan, *chunk)).count()
        };
        (0..segments).map(of).sum()
    }

    #[test]
    fn a_small_job_is_seen_whole_and_a_huge_one_in_part() {
        for (segments, chunks, want) in
            [(1, 1, 1), (1, 256, 256), (1, 257, 256), (1, 2_500, 256), (100, 40, 256), (100, 2, 200), (1_000, 40, 256)]
        {
            assert_eq!(shown(segments, chunks), want, "{segments} segments of {chunks}");
        }
        let segments = |count| (0..count).filter(|segment| shows_segment(count, *segment)).count();
        assert_eq!([1, 128, 129, 5_000].map(segments), [1, 128, 128, 128]);
        // The first is seen of each, and a half that was cut off a chunk is beyond them all.
        assert!(shows_chunk(1_000, &plan(0, 40), 0) && shows_segment(5_000, 0));
        assert!(!shows_chunk(1, &plan(0, 2_500), 1));
    }

    #[test]
    fn what_is_seen_lies_evenly() {
        let plan = plan(0, 2_560);
        let seen: Vec<u32> = (0..2_560).filter(|chunk| shows_chunk(1, &plan, *chunk)).collect();
        assert!(seen.windows(2).all(|pair| pair[1] - pair[0] == 10), "{seen:?}");
    }

    #[test]
    fn failures_are_seen_up_to_a_number() {
        let mut extra = Extra::default();
        let (one, other) = (job(1), job(2));
        assert_eq!((0..10_000).filter(|_| extra.failed(one)).count(), FAILED_MAX as usize);
        assert!(extra.failed(other) && !extra.failed(one));
        extra.forget(one);
        assert!(extra.failed(one));
    }

    #[test]
    fn the_slowest_are_seen_and_the_common_are_not() {
        let mut extra = Extra::default();
        let one = job(1);
        let common = (0..10_000).filter(|n| extra.slow(one, 100 + n % 100)).count();
        assert!(common <= 16, "{common}");
        assert!([1_000, 1_100, 5_000, 60_000].into_iter().all(|ms| extra.slow(one, ms)), "slower than all before");
        assert!(!extra.slow(one, 1_000), "no longer among the slowest");
        assert!(extra.slow(one, u64::MAX) && !extra.slow(one, 0));
    }

    #[test]
    fn however_long_they_take_no_more_are_seen() {
        let mut extra = Extra::default();
        let seen = (0..100_000_u64).filter(|n| extra.slow(job(1), n * n)).count();
        assert!(seen <= 34 * usize::from(SLOW_MAX), "{seen}");
    }

    #[test]
    fn old_jobs_make_room() {
        let mut extra = Extra::default();
        (0..1_000).for_each(|n| assert!(extra.failed(job(n))));
        assert_eq!((extra.jobs.len(), extra.order.len()), (JOBS_MAX, JOBS_MAX));
    }

    fn job(n: u128) -> JobId {
        JobId::new(uuid::Uuid::from_u128(n))
    }
}
