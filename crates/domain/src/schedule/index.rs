//! Which jobs may have something to be sent, and for which something is due. Kept up to date job by job, so that a
//! decision does not look at all of them. It is a cache of the fold: what it names is looked at before anything is done.
use super::{Queue, Urgency, sent::Sent};
use crate::{
    Job, JobId, Pool, Tenant, Timestamp,
    event::Priority,
    job::{Chunk, Phase},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A job with more chunks in its one open segment is not searched for one that is not sent.
const SEARCHED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Index {
    known: HashMap<JobId, Entry>,
    /// Those that may have chunks to be sent, by pool and queue, the most urgent first.
    ready: BTreeMap<Pool, BTreeMap<Queue, BTreeSet<Urgency>>>,
    /// Those that would only keep others from being in time.
    late: BTreeSet<JobId>,
    /// Those that expire if they are not answered by then.
    deadlines: BTreeSet<(Timestamp, JobId)>,
    /// Those whose end is due.
    ends: BTreeSet<JobId>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    urgency: Urgency,
    queue: Queue,
    is_ready: bool,
    /// Of all its segments.
    pools: Vec<Pool>,
    expires: Option<Timestamp>,
    ends: bool,
}

impl Index {
    /// Looks at a job that may have changed; None: it is gone.
    pub fn refresh(&mut self, id: JobId, job: Option<&Job>, sent: &Sent) {
        let old = self.known.remove(&id);
        let late = self.late.contains(&id);
        let new = job.filter(|job| !job.is_terminal()).map(|job| Entry::of(job, late, old.as_ref(), sent));
        if old != new {
            old.iter().for_each(|old| self.remove(id, old));
            new.iter().for_each(|new| self.add(id, new));
        }
        self.known.extend(new.map(|new| (id, new)));
    }

    /// The queues of a pool, in each the most urgent first.
    pub fn ready(&self, pool: &Pool) -> impl Iterator<Item = (Queue, impl Iterator<Item = JobId> + '_)> + '_ {
        let queues = self.ready.get(pool).into_iter().flatten();
        queues.map(|(queue, jobs)| (*queue, jobs.iter().map(|urgency| urgency.job)))
    }

    /// Who of a tenant's class may have chunks to be sent to a pool, late or not, by deadline.
    pub fn rivals(&self, pool: &Pool) -> BTreeMap<(Priority, Tenant), Vec<JobId>> {
        let mut all: BTreeMap<_, Vec<&Urgency>> = BTreeMap::new();
        for (queue, jobs) in self.ready.get(pool).into_iter().flatten() {
            all.entry((queue.class, queue.tenant)).or_default().extend(jobs);
        }
        all.values_mut().for_each(|jobs| jobs.sort_unstable());
        all.into_iter().map(|(owner, jobs)| (owner, jobs.iter().map(|urgency| urgency.job).collect())).collect()
    }

    /// Says which are late from now on; those that it was said of before and no longer is, are not. Returns both.
    pub fn set_late(&mut self, late: BTreeSet<JobId>) -> Vec<JobId> {
        let changed = late.symmetric_difference(&self.late).copied().collect();
        self.late = late;
        changed
    }

    pub fn is_late(&self, job: JobId) -> bool {
        self.late.contains(&job)
    }

    /// The pools of a job that may have something to be sent.
    pub fn pools(&self, job: JobId) -> &[Pool] {
        self.known.get(&job).map_or(&[], |entry| &entry.pools)
    }

    /// The pools that something may be sent to.
    pub fn wanted(&self) -> impl Iterator<Item = &Pool> {
        self.ready.keys()
    }

    /// Those to be expired by then, and those to be ended.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = JobId> + '_ {
        let late = self.deadlines.iter().take_while(move |(at, _)| *at <= now).map(|(_, job)| *job);
        late.chain(self.ends.iter().copied())
    }

    fn add(&mut self, id: JobId, entry: &Entry) {
        for pool in entry.pools.iter().filter(|_| entry.is_ready) {
            let queues = self.ready.entry(pool.clone()).or_default();
            queues.entry(entry.queue).or_default().insert(entry.urgency);
        }
        self.deadlines.extend(entry.expires.map(|at| (at, id)));
        self.ends.extend(entry.ends.then_some(id));
    }

    fn remove(&mut self, id: JobId, entry: &Entry) {
        for pool in entry.pools.iter().filter(|_| entry.is_ready) {
            let Some(queues) = self.ready.get_mut(pool) else { continue };
            if let Some(jobs) = queues.get_mut(&entry.queue) {
                jobs.remove(&entry.urgency);
            }
            queues.retain(|_, jobs| !jobs.is_empty());
            if queues.is_empty() {
                self.ready.remove(pool);
            }
        }
        entry.expires.map(|at| self.deadlines.remove(&(at, id)));
        self.ends.remove(&id);
    }
}

impl Entry {
    fn of(job: &Job, late: bool, old: Option<&Self>, sent: &Sent) -> Self {
        let is_open = matches!(job.phase, Phase::Validating | Phase::Running);
        let is_owed = job.remaining() > 0 || job.planned.is_none();
        let is_ready = job.is_wanted() && has_unsent(job, sent);
        // A plan is made once, and a chunk that is split stays in its pool.
        let known = old.filter(|old| !old.pools.is_empty()).map(|old| old.pools.clone());
        Self {
            urgency: Urgency::of(job),
            queue: Queue::of(job, late),
            is_ready,
            pools: known.unwrap_or_else(|| if is_ready { pools(job) } else { Vec::new() }),
            expires: (is_open && is_owed).then_some(job.deadline),
            ends: job.planned.is_some() && job.written.is_some() && job.is_archived(),
        }
    }
}

fn pools(job: &Job) -> Vec<Pool> {
    let all: BTreeSet<&Pool> = job.open.values().flat_map(|segment| &segment.plan.pools).collect();
    all.into_iter().cloned().collect()
}

/// False: all that a small job owes is out.
fn has_unsent(job: &Job, sent: &Sent) -> bool {
    let mut segments = job.open.values();
    let (Some(segment), None) = (segments.next(), segments.next()) else { return !job.open.is_empty() };
    let is_unsent = |(index, chunk): (u32, &Chunk)| {
        matches!(chunk, Chunk::Owed { .. }) && !sent.has(job.id, crate::ChunkId::new(segment.plan.segment, index))
    };
    segment.chunks.len() > SEARCHED_MAX || (0..).zip(&segment.chunks).any(is_unsent)
}
