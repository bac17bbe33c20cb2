//! How long to wait before an engine that died is started again. Pure.
use super::limits::{DELAY_FIRST, DELAY_MAX, RAN_WELL};
use std::time::Duration;

#[derive(Debug)]
pub struct Delay(Duration);

impl Delay {
    pub const fn new() -> Self {
        Self(DELAY_FIRST)
    }

    /// The wait after an engine that ran for so long.
    pub fn next(&mut self, ran: Duration) -> Duration {
        if ran >= RAN_WELL {
            *self = Self::new();
        }
        let now = self.0;
        self.0 = (now * 2).min(DELAY_MAX);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_until_an_engine_runs_well() {
        let mut delay = Delay::new();
        let mut waits: Vec<u128> = (0..8).map(|_| delay.next(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        waits = [RAN_WELL, Duration::ZERO].map(|ran| delay.next(ran).as_millis()).to_vec();
        assert_eq!(waits, [500, 1_000]);
    }
}
