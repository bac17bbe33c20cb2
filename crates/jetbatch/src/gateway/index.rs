//! All jobs by the time they were submitted, each with what a list shows of it, so that a list reads nothing. Memory is
//! bounded: of large statuses, and of the oldest beyond a limit, only a few words are kept.
use super::{limits::ROWS_BYTES_MAX, row};
use domain::{JobId, Tenant, Timestamp, status::State};
use serde::Deserialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};
use wire::StoredStatus;

type Key = Reverse<(Timestamp, JobId)>;

pub struct Index {
    /// The last event that any status stands at.
    most: u64,
    rows: BTreeMap<Key, Row>,
    at: HashMap<JobId, Timestamp>,
    of: HashMap<Tenant, Sum>,
    /// Names are few and rows are many.
    models: HashSet<Arc<str>>,
    /// Of all that is kept in rows.
    bytes: usize,
    bytes_max: usize,
    /// Of this row and of older ones nothing is kept.
    from: Option<Key>,
}

/// What a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub jobs: usize,
    /// Jobs that have not ended.
    pub running: u64,
    /// Their requests without an answer.
    pub queued: u64,
}

struct Row {
    tenant: Tenant,
    state: State,
    /// Requests without an answer.
    queued: u64,
    model: Option<Arc<str>>,
    version: Version,
    /// It was read by itself, and the bucket's changes have not come that far yet.
    is_ahead: bool,
    kept: Kept,
}

/// What [`row::pack`] made of a status; nothing where that is not kept.
pub type Kept = Option<Box<[u8]>>;

/// The event that a status stands at, and its revision within one event.
pub type Version = (u64, u64);

/// Which jobs, and how many of them.
#[derive(Debug, Default)]
pub struct Query {
    pub state: Option<State>,
    pub model: Option<String>,
    pub after: Option<JobId>,
    pub limit: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<(JobId, Kept)>,
    pub has_more: bool,
}

/// What is read of a `StoredStatus`.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(default)]
    seq: u64,
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(default)]
    tenant: Tenant,
    state: State,
    #[serde(borrow)]
    model: Option<std::borrow::Cow<'a, str>>,
    submitted_at: Timestamp,
    #[serde(default)]
    requests: Requests,
}

#[derive(Default, Deserialize)]
struct Requests {
    #[serde(default)]
    remaining: u64,
}

impl Index {
    /// Takes a job's status as the bucket's changes bring it. One that cannot be read is of a newer jetbatch, or not ours.
    pub fn put(&mut self, job: JobId, value: &[u8], rev: u64) {
        let Ok(Stored { seq, status }) = serde_json::from_slice(value) else { return };
        self.most = self.most.max(seq);
        let version = (seq, rev);
        if self.row(&job).is_some_and(|row| row.is_ahead && version < row.version) {
            return;
        }
        let model = status.model.map(|name| self.name(&name));
        let kept = serde_json::from_slice(value).ok().and_then(|stored| row::pack(&stored));
        let (tenant, state, queued) = (status.tenant, status.state, status.requests.remaining);
        let row = Row { tenant, state, queued, model, version, is_ahead: false, kept };
        self.insert(Reverse((status.submitted_at, job)), row);
    }

    /// The last event that any status stands at.
    pub const fn most(&self) -> u64 {
        self.most
    }

    /// Takes a status that was read by itself, where it is newer than the changes have brought: what a list shows is not
    /// older than what was shown before. Whether there is such a job the changes alone say.
    pub fn note(&mut self, stored: &StoredStatus, rev: u64) {
        let (job, version) = (stored.status.id, (stored.seq, rev));
        if self.row(&job).is_none_or(|row| version <= row.version) {
            return;
        }
        let model = stored.status.model.as_deref().map(|name| self.name(name));
        let (tenant, state, kept) = (stored.status.tenant, stored.status.state, row::pack(stored));
        let queued = stored.status.requests.remaining;
        let row = Row { tenant, state, queued, model, version, is_ahead: true, kept };
        self.insert(Reverse((stored.status.submitted_at, job)), row);
    }

    pub fn remove(&mut self, job: JobId) {
        if let Some(at) = self.at.remove(&job) {
            self.take_out(&Reverse((at, job)));
        }
    }

    fn row(&self, job: &JobId) -> Option<&Row> {
        self.rows.get(&Reverse((*self.at.get(job)?, *job)))
    }

