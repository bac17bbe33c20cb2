//! Whose turn it is in a pool: by class, within a class by tenant, within a tenant what can be in time before what cannot.
//!
//! Each level is start-time fair queueing, counted in requests: who is served is charged requests by weight, and the one
//! that was charged least is next; on a tie, the more urgent. Who had nothing to send begins where the others are, so that
//! it neither owes nor is owed for that time, and what it left was theirs. So the ones below get a small share of what
//! those above have, and nobody starves. What was answered is in the log and what is out is in WORK: a head that begins
//! charges both.
use super::Urgency;
use crate::{JobId, Tenant, event::Priority};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter::successors,
};

/// What a class gets beside the one above it, and what cannot be in time beside what can: one request for so many.
pub const SMALL: f64 = 20.0;
/// A job is late if it needs so much more time than it has: less is within the doubt.
const SLACK: f64 = 1.1;
/// Tenants that are remembered before those are forgotten that are owed nothing.
const KEPT_MAX: usize = 64;

/// How much of a class's work each tenant gets, one beside the other. They are configured, and not of the log: what is sent
/// is no fact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(BTreeMap<Tenant, f64>);

/// Jobs that go by urgency alone: of one class and one tenant, and late or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    pub class: Priority,
    pub tenant: Tenant,
    /// They cannot be in time, and would only keep others from it.
    pub late: bool,
}

/// What each part of a pool was charged.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    classes: Level<Priority>,
    tenants: BTreeMap<Priority, Level<Tenant>>,
    late: BTreeMap<(Priority, Tenant), Level<bool>>,
}

#[derive(Debug, Clone)]
struct Level<K> {
    /// Where the one stood that was served last.
    now: f64,
    charged: BTreeMap<K, f64>,
}

impl<K> Default for Level<K> {
    fn default() -> Self {
        Self { now: 0.0, charged: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Level<K> {
    fn at(&self, key: K) -> f64 {
        self.charged.get(&key).map_or(self.now, |charged| charged.max(self.now))
    }

    fn charge(&mut self, key: K, by: f64) {
        self.now = self.at(key);
        self.charged.insert(key, self.now + by);
        if self.charged.len() > KEPT_MAX {
            self.charged.retain(|_, charged| *charged > self.now);
        }
    }
}

impl Weights {
    pub fn new(weights: impl IntoIterator<Item = (Tenant, f64)>) -> Self {
        Self(weights.into_iter().filter(|(_, weight)| weight.is_finite() && *weight > 0.0).collect())
    }

    /// One, unless it is told.
    pub fn of(&self, tenant: Tenant) -> f64 {
        self.0.get(&tenant).copied().unwrap_or(1.0)
    }
}

impl Queue {
    pub fn of(job: &crate::Job, late: bool) -> Self {
        Self { class: job.priority, tenant: job.submitted.tenant, late }
    }

    fn owner(&self) -> (Priority, Tenant) {
        (self.class, self.tenant)
    }
}

impl Turns {
    pub fn charge(&mut self, queue: &Queue, requests: u32, weights: &Weights) {
        let requests = f64::from(requests);
        self.classes.charge(queue.class, requests / weight(queue.class));
        self.tenants.entry(queue.class).or_default().charge(queue.tenant, requests / weights.of(queue.tenant));
        let late = self.late.entry(queue.owner()).or_default();
        late.charge(queue.late, requests * if queue.late { SMALL } else { 1.0 });
        if self.late.len() > 2 * KEPT_MAX {
            let known = &self.tenants;
            self.late
                .retain(|(class, tenant), _| known.get(class).is_some_and(|level| level.charged.contains_key(tenant)));
        }
    }

    /// Which of them is next: the class that was charged least, of that the tenant, of that what is in time or late. Each
    /// comes with the most urgent that it has.
    pub fn next(&self, heads: &[(Queue, Urgency)]) -> Option<Queue> {
        let queues = heads.iter().map(|(queue, _)| *queue);
        let class = least(queues.map(|queue| queue.class), |class| (self.classes.at(class), class))?;
        let of = heads.iter().filter(|(queue, _)| queue.class == class);
        // Nobody goes first by its name.
        let first = |tenant| of.clone().filter(|(queue, _)| queue.tenant == tenant).map(|(_, urgency)| *urgency).min();
        let level = self.tenants.get(&class);
        let charged = |tenant| level.map_or(0.0, |level| level.at(tenant));
        let tenant = least(of.clone().map(|(queue, _)| queue.tenant), |tenant| (charged(tenant), first(tenant)))?;
        let level = self.late.get(&(class, tenant));
        let charged = |late| level.map_or(0.0, |level| level.at(late));
        let lates = of.filter(|(queue, _)| queue.tenant == tenant).map(|(queue, _)| queue.late);
        Some(Queue { class, tenant, late: least(lates, |late| (charged(late), late))? })
    }
}

/// The first by what it was charged, then by the rest.
fn least<K: Copy, R: Ord>(keys: impl Iterator<Item = K>, of: impl Fn(K) -> (f64, R)) -> Option<K> {
    let all = keys.map(|key| (key, of(key)));
    all.min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1))).map(|(key, _)| key)
}

/// Of a class beside the others.
pub fn weight(class: Priority) -> f64 {
    let below = match class {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    };
    successors(Some(1.0), |weight| Some(weight / SMALL)).nth(below).unwrap_or(1.0)
}

/// The part of a pool that each of these queues has while all of them have work.
pub fn shares(queues: &[Queue], weights: &Weights) -> Vec<f64> {
    let (mut classes, mut tenants, mut late) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::<_, f64>::new());
    let within = |queue: &Queue| if queue.late { 1.0 / SMALL } else { 1.0 };
    for queue in queues {
        classes.insert(queue.class);
        tenants.insert(queue.owner());
        *late.entry(queue.owner()).or_default() += within(queue);
    }
    let all: f64 = classes.iter().map(|class| weight(*class)).sum();
    let mut of: BTreeMap<Priority, f64> = BTreeMap::new();
    for (class, tenant) in tenants {
        *of.entry(class).or_default() += weights.of(tenant);
    }
    let share = |queue: &Queue| {
        let tenant = weights.of(queue.tenant) / of[&queue.class];
        weight(queue.class) / all * tenant * within(queue) / late[&queue.owner()]
    };
    queues.iter().map(share).collect()
}

/// What a job needs of a queue that goes by deadline, and until when; in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    pub job: JobId,
    pub left: u64,
    pub need: u64,
}

/// Those that are to stand back: they cannot be in time behind those of earlier deadlines that can, and would only keep
/// others from it. `needs` come by deadline.
pub fn late(needs: impl Iterator<Item = Need>) -> BTreeSet<JobId> {
    let mut sum = 0_u64;
    let stands_back = |Need { left, need, .. }: &Need| {
        let with = sum.saturating_add(*need);
        let is_late = with as f64 > *left as f64 * SLACK;
        sum = if is_late { sum } else { with };
        is_late
    };
    needs.filter(stands_back).map(|need| need.job).collect()
}
