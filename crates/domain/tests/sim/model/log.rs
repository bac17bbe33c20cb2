//! EVENTS: lifecycle events by compare-and-set, facts by message id within a window, and folds of it.
use super::env::{Bug, Env, Link, Number};
use domain::{ChunkId, Event, Job, Timestamp, execute::Known};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const WINDOW_MS: u64 = 600_000;

pub struct Entry {
    pub job: Number,
    pub event: Event,
    pub at: u64,
    /// What a lifecycle event says in its header.
    wanted: Option<bool>,
}

/// What names a fact's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    Plan(u32),
    Done(ChunkId, u32),
    Lost(ChunkId, u32),
    Failed(ChunkId, u32),
    Archived(u32, u32),
    Written(u32),
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Folded {
    pub job: Job,
    pub lifecycle: u64,
}

/// A job as the whole log tells it, and what its last lifecycle event said in its header.
pub struct Head {
    pub folded: Folded,
    pub wanted: bool,
    /// Since when the job does not want its chunks run, whatever the header says.
    pub unwanted: Option<u64>,
    lifecycle: Vec<(u64, &'static str)>,
}

#[derive(Default)]
pub struct Log {
    pub entries: Vec<Entry>,
    pub heads: BTreeMap<Number, Head>,
    ids: HashMap<(Number, Id), u64>,
    /// Jobs of which something was stored since this was last asked.
    pub touched: Vec<Number>,
}

pub enum Append {
    Stored,
    Conflict,
    Unknown,
}

impl Log {
    pub fn job(&self, job: Number) -> Option<&Folded> {
        self.heads.get(&job).map(|head| &head.folded)
    }

    pub fn is_wanted(&self, job: Number) -> bool {
        self.heads.get(&job).is_some_and(|head| head.wanted)
    }

    /// The message ids are forgotten: the window has passed, or the server has lost them.
    pub fn forget_ids(&mut self) {
        self.ids.clear();
    }

    /// What comes after so many events is lost, and the server knows no ids of it.
    pub fn cut(&mut self, kept: usize, now: u64) {
        let entries = std::mem::take(&mut self.entries);
        self.heads.clear();
        for Entry { job, event, at, wanted } in entries.into_iter().take(kept) {
            self.push(job, event, at, wanted);
        }
        let last = self.entries.last().map_or(0, |entry| entry.at);
        self.ids.retain(|_, at| *at < last);
        // Who looked before could not know.
        self.heads.values_mut().for_each(|head| head.unwanted = head.unwanted.map(|_| now));
        self.touched.clear();
    }

    fn push(&mut self, job: Number, event: Event, now: u64, wanted: Option<bool>) -> u64 {
        let seq = self.entries.len() as u64 + 1;
        match self.heads.get_mut(&job) {
            Some(head) => {
                head.folded.fold(&event, seq);
                let is_wanted = head.folded.job.is_wanted();
                head.unwanted = if is_wanted { None } else { head.unwanted.or(Some(now)) };
            }
            None => {
                let first = Job::begin(domain::JobId::keyed("default", &job.to_string()), &event);
                if let Some(first) = first {
                    let folded = Folded { job: first, lifecycle: seq };
                    self.heads.insert(job, Head { folded, wanted: false, unwanted: Some(now), lifecycle: Vec::new() });
                }
            }
        }
        if let (Some(wanted), Some(head)) = (wanted, self.heads.get_mut(&job)) {
            head.lifecycle.push((seq, event.name()));
            head.wanted = wanted;
        }
        self.entries.push(Entry { job, event, at: now, wanted });
        self.touched.push(job);
        seq
    }
}

impl Folded {
    pub const fn known(&self) -> Known<'_> {
        Known { job: &self.job, lifecycle_seq: self.lifecycle }
    }

    pub fn fold(&mut self, event: &Event, seq: u64) {
        self.job.evolve(event);
        if event.is_lifecycle() {
            self.lifecycle = seq;
        }
    }
}

/// Appends a lifecycle event if the last one of its job is `expected`. After a conflict the name of the one that
/// followed says whose it is.
pub fn append(env: &mut Env, job: Number, event: Event, expected: u64, wanted: bool) -> Append {
    let link = env.link();
    if link == Link::Lost {
        return Append::Unknown;
    }
    let last = env.log.job(job).map_or(0, |folded| folded.lifecycle);
    if last != expected && !env.has(Bug::NoCompare) {
        let head = env.log.heads.get(&job);
        let next = head.and_then(|head| head.lifecycle.iter().find(|(seq, _)| *seq > expected));
        return if next.is_some_and(|(_, name)| *name == event.name()) { Append::Stored } else { Append::Conflict };
    }
    let (name, now) = (event.name(), env.now);
    let seq = env.log.push(job, event, now, Some(wanted));
    env.tell(|| format!("log {seq}: job {job} {name}"));
    if link == Link::Unheard { Append::Unknown } else { Append::Stored }
}

/// Publishes a fact. False: the publisher does not know whether it is stored.
pub fn fact(env: &mut Env, job: Number, event: Event, id: Id) -> bool {
    let link = env.link();
    if link == Link::Lost {
        return false;
    }
    let (now, name) = (env.now, event.name());
    let known = env.log.ids.get(&(job, id)).is_some_and(|at| now < at + WINDOW_MS);
    if !known {
        env.log.ids.insert((job, id), now);
        let seq = env.log.push(job, event, now, None);
        env.tell(|| format!("log {seq}: job {job} {name} {id:?}"));
    }
    link == Link::Fine
}

/// An actor's own fold, which may lag.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Fold {
    pub seq: usize,
    pub jobs: BTreeMap<Number, Folded>,
}

impl Fold {
    pub fn is_caught_up(&self, log: &Log) -> bool {
        self.seq >= log.entries.len()
    }

    /// Folds the next event, if there is one.
    pub fn next<'a>(&mut self, log: &'a Log) -> Option<&'a Entry> {
        let entry = log.entries.get(self.seq)?;
        self.seq += 1;
        let seq = self.seq as u64;
        match self.jobs.get_mut(&entry.job) {
            Some(folded) => folded.fold(&entry.event, seq),
            None => {
                let id = domain::JobId::keyed("default", &entry.job.to_string());
                if let Some(job) = Job::begin(id, &entry.event) {
                    self.jobs.insert(entry.job, Folded { job, lifecycle: seq });
                }
            }
        }
        Some(entry)
    }

    /// As [`Fold::next`], dropping a job that ended.
    pub fn next_active<'a>(&mut self, log: &'a Log) -> Option<&'a Entry> {
        let entry = self.next(log)?;
        if self.jobs.get(&entry.job).is_some_and(|folded| folded.job.is_terminal()) {
            self.jobs.remove(&entry.job);
        }
        Some(entry)
    }

    pub fn job(&self, number: Number) -> Option<&Job> {
        self.jobs.get(&number).map(|folded| &folded.job)
    }
}

pub const fn millis(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}