    fn insert(&mut self, key: Key, mut row: Row) {
        let Reverse((at, job)) = key;
        if let Some(before) = self.at.insert(job, at) {
            self.take_out(&Reverse((before, job)));
        }
        row.kept = row.kept.filter(|_| self.from.is_none_or(|from| key < from));
        self.bytes += size(&row.kept);
        self.of.entry(row.tenant).or_default().add(&row);
        self.rows.insert(key, row);
        while self.bytes > self.bytes_max {
            self.let_go();
        }
    }

    fn take_out(&mut self, key: &Key) {
        if let Some(row) = self.rows.remove(key) {
            self.bytes -= size(&row.kept);
            self.of.entry(row.tenant).or_default().subtract(&row);
        }
    }

    /// Keeps less: nothing of the oldest row that still has something.
    fn let_go(&mut self) {
        let end = self.from.map_or(Bound::Unbounded, Bound::Excluded);
        let Some((key, row)) = self.rows.range_mut((Bound::Unbounded, end)).next_back() else { return };
        self.bytes -= size(&row.kept.take());
        self.from = Some(*key);
    }

    /// Of one tenant's jobs: others' are not there. `gone`: when the job to begin after was submitted, where it is not there
    /// any more. None: there is no such job.
    pub fn page(&self, tenant: Tenant, query: &Query, gone: Option<Timestamp>) -> Option<Page> {
        let from = match query.after {
            Some(job) => Bound::Excluded(Reverse((self.submitted(tenant, job).or(gone)?, job))),
            None => Bound::Unbounded,
        };
        let rows = self
            .rows
            .range((from, Bound::Unbounded))
            .filter(|(_, row)| row.tenant == tenant && row.is_asked_for(query));
        let mut rows: Vec<_> = rows.take(query.limit + 1).collect();
        let has_more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let jobs = rows.into_iter().map(|(Reverse((_, job)), row)| (*job, row.kept.clone())).collect();
        Some(Page { jobs, has_more })
    }

    /// When a tenant's job was submitted.
    pub fn submitted(&self, tenant: Tenant, job: JobId) -> Option<Timestamp> {
        self.row(&job).filter(|row| row.tenant == tenant)?;
        self.at.get(&job).copied()
    }

    /// How many jobs a tenant has.
    pub fn count(&self, tenant: Tenant) -> usize {
        self.of(tenant).jobs
    }

    /// What a tenant has.
    pub fn of(&self, tenant: Tenant) -> Sum {
        self.of.get(&tenant).copied().unwrap_or_default()
    }

    pub fn has(&self, job: &JobId) -> bool {
        self.at.contains_key(job)
    }

    /// Whether a job is there, and with all its requests.
    pub fn is_counted(&self, job: &JobId) -> bool {
        self.row(job).is_some_and(|row| row.state != State::Validating)
    }

    /// A tenant's jobs, newest first.
    pub fn rows(&self, tenant: Tenant) -> impl Iterator<Item = (Timestamp, JobId, State, &Kept)> {
        let rows = self.rows.iter().filter(move |(_, row)| row.tenant == tenant);
        rows.map(|(Reverse((at, job)), row)| (*at, *job, row.state, &row.kept))
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.models.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.models.insert(name.clone());
        name
    }
}

impl Default for Index {
    fn default() -> Self {
        let (rows, at, of, models) = Default::default();
        Self { most: 0, rows, at, of, models, bytes: 0, bytes_max: ROWS_BYTES_MAX, from: None }
    }
}

fn size(kept: &Kept) -> usize {
    kept.as_ref().map_or(0, |kept| kept.len())
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let (running, queued) = row.load();
        self.jobs += 1;
        self.running += running;
        self.queued = self.queued.saturating_add(queued);
    }

    fn subtract(&mut self, row: &Row) {
        let (running, queued) = row.load();
        self.jobs -= 1;
        self.running -= running;
        self.queued = self.queued.saturating_sub(queued);
    }
}

impl Row {
    /// Jobs that have not ended, and their requests without an answer.
    const fn load(&self) -> (u64, u64) {
        if self.state.is_terminal() { (0, 0) } else { (1, self.queued) }
    }

    fn is_asked_for(&self, query: &Query) -> bool {
        query.state.is_none_or(|state| state == self.state)
            && query.model.as_deref().is_none_or(|model| self.model.as_deref() == Some(model))
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
