//! How long calls have been waiting while neither token nor answer came. Time without a call does not count, and
//! neither is it a sign of life that the engine gave a call up for its age: every call before a dead engine ends like
//! that. Pure.
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Stall {
    /// Up to `since`.
    before: Duration,
    /// When calls began to wait, or the last sign of life came. None while no call waits.
    since: Option<Instant>,
}

impl Stall {
    /// There is a call.
    pub fn busy(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// There is none any more.
    pub fn idle(&mut self, now: Instant) {
        self.before = self.length(now);
        self.since = None;
    }

    /// An answer came, or a token of one.
    pub fn heard(&mut self, now: Instant) {
        self.before = Duration::ZERO;
        self.since = self.since.map(|_| now);
    }

    pub fn length(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub const fn is_idle(&self) -> bool {
        self.since.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_with_a_call_and_without_an_answer_counts() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut stall = Stall::default();
        let length = |stall: &Stall, s| stall.length(at(s)).as_secs();
        assert_eq!(length(&stall, 9), 0, "nothing was asked");
        stall.busy(at(10));
        stall.busy(at(12));
        assert_eq!(length(&stall, 15), 5);
        stall.heard(at(15));
        assert_eq!(length(&stall, 18), 3, "the other call still waits");
        stall.idle(at(20));
        assert_eq!(length(&stall, 99), 5, "it was given up, and nothing waits");
        stall.busy(at(100));
        assert_eq!(length(&stall, 101), 6);
        stall.heard(at(101));
        stall.idle(at(101));
        assert_eq!(length(&stall, 200), 0);
    }
}
