//! How slowly a body may come, or an answer be taken. A limit on silence alone would let one byte a minute hold a place
//! for ever.
use super::limits::{PACE_BYTES_MIN, STALL_MAX};
use std::time::Duration;

/// What is left to wait for the next [`PACE_BYTES_MIN`]. Only the other side's time counts: a store that is slow is no
/// client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    pub left: Duration,
    limit: Duration,
    bytes: usize,
}

impl Default for MinRate {
    fn default() -> Self {
        Self::new(STALL_MAX)
    }
}

impl MinRate {
    pub const fn new(limit: Duration) -> Self {
        Self { left: limit, limit, bytes: 0 }
    }

    /// So many bytes came after so long.
    pub fn note(&mut self, waited: Duration, bytes: usize) {
        self.left = self.left.saturating_sub(waited);
        self.bytes += bytes;
        if self.bytes >= PACE_BYTES_MIN {
            *self = Self::new(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until a body that brings so many bytes every so many seconds is given up.
    fn lasts(bytes: usize, every: u64) -> Option<u64> {
        let mut rate = MinRate::default();
        for turn in 1..=10_000 {
            rate.note(Duration::from_secs(every), bytes);
            if rate.left.is_zero() {
                return Some(turn * every);
            }
        }
        None
    }

    #[test]
    fn a_trickle_is_given_up_and_a_slow_line_is_not() {
        assert_eq!(lasts(1, 1), Some(60));
        assert_eq!(lasts(1, 59), Some(118));
        assert_eq!(lasts(1_000, 1), Some(60));
        assert_eq!(lasts(1_100, 1), None);
        assert_eq!(lasts(PACE_BYTES_MIN, 59), None);
        assert_eq!(lasts(usize::MAX / 2, 0), None);
    }
}
