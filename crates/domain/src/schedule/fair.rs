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
    successors(Some(1.0), |weight| Some(weight / SMALL)).nth(place(class)).unwrap_or(1.0)
}

/// The part of a pool that each of some queues has while all of them have work: kept up to date as they come and go.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    /// Of each class: its tenants with work, and their weights.
    classes: [(u32, f64); 3],
    /// Whether a tenant has work that can be in time, and such as cannot.
    owners: BTreeMap<(Priority, Tenant), [bool; 2]>,
}

const fn place(class: Priority) -> usize {
    match class {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

impl Shares {
    /// The place of a queue's class in [`Shares::class`].
    pub const fn place(queue: &Queue) -> usize {
        place(queue.class)
    }

    /// A queue has work from now on.
    pub fn add(&mut self, queue: &Queue, weights: &Weights) {
        let owner = self.owners.entry(queue.owner()).or_default();
        let is_new = *owner == [false; 2];
        owner[usize::from(queue.late)] = true;
        if is_new {
            let (count, sum) = &mut self.classes[place(queue.class)];
            (*count, *sum) = (*count + 1, *sum + weights.of(queue.tenant));
        }
    }

    /// It has none any more.
    pub fn remove(&mut self, queue: &Queue, weights: &Weights) {
        let Some(owner) = self.owners.get_mut(&queue.owner()) else { return };
        owner[usize::from(queue.late)] = false;
        if *owner == [false; 2] {
            self.owners.remove(&queue.owner());
            let (count, sum) = &mut self.classes[place(queue.class)];
            (*count, *sum) = (*count - 1, if *count == 1 { 0.0 } else { *sum - weights.of(queue.tenant) });
        }
    }

    /// What a queue has of its class, times what [`Shares::class`] says.
    pub fn within(&self, queue: &Queue, weights: &Weights) -> f64 {
        let part = |late: bool| if late { 1.0 / SMALL } else { 1.0 };
        let owner = self.owners.get(&queue.owner()).copied().unwrap_or_default();
        let all = f64::from(u8::from(owner[0])) + f64::from(u8::from(owner[1])) / SMALL;
        weights.of(queue.tenant) * part(queue.late) / all
    }

    /// The part of the pool that one weight of each class has, the most urgent class first.
    pub fn class(&self) -> [f64; 3] {
        let of = [Priority::High, Priority::Normal, Priority::Low].map(weight);
        let has = |class: usize| self.classes[class].0 > 0;
        let all: f64 = (0..3).filter(|class| has(*class)).map(|class| of[class]).sum();
        std::array::from_fn(|class| if has(class) { of[class] / all / self.classes[class].1 } else { 0.0 })
    }

    /// The part of the pool that a queue has.
    pub fn of(&self, queue: &Queue, weights: &Weights) -> f64 {
        self.class()[place(queue.class)] * self.within(queue, weights)
    }
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
