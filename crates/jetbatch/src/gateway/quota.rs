//! What tenants have here, held against their limits. Jobs and bytes are counted for all doors alike; HTTP requests and
//! uploads by each door for itself.
use super::{app::App, error::Rejection, index::Index, limits, status_watch::StatusWatch};
use crate::{
    clock,
    config::Config,
    paths::{self, Place, UploadRef},
    quota::Rules,
};
use domain::{
    JobId, Tenant, Timestamp,
    quota::{Exceeded, Limit, Limits, Tokens},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::{Store, StoreError};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

#[derive(Default)]
pub struct Quota {
    pub rules: Rules,
    tenants: Mutex<HashMap<Tenant, Tenancy>>,
}

/// What one tenant has, as far as this door alone knows.
#[derive(Default)]
struct Tenancy {
    tokens: Option<Tokens>,
    uploads: u64,
    stored: Stored,
    /// Jobs that were let in, and are not in the list of jobs with all their requests.
    taken: HashMap<JobId, Taken>,
}

struct Taken {
    requests: u64,
    at: Instant,
    /// The last event that the list of jobs had seen by then.
    seen: u64,
}

impl Taken {
    /// Whether the list is still to show it with all its requests. A list that stands still, as while no projector writes,
    /// shows none, and that is no reason to let others in.
    fn is_owed(&self, job: &JobId, index: &Index) -> bool {
        let may_come = index.has(job) || index.most() <= self.seen || self.at.elapsed() < limits::TAKEN_KEPT;
        !index.is_counted(job) && may_come
    }
}

/// Bytes of a tenant's uploads.
#[derive(Default)]
struct Stored {
    listed: u64,
    /// When that list was begun.
    at: Option<Instant>,
    /// How long it took.
    took: Duration,
    /// One list at a time: whoever waits for it takes what it says.
    looks: Arc<tokio::sync::Mutex<()>>,
    /// All that was ever kept here, and so much of it before the list was begun.
    kept: u64,
    before: u64,
    /// Of uploads that are under way.
    underway: u64,
}

impl Stored {
    const fn bytes(&self) -> u64 {
        self.listed.saturating_add(self.kept.saturating_sub(self.before)).saturating_add(self.underway)
    }

    /// How long a list is believed that refuses: a store that lists slowly is not asked all the time.
    fn kept_full(&self) -> Duration {
        (self.took * limits::STORED_LIST_SHARE).clamp(limits::STORED_KEPT_FULL, limits::STORED_KEPT)
    }

    /// What was kept while it was listed may be in the list, too: it is counted twice until the next list. Of lists that
    /// were made beside each other the one that was begun last counts.
    fn list(&mut self, listed: u64, began: Instant, before: u64) {
        if self.at.is_none_or(|at| at <= began) {
            (self.listed, self.at, self.before) = (listed, Some(began), before);
        }
    }
}

/// What a tenant has of each thing that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub running_jobs: u64,
    pub queued_requests: u64,
    pub stored_bytes: u64,
    pub uploads: u64,
}

impl Quota {
    pub fn limits(&self, config: &Config, tenant: Tenant) -> Limits {
        self.rules.of(tenant).over(&config.limits(tenant))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tenant, Tenancy>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, tenant: Tenant, limits: &Limits, now: Timestamp) -> Result<(), Exceeded> {
        if !limits.bounds(Limit::RequestsPerS) {
            return Ok(());
        }
        self.lock().entry(tenant).or_default().tokens.get_or_insert_with(|| Tokens::full(limits, now)).take(limits, now)
    }

    /// Jobs and requests of a tenant: those that are listed, and those that are not yet.
    fn load(tenancy: &mut Tenancy, tenant: Tenant, statuses: &StatusWatch) -> (u64, u64) {
        let index = statuses.index();
        tenancy.taken.retain(|job, taken| taken.is_owed(job, &index));
        let listed = index.of(tenant);
        // Of those that are validated, the list has the job and not its requests.
        let unseen = tenancy.taken.keys().filter(|job| !index.has(job)).count() as u64;
        let requests = tenancy.taken.values().map(|taken| taken.requests);
        (listed.running + unseen, requests.fold(listed.queued, u64::saturating_add))
    }

