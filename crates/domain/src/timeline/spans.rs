//! Stretches of time, disjoint and in order, never more than so many: of more the two nearest become one.
use crate::Timestamp;

/// Stretches that are kept.
const SPANS_MAX: usize = 256;
/// Stretches that are no further apart are one, milliseconds.
const NEAR_MS: u64 = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// An empty stretch, or one that ends before it begins, is none.
    pub fn add(&mut self, from: Timestamp, until: Timestamp) {
        let (mut from, mut until) = (from.get(), until.get());
        if until <= from {
            return;
        }
        let first = self.0.partition_point(|(_, end)| end.saturating_add(NEAR_MS) < from);
        let after = first + self.0[first..].partition_point(|(start, _)| *start <= until.saturating_add(NEAR_MS));
        if let (Some(head), Some(tail)) = (self.0[first..after].first(), self.0[first..after].last()) {
            (from, until) = (from.min(head.0), until.max(tail.1));
        }
        self.0.splice(first..after, [(from, until)]);
        if self.0.len() > SPANS_MAX {
            self.join();
        }
    }

    fn join(&mut self) {
        let gap = |at: &usize| self.0[at + 1].0 - self.0[*at].1;
        if let Some(at) = (0..self.0.len().saturating_sub(1)).min_by_key(gap) {
            self.0[at].1 = self.0[at + 1].1;
            self.0.remove(at + 1);
        }
    }

    pub fn holds(&self, at: u64) -> bool {
        let next = self.0.partition_point(|(from, _)| *from <= at);
        next > 0 && at < self.0[next - 1].1
    }

    /// How much of the time from `from` to `until` they hold, milliseconds.
    pub fn overlap(&self, from: u64, until: u64) -> u64 {
        let first = self.0.partition_point(|(_, end)| *end <= from);
        let within = self.0[first..].iter().take_while(|(start, _)| *start < until);
        within.map(|(start, end)| (*end).min(until) - (*start).max(from)).sum()
    }

    /// Where a stretch begins or ends.
    pub fn edges(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|(from, until)| [*from, *until])
    }

    /// The end of the last one.
    pub fn end(&self) -> Option<Timestamp> {
        self.0.last().map(|(_, until)| Timestamp::new(*until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(parts: &[(u64, u64)]) -> Spans {
        let mut spans = Spans::default();
        parts.iter().for_each(|(from, until)| spans.add(Timestamp::new(*from), Timestamp::new(*until)));
        spans
    }

    #[test]
    fn what_overlaps_or_is_near_is_one() {
        assert_eq!(spans(&[(1_000, 2_000), (5_000, 6_000), (1_500, 5_000)]).0, [(1_000, 6_000)]);
        assert_eq!(spans(&[(5_000, 6_000), (1_000, 4_950)]).0, [(1_000, 6_000)]);
        assert_eq!(spans(&[(5_000, 6_000), (1_000, 2_000), (3_000, 3_000)]).0, [(1_000, 2_000), (5_000, 6_000)]);
    }

    proptest! {
        #[test]
        fn they_stay_few_apart_and_hold_what_was_added(parts in prop::collection::vec((0u64..1_000_000, 1u64..500), 1..600)) {
            let parts: Vec<_> = parts.into_iter().map(|(from, ms)| (from, from + ms)).collect();
            let spans = spans(&parts);
            prop_assert!(spans.0.len() <= SPANS_MAX);
            prop_assert!(spans.0.windows(2).all(|two| two[0].1 < two[1].0));
            let (from, until) = (parts[0].0, parts[0].0 + 100_000);
            let held = (from..until).filter(|at| spans.holds(*at)).count();
            prop_assert_eq!(spans.overlap(from, until), held as u64);
            prop_assert!(parts.iter().all(|(from, until)| spans.holds(*from) && spans.holds(*until - 1)));
        }
    }
}
