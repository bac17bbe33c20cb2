//! When the work of a pool is done, if its workers share themselves out among the queues as the scheduler does
//! ([`crate::schedule::Shares`]): one job after the other in each, all queues at once. Work is worker time, ms, and so is
//! the clock: what all workers have done by then.
use crate::schedule::{Queue, Shares, Weights};
use std::collections::{BTreeMap, VecDeque};

/// A job's work, in its queue.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    pub queue: Queue,
    pub work: f64,
    pub var: f64,
    /// Nobody works at it any more from then on.
    pub deadline: f64,
}

/// What is done by the time that a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Done {
    /// When it begins, and when it is done: as if it were waited for beyond its deadline.
    pub before: f64,
    pub ahead: f64,
    pub var: f64,
}

/// At the head of a queue.
struct Head {
    item: usize,
    left: f64,
    deadline: f64,
    /// Place of its class, and what the queue has of that class.
    class: usize,
    within: f64,
}

struct Flow<'a> {
    items: &'a [Item],
    weights: &'a Weights,
    waiting: BTreeMap<Queue, VecDeque<usize>>,
    heads: Vec<Head>,
    shares: Shares,
    /// What one weight of each class has: changes only as queues come and go, and heads come and go all the time.
    class: [f64; 3],
    at: f64,
    /// Of what is over.
    var: f64,
    done: Vec<Done>,
}

/// The items come in the order of each queue.
pub fn flow(items: &[Item], weights: &Weights) -> Vec<Done> {
    let mut waiting: BTreeMap<Queue, VecDeque<usize>> = BTreeMap::new();
    (0..).zip(items).for_each(|(number, item)| waiting.entry(item.queue).or_default().push_back(number));
    let (done, shares) = (vec![Done::default(); items.len()], Shares::default());
    let (heads, class) = Default::default();
    let mut flow = Flow { items, weights, waiting, heads, shares, class, at: 0.0, var: 0.0, done };
    let queues: Vec<Queue> = flow.waiting.keys().copied().collect();
    queues.iter().for_each(|queue| flow.shares.add(queue, weights));
    for queue in &queues {
        flow.begin(queue);
    }
    flow.class = flow.shares.class();
    while flow.step() {}
    flow.done
}

