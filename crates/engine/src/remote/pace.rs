//! How long a server's calls take: whether it is worth to cut one short that nobody waits for any more. Pure.
use std::time::Duration;

/// What is over sooner ends by itself before anybody would notice.
const SHORT: Duration = Duration::from_millis(500);
/// So many answers tell how long they take.
const ANSWERS_MIN: u32 = 32;
/// What each answer leaves of the longest one before it, percent: a long one counts for the next hundred or so.
const KEPT_PERCENT: u32 = 98;

#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    answers: u32,
    longest: Duration,
}

impl Pace {
    /// An answer of so many tokens took so long. One token, as a control asks for, tells nothing.
    pub fn note(&mut self, tokens: u64, took: Duration) {
        if tokens > 1 {
            self.answers = self.answers.saturating_add(1);
            self.longest = took.max(self.longest * KEPT_PERCENT / 100);
        }
    }

    pub fn is_short(&self) -> bool {
        self.answers >= ANSWERS_MIN && self.longest < SHORT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(pace: &mut Pace, count: u32, tokens: u64, ms: u64) -> bool {
        (0..count).for_each(|_| pace.note(tokens, Duration::from_millis(ms)));
        pace.is_short()
    }

    #[test]
    fn calls_are_short_when_enough_of_them_were() {
        let mut pace = Pace::default();
        assert!(!noted(&mut pace, 100, 1, 5), "controls tell nothing");
        assert!(!noted(&mut pace, ANSWERS_MIN - 1, 20, 50));
        assert!(noted(&mut pace, 1, 20, 50));
    }

    #[test]
    fn one_long_answer_is_remembered_for_a_while() {
        let mut pace = Pace::default();
        assert!(noted(&mut pace, ANSWERS_MIN, 20, 50));
        assert!(!noted(&mut pace, 1, 900, 2_000));
        assert!(!noted(&mut pace, 60, 20, 50));
        assert!(noted(&mut pace, 20, 20, 50));
        assert!(!noted(&mut pace, 1, 300, 500));
    }
}
