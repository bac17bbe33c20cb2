//! What the projector remembers of each job beside its fold: what is not written yet, and what was told.
use super::stalls::Stand;
use crate::metrics::Metrics;
use domain::{
    JobId,
    alarm::Watch,
    eta::{Eta, Sla},
    forecast::Owed,
    foresight::{Reading, Why},
    status::{Live, Outlook, State},
    trouble::Trouble,
};
use std::collections::HashMap;
use tokio::time::Instant;

#[derive(Default)]
pub struct JobTable {
    entries: HashMap<JobId, Entry>,
    /// All jobs of the log, by state. Jobs that ended are counted and forgotten.
    states: [u64; State::ALL.len()],
    /// Jobs that ended, are written and forgotten, and not deleted: so many statuses the bucket has beside those of
    /// the entries.
    pub over: u64,
}

#[derive(Default)]
pub struct Entry {
    pub owed: Owed,
    pub eta: Option<Eta>,
    /// Why that moved last.
    pub moved: Option<Why>,
    /// What the alarm is raised by.
    pub reading: Option<Reading>,
    pub watch: Watch,
    /// What it waits for, where it cannot go on.
    pub stalled: Option<Trouble>,
    /// Where it came further last, as far as was seen.
    pub stand: Option<Stand>,
    /// As written last.
    pub live: Option<Live>,
    /// The standing that was told last of its end, or was found in the bucket.
    pub alerted: Option<Sla>,
    /// An alert is on its way.
    pub alerting: bool,
    /// The bucket has a value of it.
    pub stored: bool,
    /// The bucket's revision of it, as far as is known.
    pub rev: u64,
    pub write: Write,
    /// The job is deleted: its status is to be taken away.
    pub gone: bool,
    state: Option<State>,
}

/// Where a job's next write stands.
#[derive(Default)]
pub struct Write {
    /// Something changed since the last write began.
    pub dirty: bool,
    /// When the oldest event that no write took along was stored.
    pub since: Option<u64>,
    /// It stands in the queue.
    pub queued: bool,
    /// With the job's end, which waits for nothing.
    pub last: bool,
    pub running: bool,
    pub began: Option<Instant>,
}

impl JobTable {
    pub fn entry(&mut self, job: JobId) -> &mut Entry {
        self.entries.entry(job).or_default()
    }

    pub fn get(&mut self, job: &JobId) -> Option<&mut Entry> {
        self.entries.get_mut(job)
    }

    pub fn peek(&self, job: &JobId) -> Option<&Entry> {
        self.entries.get(job)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&JobId, &Entry)> {
        self.entries.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&JobId, &mut Entry)> {
        self.entries.iter_mut()
    }

    pub fn ids(&self) -> Vec<JobId> {
        self.entries.keys().copied().collect()
    }

    pub fn forget(&mut self, job: &JobId) {
        self.entries.remove(job);
    }

    pub fn state(&mut self, job: JobId, state: State) {
        let old = self.entry(job).state.replace(state);
        if let Some(old) = old {
            self.states[place(old)] -= 1;
        }
        self.states[place(state)] += 1;
    }

    /// Counts a job that ended before this table was begun.
    pub fn count(&mut self, state: State) {
        self.states[place(state)] += 1;
    }

    /// Removes a deleted job. One that was forgotten is known by the state that its status told.
    pub fn remove(&mut self, job: &JobId, found: Option<State>) {
        let known = self.entries.remove(job).and_then(|entry| entry.state);
        if let Some(state) = known.or(found) {
            let count = &mut self.states[place(state)];
            *count = count.saturating_sub(1);
        }
    }

    pub fn show(&self, metrics: &Metrics) {
        State::ALL.iter().copied().for_each(|state| metrics.jobs(state, self.states[place(state)]));
        let risks = || self.entries.values().filter_map(|entry| entry.live.as_ref()?.risk.as_deref());
        metrics.risks(risks().count() as u64, risks().filter(|risk| risk.certain).count() as u64);
    }
}

impl Entry {
    pub const fn outlook(&self) -> Outlook<'_> {
        Outlook { eta: self.eta, moved: self.moved, risk: self.watch.risk(), stalled: self.stalled.as_ref() }
    }

    pub fn touch(&mut self, stored_ms: u64) {
        self.write.dirty = true;
        self.write.since.get_or_insert(stored_ms);
    }

    /// Nothing of it is under way or owed.
    pub fn is_settled(&self) -> bool {
        !self.write.dirty && !self.write.running && !self.alerting
    }
}

fn place(state: State) -> usize {
    state as usize
}
