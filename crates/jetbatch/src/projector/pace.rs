//! How often statuses of jobs that go on are written, all jobs together. Where many jobs change at once, most of what is
//! written between a job's beginning and its end is seen by nobody, and costs as much as its end.
use std::time::Duration;
use tokio::time::Instant;

/// So many a second, where more are wanted.
const A_SECOND: u32 = 200;
/// Nobody waits longer, however many wait.
const WAIT_MAX: Duration = Duration::from_secs(3);

pub struct Pace {
    /// When the next one may be written. Behind by a second at most: so many may be written at once.
    next: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { next: Instant::now() }
    }
}

impl Pace {
    /// When one more may be written.
    pub fn take(&mut self, now: Instant) -> Instant {
        let at = self.at(now);
        self.next = (at + step()).min(now + WAIT_MAX);
        at
    }

    /// How many may be written now.
    pub fn left(&self, now: Instant) -> usize {
        let left = now.saturating_duration_since(self.at(now)).as_nanos() / step().as_nanos();
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn at(&self, now: Instant) -> Instant {
        now.checked_sub(Duration::from_secs(1)).map_or(self.next, |first| self.next.max(first))
    }
}

fn step() -> Duration {
    Duration::from_secs(1) / A_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_for_nothing_and_many_for_their_turn() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut pace = Pace::default();
        assert_eq!(pace.left(now), 200);
        assert!((0..200).all(|_| pace.take(now) <= now));
        assert_eq!((pace.left(now), pace.take(now)), (0, now));
        let waits: Vec<Duration> = (0..1_000).map(|_| pace.take(now) - now).collect();
        assert!(waits.is_sorted() && waits[0] == step() && waits[199] == Duration::from_secs(1));
        assert_eq!(waits[999], WAIT_MAX, "and no longer");
        let later = now + WAIT_MAX + Duration::from_millis(500);
        assert_eq!(pace.left(later), 100);
    }
}