    fn job(self: &Arc<Self>, app: &App, limits: &Limits, more: Option<(JobId, u64)>) -> Result<Option<Job>, Exceeded> {
        if !limits.bounds(Limit::RunningJobs) && !limits.bounds(Limit::QueuedRequests) {
            return Ok(None);
        }
        let (tenant, mut tenants) = (app.tenant(), self.lock());
        let tenancy = tenants.entry(tenant).or_default();
        let (jobs, queued) = Self::load(tenancy, tenant, &app.status_watch);
        let requests = more.map_or(1, |(_, requests)| requests);
        limits.allow(Limit::RunningJobs, jobs, 1)?;
        limits.allow(Limit::QueuedRequests, queued, requests.max(1))?;
        let Some((job, requests)) = more else { return Ok(None) };
        let seen = app.status_watch.index().most();
        tenancy.taken.insert(job, Taken { requests, at: Instant::now(), seen });
        Ok(Some(Job { quota: self.clone(), tenant, job, is_kept: false }))
    }

    fn upload(self: &Arc<Self>, tenant: Tenant, limits: Limits) -> Result<Claim, Exceeded> {
        let mut tenants = self.lock();
        let tenancy = tenants.entry(tenant).or_default();
        limits.allow(Limit::Uploads, tenancy.uploads, 1)?;
        limits.allow(Limit::StoredBytes, tenancy.stored.bytes(), 1)?;
        tenancy.uploads += 1;
        Ok(Claim { quota: self.clone(), tenant, limits, bytes: 0 })
    }

    /// Whether the store is to be looked at before an upload is let in: what was listed is old, or too old to refuse by.
    fn is_stale(&self, tenant: Tenant, limits: &Limits) -> bool {
        let mut tenants = self.lock();
        let stored = &tenants.entry(tenant).or_default().stored;
        let is_full = limits.allow(Limit::StoredBytes, stored.bytes(), 1).is_err();
        let kept = if is_full { stored.kept_full() } else { limits::STORED_KEPT };
        stored.at.is_none_or(|at| at.elapsed() >= kept)
    }

    /// Looks at the store, where what is known is old once it is our turn.
    async fn look(&self, store: &Store, tenant: Tenant, limits: &Limits) -> Result<(), StoreError> {
        let looks = self.lock().entry(tenant).or_default().stored.looks.clone();
        let _one = looks.lock().await;
        if !self.is_stale(tenant, limits) {
            return Ok(());
        }
        let (began, before) = (Instant::now(), self.lock().entry(tenant).or_default().stored.kept);
        let listed = listed(store, tenant).await?;
        let mut tenants = self.lock();
        let stored = &mut tenants.entry(tenant).or_default().stored;
        stored.list(listed, began, before);
        stored.took = began.elapsed();
        Ok(())
    }

    /// What a tenant has now.
    pub async fn used(&self, app: &App, tenant: Tenant) -> Result<Used, Rejection> {
        let stored_bytes = listed(&app.shared.store, tenant).await?;
        let mut tenants = self.lock();
        let tenancy = tenants.entry(tenant).or_default();
        let (running_jobs, queued_requests) = Self::load(tenancy, tenant, &app.status_watch);
        Ok(Used { running_jobs, queued_requests, stored_bytes, uploads: tenancy.uploads })
    }
}

/// Bytes of a tenant's uploads in the store.
async fn listed(store: &Store, tenant: Tenant) -> Result<u64, StoreError> {
    let is_own =
        |path: &str| matches!(paths::place(path), Some(Place::Upload(UploadRef { tenant: of, .. })) if of == tenant);
    let found = store.list(&paths::uploads(tenant)).await?;
    Ok(found.into_iter().filter(|(path, _)| is_own(path)).map(|(_, bytes)| bytes).fold(0, u64::saturating_add))
}

/// A job that is let in. Dropped before it is kept, it was not submitted after all.
pub struct Job {
    quota: Arc<Quota>,
    tenant: Tenant,
    job: JobId,
    is_kept: bool,
}

impl Job {
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_kept
            && let Some(tenancy) = self.quota.lock().get_mut(&self.tenant)
        {
            tenancy.taken.remove(&self.job);
        }
    }
}

/// An upload's share of what its tenant may have.
struct Claim {
    quota: Arc<Quota>,
    tenant: Tenant,
    limits: Limits,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(tenancy) = self.quota.lock().get_mut(&self.tenant) {
            tenancy.uploads = tenancy.uploads.saturating_sub(1);
            tenancy.stored.underway = tenancy.stored.underway.saturating_sub(self.bytes);
        }
    }
}

