//! How long work stood still: at worst, and after each fault.
use super::Story;

/// Milliseconds, of the clock that all processes of the machine share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// The times without an answer while one was owed, in their order.
    pub stalls: Vec<Stall>,
    /// From each fault to the next answer, in the order of the faults; none where nothing was owed.
    pub recoveries: Vec<Option<u64>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stall {
    pub from_ms: u64,
    /// Without what was held on purpose.
    pub lasted_ms: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    pub count: usize,
    pub p50_ms: u64,
    pub p99_ms: u64,
    pub longest_ms: u64,
}

impl Recovery {
    pub fn of(times: impl Iterator<Item = u64>) -> Self {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let at = |permille: usize| times.get((times.len() * permille / 1_000).min(times.len().saturating_sub(1)));
        let of = |permille| at(permille).copied().unwrap_or_default();
        Self { count: times.len(), p50_ms: of(500), p99_ms: of(990), longest_ms: of(1_000) }
    }
}

/// `done` are the times of all answers, `faults` of all faults; `paused` are the spans in which a job was held on
/// purpose.
pub fn pace<'a>(stories: impl Iterator<Item = &'a Story>, done: &[u64], faults: &[u64], paused: &[(u64, u64)]) -> Pace {
    let spans = stories.filter_map(|story| Some((story.submitted_ms, story.settled_ms?)));
    let busy = union(spans.collect());
    let mut done = done.to_vec();
    done.sort_unstable();
    let stalls = busy.iter().flat_map(|span| stalls(*span, &done, paused)).collect();
    Pace { stalls, recoveries: faults.iter().map(|at| recovery(*at, &busy, &done)).collect() }
}

impl Pace {
    pub fn longest(&self) -> Stall {
        self.stalls.iter().copied().max_by_key(|stall| stall.lasted_ms).unwrap_or_default()
    }
}

fn stalls((from, to): (u64, u64), done: &[u64], paused: &[(u64, u64)]) -> Vec<Stall> {
    let inside = done.iter().copied().filter(|at| (from..=to).contains(at)).chain([to]);
    let pairs = inside.scan(from, |last, at| Some((std::mem::replace(last, at), at)));
    let one = |(from_ms, to): (u64, u64)| {
        let held: u64 = paused.iter().map(|span| overlap(*span, (from_ms, to))).max().unwrap_or(0);
        Stall { from_ms, lasted_ms: (to - from_ms).saturating_sub(held) }
    };
    pairs.map(one).collect()
}

fn recovery(fault: u64, busy: &[(u64, u64)], done: &[u64]) -> Option<u64> {
    let (_, to) = busy.iter().find(|(from, to)| (*from..*to).contains(&fault))?;
    let next = done[done.partition_point(|at| *at <= fault)..].first().copied().unwrap_or(*to);
    Some(next.min(*to) - fault)
}

fn overlap((a, b): (u64, u64), (from, to): (u64, u64)) -> u64 {
    b.min(to).saturating_sub(a.max(from))
}

fn union(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(submitted_ms: u64, settled_ms: u64) -> Story {
        Story { submitted_ms, settled_ms: Some(settled_ms), ..Story::default() }
    }

    #[test]
    fn a_stall_counts_only_while_something_is_owed() {
        let stories = [story(0, 100), story(50, 200), story(1_000, 1_100)];
        let found = pace(stories.iter(), &[10, 20, 100, 180, 200, 1_010, 1_100], &[], &[]);
        assert_eq!(found.longest(), Stall { from_ms: 1_010, lasted_ms: 90 });
        let found = pace(stories.iter(), &[10, 200, 1_010, 1_100], &[], &[]);
        assert_eq!(found.longest(), Stall { from_ms: 10, lasted_ms: 190 });
        let found = pace(stories.iter(), &[10, 200, 1_010, 1_100], &[], &[(20, 180)]);
        assert_eq!(found.longest(), Stall { from_ms: 1_010, lasted_ms: 90 });
    }

    #[test]
    fn a_fault_is_over_with_the_next_answer() {
        let stories = [story(0, 200), story(1_000, 1_100)];
        let found = pace(stories.iter(), &[10, 100, 200, 1_100], &[50, 150, 500, 1_000], &[]);
        assert_eq!(found.recoveries, [Some(50), Some(50), None, Some(100)]);
    }

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let found = Recovery::of(1..=200);
        assert_eq!((found.count, found.p50_ms, found.p99_ms, found.longest_ms), (200, 101, 199, 200));
        assert_eq!(Recovery::of([].into_iter()), Recovery::default());
    }
}
