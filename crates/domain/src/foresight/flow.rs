//! When the work of a pool is done, if its workers share themselves out among the queues as the scheduler does
//! ([`crate::schedule::shares`]): one job after the other in each, all queues at once. Work is worker time, ms, and so is
//! the clock: what all workers have done by then.
use crate::schedule::{Queue, Weights, shares};
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
}

struct Flow<'a> {
    items: &'a [Item],
    weights: &'a Weights,
    waiting: BTreeMap<Queue, VecDeque<usize>>,
    heads: Vec<Head>,
    shares: Vec<f64>,
    at: f64,
    /// Of what is over.
    var: f64,
    done: Vec<Done>,
}

/// The items come in the order of each queue.
pub fn flow(items: &[Item], weights: &Weights) -> Vec<Done> {
    let mut waiting: BTreeMap<Queue, VecDeque<usize>> = BTreeMap::new();
    (0..).zip(items).for_each(|(number, item)| waiting.entry(item.queue).or_default().push_back(number));
    let done = vec![Done::default(); items.len()];
    let mut flow = Flow { items, weights, waiting, heads: Vec::new(), shares: Vec::new(), at: 0.0, var: 0.0, done };
    let queues: Vec<Queue> = flow.waiting.keys().copied().collect();
    queues.iter().for_each(|queue| flow.begin(queue));
    flow.share();
    while flow.step() {}
    flow.done
}

impl Flow<'_> {
    fn begin(&mut self, queue: &Queue) {
        let Some(item) = self.waiting.get_mut(queue).and_then(VecDeque::pop_front) else { return };
        self.done[item].before = self.at;
        self.heads.push(Head { item, left: self.items[item].work });
    }

    fn share(&mut self) {
        let queues: Vec<_> = self.heads.iter().map(|head| self.items[head.item].queue).collect();
        self.shares = shares(&queues, self.weights);
    }

    /// To where the next head is done, or its time is up.
    fn step(&mut self) -> bool {
        let ends = self.heads.iter().zip(&self.shares).map(|(head, share)| {
            let (end, until) = (head.left / share, self.items[head.item].deadline - self.at);
            end.min(until.max(0.0))
        });
        let Some((place, by)) = (0..).zip(ends).min_by(|(_, a): &(usize, f64), (_, b)| a.total_cmp(b)) else {
            return false;
        };
        self.at += by;
        self.heads.iter_mut().zip(&self.shares).for_each(|(head, share)| head.left = (head.left - by * share).max(0.0));
        self.end(place);
        true
    }

    fn end(&mut self, place: usize) {
        let share = self.shares[place];
        let Head { item, left } = self.heads.swap_remove(place);
        let Item { queue, var, .. } = self.items[item];
        self.var += var;
        let beside = self.heads.iter().map(|head| {
            let Item { work, var, .. } = self.items[head.item];
            if work > 0.0 { var * (1.0 - head.left / work).powi(2) } else { 0.0 }
        });
        let var = self.var + beside.sum::<f64>();
        self.done[item] = Done { ahead: self.at + left / share, var, ..self.done[item] };
        self.begin(&queue);
        self.share();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tenant, event::Priority};

    fn item(class: Priority, tenant: &str, work: f64) -> Item {
        let queue = Queue { class, tenant: tenant.parse().unwrap(), late: false };
        Item { queue, work, var: 0.0, deadline: f64::INFINITY }
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
