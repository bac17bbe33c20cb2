//! The door as one caller sees it. Whatever looks for a job looks here, and finds those of the caller's tenant: another's
//! is not there.
use super::{audit::Note, auth::Caller, early, error::Rejection, limits, state::AppState, status_watch::Subscription};
use crate::paths::UploadRef;
use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{
    JobId, Tenant, Timestamp,
    key::{Refused, Role},
    routes::Routes,
};
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;
use wire::{Owner, StoredStatus};

/// What a handler is given. Cheap to clone.
#[derive(Clone)]
pub struct App {
    state: Arc<AppState>,
    caller: Caller,
    /// What is recorded of what the caller does.
    pub note: Note,
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.state
    }
}

/// Who was not let in has none.
impl FromRequestParts<Arc<AppState>> for App {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Rejection> {
        let caller = parts.extensions.get::<Caller>().cloned().ok_or(Refused::Missing)?;
        let note = parts.extensions.get::<Note>().cloned().unwrap_or_default();
        Ok(Self { state: state.clone(), caller, note })
    }
}

impl App {
    /// The door as someone sees it who came another way than over HTTP.
    pub fn of(state: Arc<AppState>, caller: Caller) -> Self {
        Self { state, caller, note: Note::default() }
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn tenant(&self) -> Tenant {
        self.caller.tenant()
    }

    pub fn may(&self, role: Role) -> bool {
        self.caller.may(role)
    }

    /// What a submission of the caller's says of itself.
    pub fn owner(&self) -> Owner {
        Owner { tenant: self.tenant(), pools: self.caller.pools().to_vec() }
    }

    /// The models of the pools that the caller's jobs may run in.
    pub fn routes(&self) -> Routes {
        self.shared.config.routes().only(self.caller.pools())
    }

    /// An upload of the caller's tenant.
    pub fn upload(&self, id: Uuid) -> UploadRef {
        UploadRef { tenant: self.tenant(), id }
    }

    /// Whether the caller is let in still: what is watched may outlast its key.
    pub fn is_let_in(&self) -> bool {
        self.caller.key().is_none_or(|key| self.keys.is_valid(key.id))
    }

    fn own(&self, found: Option<(StoredStatus, u64)>) -> Option<(StoredStatus, u64)> {
        found.filter(|(stored, _)| stored.status.tenant == self.tenant())
    }

    /// A job's status, if it has one by now.
    pub async fn find(&self, job: JobId) -> Result<Option<(StoredStatus, u64)>, Rejection> {
        Ok(self.own(self.state.stored(job).await?))
    }

    /// The status of a job under an id that the caller chose, which must be no other tenant's.
    pub async fn claimed(&self, job: JobId) -> Result<Option<StoredStatus>, Rejection> {
        match self.state.stored(job).await? {
            Some((stored, _)) if stored.status.tenant != self.tenant() => {
                Err(Rejection::conflict(format!("the id {job} cannot be given; choose another")).param("id"))
            }
            found => Ok(found.map(|(stored, _)| stored)),
        }
    }

    /// A job that was submitted and has no status yet.
    pub async fn early(&self, job: JobId) -> Result<Option<StoredStatus>, Rejection> {
        let early = early::find(&self.state, job).await?.map(|stored| (stored, 0));
        Ok(self.own(early).map(|(stored, _)| stored))
    }

    /// When a job of the caller's was submitted; of one that was deleted by its first event, which stays.
    pub async fn submitted(&self, job: JobId) -> Result<Option<Timestamp>, Rejection> {
        let known = self.status_watch.index().submitted(self.tenant(), job);
        if known.is_some() {
            return Ok(known);
        }
        let first = early::first(&self.state, job).await?.map(|stored| (stored, 0));
        Ok(self.own(first).map(|(stored, _)| stored.status.submitted_at))
    }

    /// Whether a job's status was there and was deleted with the job.
    pub async fn was_deleted(&self, job: JobId) -> Result<bool, Rejection> {
        let was = timeout(limits::STATUS_WITHIN, self.status.was_deleted(&job.to_string())).await;
        Ok(was.map_err(|_| Rejection::unavailable("the status bucket does not answer"))??)
    }

    /// A job's status. One that was submitted is told before it has one; one that may come a moment later, without a
    /// subject of its own in SUBMIT, is waited for.
    pub async fn job(&self, job: JobId) -> Result<StoredStatus, Rejection> {
        self.revision(job).await.map(|(stored, _)| stored)
    }

    /// The same with its revision.
    pub async fn revision(&self, job: JobId) -> Result<(StoredStatus, u64), Rejection> {
        for within in [Duration::ZERO, limits::SHOW_WITHIN] {
            if let Some(found) = self.await_job(job, within, |_| true).await? {
                return Ok(found);
            }
            if let Some(early) = self.early(job).await? {
                return Ok((early, 0));
            }
        }
        Err(Rejection::no_job(job))
    }

    /// The newest status when it satisfies, or when the time is over; None if there was none at all.
    pub async fn await_job(
        &self,
        job: JobId,
        within: Duration,
        satisfies: impl Fn(&StoredStatus) -> bool,
    ) -> Result<Option<(StoredStatus, u64)>, Rejection> {
        let until = Instant::now() + within;
        let mut changes = self.status_watch.subscribe(job);
        let mut newest = self.find(job).await?;
        while !newest.as_ref().is_some_and(|(stored, _)| satisfies(stored)) {
            let than = newest.as_ref().map(|(stored, rev)| (stored.seq, *rev));
            let Ok(seen) = timeout_at(until, newer(&mut changes, than)).await else { break };
            newest = self.own(Some(seen?)).or(newest);
        }
        Ok(newest)
    }
}

/// The next status that is newer than the one read: by the event it stands at, and by its revision within one event. A
/// bucket that was made anew counts revisions from its beginning, and only the log tells what is newer then.
pub async fn newer(changes: &mut Subscription, than: Option<(u64, u64)>) -> Result<(StoredStatus, u64), Rejection> {
    loop {
        let seen = changes.next().await;
        let stored = super::state::decode(&seen.value)?;
        if than.is_none_or(|old| (stored.seq, seen.rev) > old) {
            return Ok((stored, seen.rev));
        }
    }
}