/// An upload that is let in.
pub struct UploadPlace {
    app: App,
    claim: Claim,
    _place: OwnedSemaphorePermit,
}

impl UploadPlace {
    /// Takes so many bytes more.
    pub fn add(&mut self, bytes: u64) -> Result<(), Rejection> {
        let Claim { quota, tenant, limits, bytes: all } = &mut self.claim;
        let mut tenants = quota.lock();
        let stored = &mut tenants.entry(*tenant).or_default().stored;
        let allowed = limits.allow(Limit::StoredBytes, stored.bytes(), bytes);
        allowed.map_err(|exceeded| self.app.limited(exceeded))?;
        stored.underway = stored.underway.saturating_add(bytes);
        *all = all.saturating_add(bytes);
        Ok(())
    }

    /// The file is there.
    pub fn keep(self) {
        let mut tenants = self.claim.quota.lock();
        let stored = &mut tenants.entry(self.claim.tenant).or_default().stored;
        stored.kept = stored.kept.saturating_add(self.claim.bytes);
    }
}

impl App {
    /// A limit that refuses something.
    pub fn limited(&self, exceeded: Exceeded) -> Rejection {
        self.shared.metrics.limited(exceeded.limit);
        exceeded.into()
    }

    fn limits(&self) -> Limits {
        self.quota.limits(&self.shared.config, self.tenant())
    }

    /// Counts an HTTP request.
    pub fn count_request(&self) -> Result<(), Rejection> {
        let counted = self.quota.request(self.tenant(), &self.limits(), clock::now());
        counted.map_err(|exceeded| self.limited(exceeded))
    }

    /// Whether one job more would be let in now.
    pub fn may_submit(&self) -> Result<(), Rejection> {
        self.quota.job(self, &self.limits(), None).map(drop).map_err(|exceeded| self.limited(exceeded))
    }

    /// Lets a job in, with as many requests as are known of it.
    pub fn let_in(&self, job: JobId, requests: u64) -> Result<Option<Job>, Rejection> {
        self.quota.job(self, &self.limits(), Some((job, requests))).map_err(|exceeded| self.limited(exceeded))
    }

    /// Lets an upload in.
    pub async fn upload_place(&self) -> Result<UploadPlace, Rejection> {
        let (tenant, limits) = (self.tenant(), self.limits());
        if limits.bounds(Limit::StoredBytes) && self.quota.is_stale(tenant, &limits) {
            self.quota.look(&self.shared.store, tenant, &limits).await?;
        }
        let claim = self.quota.upload(tenant, limits).map_err(|exceeded| self.limited(exceeded))?;
        Ok(UploadPlace { app: self.clone(), claim, _place: self.any_upload_place()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_list_that_stands_still_forgets_no_job() {
        let (job, other) = (JobId::keyed("t", "k"), JobId::keyed("t", "other"));
        let long_ago = Instant::now().checked_sub(2 * limits::TAKEN_KEPT).unwrap();
        let status = |seq: u64, job: JobId, state: &str| {
            let status =
                serde_json::json!({"id": job, "state": state, "submitted_at": 1, "requests": {"remaining": 3}});
            serde_json::json!({"v": 1, "seq": seq, "status": status}).to_string()
        };
        let mut index = Index::default();
        index.put(other, status(7, other, "completed").as_bytes(), 1);
        let taken = Taken { requests: 3, at: long_ago, seen: 7 };
        assert!(taken.is_owed(&job, &index), "nothing was shown since");
        index.put(other, status(8, other, "completed").as_bytes(), 2);
        assert!(!taken.is_owed(&job, &index), "the list went on without it");
        index.put(job, status(9, job, "validating").as_bytes(), 3);
        assert!(taken.is_owed(&job, &index), "its requests are not counted yet");
        index.put(job, status(10, job, "in_progress").as_bytes(), 4);
        assert!(!taken.is_owed(&job, &index), "it is counted there");
    }

    #[test]
    fn lists_that_are_made_beside_each_other_lose_no_upload() {
        let (mut stored, first) = (Stored { kept: 7, ..Stored::default() }, Instant::now());
        let second = first + Duration::from_millis(1);
        stored.kept += 5;
        stored.list(0, second, 7);
        assert_eq!(stored.bytes(), 5, "it is not in the list, and not before it");
        stored.list(90, first, 7);
        assert_eq!(stored.bytes(), 5, "an older list says nothing new");
        stored.list(12, second, 12);
        assert_eq!(stored.bytes(), 12);
    }
}