impl Flow<'_> {
    /// The next of a queue. False: there is none.
    fn begin(&mut self, queue: &Queue) -> bool {
        let Some(item) = self.waiting.get_mut(queue).and_then(VecDeque::pop_front) else { return false };
        self.done[item].before = self.at;
        let Item { work, deadline, .. } = self.items[item];
        let (class, within) = (Shares::place(queue), self.shares.within(queue, self.weights));
        self.heads.push(Head { item, left: work, deadline, class, within });
        true
    }

    /// A queue is empty: what it had is for the others.
    fn leave(&mut self, queue: &Queue) {
        self.shares.remove(queue, self.weights);
        self.class = self.shares.class();
        let other = Queue { late: !queue.late, ..*queue };
        if let Some(head) = self.heads.iter_mut().find(|head| self.items[head.item].queue == other) {
            head.within = self.shares.within(&other, self.weights);
        }
    }

    /// To where the next head is done, or its time is up.
    fn step(&mut self) -> bool {
        let (class, at) = (self.class, self.at);
        let ends = self.heads.iter().map(|head| {
            let end = head.left / (class[head.class] * head.within);
            end.min((head.deadline - at).max(0.0))
        });
        let Some((place, by)) = (0..).zip(ends).min_by(|(_, a): &(usize, f64), (_, b)| a.total_cmp(b)) else {
            return false;
        };
        self.at += by;
        for head in &mut self.heads {
            head.left = (head.left - by * class[head.class] * head.within).max(0.0);
        }
        self.end(place);
        true
    }

    fn end(&mut self, place: usize) {
        let Head { item, left, class, within, .. } = self.heads.swap_remove(place);
        let share = self.class[class] * within;
        let Item { queue, var, .. } = self.items[item];
        self.var += var;
        let beside = self.heads.iter().map(|head| {
            let Item { work, var, .. } = self.items[head.item];
            if work > 0.0 { var * (1.0 - head.left / work).powi(2) } else { 0.0 }
        });
        let var = self.var + beside.sum::<f64>();
        self.done[item] = Done { ahead: self.at + left / share, var, ..self.done[item] };
        if !self.begin(&queue) {
            self.leave(&queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tenant, event::Priority};
    use proptest::prelude::*;

    fn item(class: Priority, tenant: &str, work: f64) -> Item {
        let queue = Queue { class, tenant: tenant.parse().unwrap(), late: false };
        Item { queue, work, var: 0.0, deadline: f64::INFINITY }
    }

    /// As it reads: all shares anew for each step.
    fn plainly(items: &[Item], weights: &Weights) -> Vec<f64> {
        let mut left: Vec<f64> = items.iter().map(|item| item.work).collect();
        let (mut at, mut done, mut open) = (0.0, vec![0.0; items.len()], (0..items.len()).collect::<Vec<_>>());
        while !open.is_empty() {
            let mut heads: BTreeMap<Queue, usize> = BTreeMap::new();
            for item in &open {
                heads.entry(items[*item].queue).or_insert(*item);
            }
            let mut shares = Shares::default();
            heads.keys().for_each(|queue| shares.add(queue, weights));
            let end = |(queue, item): (&Queue, &usize)| {
                let by = (left[*item] / shares.of(queue, weights)).min((items[*item].deadline - at).max(0.0));
                (*item, by)
            };
            let (first, by) = heads.iter().map(end).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            at += by;
            heads
                .iter()
                .for_each(|(queue, item)| left[*item] = (left[*item] - by * shares.of(queue, weights)).max(0.0));
            done[first] = at + left[first] / shares.of(&items[first].queue, weights);
            open.retain(|item| *item != first);
        }
        done
    }

    proptest! {
        #[test]
        fn what_is_kept_between_steps_is_what_all_shares_anew_give(
            jobs in prop::collection::vec((0usize..3, 0u8..6, any::<bool>(), 1.0..1e5_f64, 1.0..1e6_f64), 0..40),
            weight in 0.1..10.0_f64,
        ) {
            let class = |n: usize| [Priority::High, Priority::Normal, Priority::Low][n];
            let item = |(n, tenant, late, work, deadline): (usize, u8, bool, f64, f64)| {
                let queue = Queue { class: class(n), tenant: format!("t{tenant}").parse().unwrap(), late };
                Item { queue, work, var: 1.0, deadline }
            };
            let items: Vec<_> = jobs.into_iter().map(item).collect();
            let weights = Weights::new([("t1".parse::<Tenant>().unwrap(), weight)]);
            for (done, plain) in flow(&items, &weights).iter().zip(plainly(&items, &weights)) {
                prop_assert!((done.ahead - plain).abs() <= 1e-6 * plain.max(1.0), "{} {}", done.ahead, plain);
            }
        }

        /// Nothing is lost between the queues: where nobody's time is up, all is done when all the work is.
        #[test]
        fn the_last_is_done_when_all_the_work_is(works in prop::collection::vec((0u8..50, 1.0..1e5_f64), 1..60)) {
            let items: Vec<_> = works.iter().map(|(n, work)| item(Priority::Normal, &format!("t{n}"), *work)).collect();
            let last = flow(&items, &Weights::default()).iter().map(|done| done.ahead).fold(0.0, f64::max);
            let sum: f64 = works.iter().map(|(_, work)| work).sum();
            prop_assert!((last / sum - 1.0).abs() < 1e-9, "{} {}", last, sum);
        }
    }

    fn ends(items: &[Item], weights: &Weights) -> Vec<f64> {
        flow(items, weights).iter().map(|done| done.ahead.round()).collect()
    }

    #[test]
    fn one_queue_is_worked_off_one_after_the_other() {
        let items = [100.0, 50.0, 25.0].map(|work| item(Priority::Normal, "a", work));
        assert_eq!(ends(&items, &Weights::default()), [100.0, 150.0, 175.0]);
        let over = [Item { deadline: 40.0, ..items[0] }, items[1]];
        assert_eq!(ends(&over, &Weights::default()), [100.0, 90.0], "from its deadline on, nobody waits for it");
    }

    #[test]
    fn tenants_share_by_weight_and_what_one_leaves_is_the_others() {
        let items = [("a", 300.0), ("b", 300.0)].map(|(tenant, work)| item(Priority::Normal, tenant, work));
        assert_eq!(ends(&items, &Weights::default()), [600.0, 600.0]);
        let heavy: Tenant = "b".parse().unwrap();
        assert_eq!(ends(&items, &Weights::new([(heavy, 3.0)])), [600.0, 400.0]);
    }

    #[test]
    fn a_class_leaves_a_small_share_to_the_one_below() {
        let items = [item(Priority::High, "a", 2_000.0), item(Priority::Normal, "a", 150.0)];
        assert_eq!(ends(&items, &Weights::default()), [2_100.0, 2_150.0]);
    }
}
