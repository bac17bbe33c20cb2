//! What each pool has before it, and how many workers would do that in time.
use super::flow::Item;
use crate::Pool;
use serde::{Deserialize, Serialize};

/// Standard deviations that nine in ten lie below.
const P90: f64 = 1.28;

/// What a pool has before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    pub pool: Pool,
    /// That running jobs owe, and that would be answered now: those of jobs that are paused or hold do not count.
    pub requests: u64,
    /// Workers like those of today that would keep every deadline with nine chances in ten. None: the pool was never seen at
    /// work, so that nobody knows.
    pub needed: Option<u64>,
}

impl Ahead {
    /// Workers that there are to be: one at least where there is work. Of a pool that was never seen at work nobody knows how
    /// many, and one that has none is never seen.
    pub fn workers(&self) -> Option<u64> {
        let least = u64::from(self.requests > 0);
        self.needed.map(|needed| needed.max(least)).or((least > 0).then_some(least))
    }
}

/// How many workers keep the deadlines of `items` with nine chances in ten, where the earliest goes first: by each, what is
/// to be done by then must be. `deadline` is of one worker's clock here, milliseconds. Whose time is too short for one more
/// chunk (`run_ms`), nobody can help.
pub fn needed(items: &[Item], run_ms: f64) -> u64 {
    let mut items: Vec<&Item> = items.iter().filter(|item| item.deadline > run_ms).collect();
    items.sort_by(|a, b| a.deadline.total_cmp(&b.deadline));
    let (mut work, mut var, mut needed) = (0.0, 0.0_f64, 0.0_f64);
    for item in items {
        (work, var) = (work + item.work, var + item.var);
        needed = needed.max((work + P90 * var.sqrt()) / item.deadline);
    }
    needed.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Priority,
        foresight::flow::flow,
        schedule::{Queue, Weights},
    };
    use proptest::prelude::*;

    const RUN_MS: f64 = 1_000.0;

    fn item((work, deadline): (f64, f64)) -> Item {
        let queue = Queue { class: Priority::Normal, tenant: Default::default(), late: false };
        Item { queue, work, var: 0.0, deadline }
    }

    fn of(jobs: &[(f64, f64)]) -> u64 {
        needed(&jobs.iter().copied().map(item).collect::<Vec<_>>(), RUN_MS)
    }

    #[test]
    fn the_hardest_deadline_says_how_many() {
        for (jobs, want) in [
            (&[][..], 0),
            (&[(10.0, 1e9)], 1),
            (&[(60_000.0, 60_000.0)], 1),
            (&[(60_001.0, 60_000.0)], 2),
            // The first alone needs three, both by the second's deadline need two.
            (&[(30_000.0, 10_000.0), (30_000.0, 30_000.0)], 3),
            (&[(10_000.0, 10_000.0), (110_000.0, 30_000.0)], 4),
            // For one more chunk its time is too short.
            (&[(50_000.0, RUN_MS)], 0),
        ] {
            assert_eq!(of(jobs), want, "{jobs:?}");
            assert_eq!(of(&jobs.iter().rev().copied().collect::<Vec<_>>()), want, "{jobs:?} the other way round");
        }
    }

    #[test]
    fn who_is_unsure_needs_more() {
        let sure = item((9_000.0, 10_000.0));
        assert_eq!(needed(&[sure], RUN_MS), 1);
        assert_eq!(needed(&[Item { var: 4e6, ..sure }], RUN_MS), 2, "9 s and 1.28 times 2 s");
    }

    #[test]
    fn a_pool_with_work_needs_a_worker() {
        let workers = |requests, needed| Ahead { pool: "tiny".parse().unwrap(), requests, needed }.workers();
        assert_eq!([workers(5, None), workers(5, Some(0)), workers(5, Some(7))], [Some(1), Some(1), Some(7)]);
        assert_eq!([workers(0, Some(0)), workers(0, None)], [Some(0), None]);
    }

    fn jobs() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let job = (1u32..600_000, 2_000u32..3_600_000);
        prop::collection::vec(job.prop_map(|(work, deadline)| (f64::from(work), f64::from(deadline))), 1..40)
    }

    /// Whether so many workers keep all deadlines, as the forecast itself walks: the earliest goes first.
    fn holds(jobs: &[(f64, f64)], workers: u64) -> bool {
        let mut jobs = jobs.to_vec();
        jobs.sort_by(|a, b| a.1.total_cmp(&b.1));
        let items: Vec<_> = jobs.iter().map(|(work, deadline)| item((*work, deadline * workers as f64))).collect();
        flow(&items, &Weights::default()).iter().zip(&items).all(|(done, item)| done.ahead <= item.deadline + 1e-3)
    }

    proptest! {
        #[test]
        fn so_many_are_enough_and_one_less_is_not(jobs in jobs()) {
            let needed = of(&jobs);
            prop_assert!(holds(&jobs, needed), "{} are not enough", needed);
            prop_assert!(needed == 1 || !holds(&jobs, needed - 1), "{} are more than enough", needed);
        }

        #[test]
        fn one_more_job_or_less_time_never_needs_fewer(jobs in jobs(), more in (1.0..600_000.0_f64, 2_000.0..3_600_000.0_f64), part in 0.1..1.0_f64) {
            let needed = of(&jobs);
            let with: Vec<_> = jobs.iter().copied().chain([more]).collect();
            prop_assert!(of(&with) >= needed);
            let sooner: Vec<_> = jobs.iter().map(|(work, end)| (*work, (end * part).max(RUN_MS + 1.0))).collect();
            prop_assert!(of(&sooner) >= needed);
        }

        /// As many again do twice as much.
        #[test]
        fn twice_the_work_needs_at_most_twice_as_many(jobs in jobs()) {
            let twice: Vec<_> = jobs.iter().map(|(work, end)| (2.0 * work, *end)).collect();
            prop_assert!((of(&jobs)..=2 * of(&jobs)).contains(&of(&twice)));
        }
    }
}
