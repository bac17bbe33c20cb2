//! When a failed chunk may run again: growing, jittered, and the same for everyone who folds the log.
use crate::{ChunkId, JobId};

const FIRST_MS: u64 = 500;
const LONGEST_MS: u64 = 60_000;

/// Milliseconds to wait after attempt `attempt` (1-based) failed: 0.5 s doubled each time up to 60 s, of which the
/// upper half is jitter. The jitter comes from the chunk's name, since a fold has no randomness.
pub fn delay_ms(job: JobId, chunk: ChunkId, attempt: u32) -> u64 {
    let whole = FIRST_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_MS);
    let seed = job.uuid().as_u64_pair().1
        ^ (u64::from(chunk.segment) << 40 | u64::from(chunk.index) << 8 | u64::from(attempt));
    whole / 2 + mix(seed) % (whole / 2 + 1)
}

/// The finaliser of SplitMix64.
const fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_bounded() {
        let job = JobId::keyed("default", "k");
        for index in 0..100 {
            let delays: Vec<_> = (1..=12).map(|n| delay_ms(job, ChunkId::new(0, index), n)).collect();
            assert!((250..=500).contains(&delays[0]), "{delays:?}");
            assert!((500..=1_000).contains(&delays[1]), "{delays:?}");
            assert!(delays.iter().all(|d| *d <= LONGEST_MS), "{delays:?}");
            assert!(delays[11] >= LONGEST_MS / 2, "{delays:?}");
        }
    }

    #[test]
    fn chunks_that_failed_together_come_back_apart() {
        let job = JobId::keyed("default", "k");
        let delays: std::collections::HashSet<_> = (0..50).map(|n| delay_ms(job, ChunkId::new(0, n), 6)).collect();
        assert!(delays.len() > 40, "{}", delays.len());
    }
}
