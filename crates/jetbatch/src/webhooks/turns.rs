//! When hooks that wait for the same URL come again: one after the other. All at once they would hold up every other hook,
//! since what is delivered again goes before what is new.
use super::standings::Place;
use domain::Timestamp;
use std::collections::HashMap;

/// Between two of them: 500 a second are looked at, whatever waits.
const GAP_MS: u64 = 2;

#[derive(Default)]
pub struct Turns(HashMap<Place, Timestamp>);

impl Turns {
    /// In how many milliseconds a hook comes again that is to wait for so long at least.
    pub fn give(&mut self, place: Place, now: Timestamp, wait_ms: u64) -> u64 {
        let after = now.plus(wait_ms);
        let turn = self.0.get(&place).map_or(after, |last| last.plus(GAP_MS).max(after));
        self.0.insert(place, turn);
        turn.since(now)
    }

    /// URLs that nothing waits for any more.
    pub fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, last| *last > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::webhook::Target;

    #[test]
    fn those_that_wait_come_one_after_the_other() {
        let place = |url: &str| Place::of(&Target::read(url).unwrap());
        let (mut turns, now) = (Turns::default(), Timestamp::new(1_000_000));
        let of_one: Vec<u64> = (0..3).map(|_| turns.give(place("https://a.example"), now, 1_000)).collect();
        assert_eq!(of_one, [1_000, 1_002, 1_004]);
        assert_eq!(turns.give(place("https://b.example"), now, 1_000), 1_000, "no other URL's wait longer for it");
        assert_eq!(turns.give(place("https://a.example"), now, 5_000), 5_000);
        turns.forget(now.plus(1_000));
        assert_eq!(turns.0.len(), 1);
    }
}
