//! What every handler is given, and how a job's status is read.
use super::{
    early,
    error::Refusal,
    health::Health,
    limits,
    status_watch::{StatusWatch, Subscription},
};
use crate::{bus::Bucket, shared::Shared};
use domain::JobId;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use wire::{StoredStatus, bucket};

pub struct AppState {
    pub shared: Shared,
    pub status_watch: Arc<StatusWatch>,
    pub status: Bucket,
    pub health: Health,
    pub stop: CancellationToken,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    json_kib: Arc<Semaphore>,
}

impl AppState {
    pub fn new(shared: Shared, stop: CancellationToken) -> Self {
        let status = shared.bus.bucket(bucket::STATUS);
        let places = |n| Arc::new(Semaphore::new(n));
        Self {
            shared,
            status,
            stop,
            status_watch: Arc::default(),
            health: Health::default(),
            uploads: places(limits::UPLOADS_MAX),
            downloads: places(limits::DOWNLOADS_MAX),
            json_kib: places(limits::JSON_KIB_MAX as usize),
        }
    }

    pub fn upload_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.uploads.clone().try_acquire_owned().map_err(|_| Refusal::busy("uploads"))
    }

    pub fn download_place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.downloads.clone().try_acquire_owned().map_err(|_| Refusal::busy("downloads"))
    }

    /// Memory for a JSON body of so many bytes.
    pub fn json_place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, limits::JSON_KIB_MAX);
        self.json_kib.clone().try_acquire_many_owned(kib).map_err(|_| Refusal::busy("large bodies"))
    }

    pub fn is_connected(&self) -> bool {
        self.shared.bus.client().connection_state() == async_nats::connection::State::Connected
    }

    /// A job's status, if it has one by now.
    pub async fn find(&self, job: JobId) -> Result<Option<(StoredStatus, u64)>, Refusal> {
        let got = timeout(limits::STATUS_WITHIN, self.status.get(&job.to_string())).await;
        let got = got.map_err(|_| Refusal::unavailable("the status bucket does not answer"))??;
        let Some((value, rev)) = got else { return Ok(None) };
        let stored = decode(&value)?;
        self.status_watch.index().note(&stored, rev);
        Ok(Some((stored, rev)))
    }

    /// Whether a job's status was there and was deleted with the job.
    pub async fn was_deleted(&self, job: JobId) -> Result<bool, Refusal> {
        let was = timeout(limits::STATUS_WITHIN, self.status.was_deleted(&job.to_string())).await;
        Ok(was.map_err(|_| Refusal::unavailable("the status bucket does not answer"))??)
    }

    /// A job's status. One that was submitted is told before it has one; one that may come a moment later, without a
    /// subject of its own in SUBMIT, is waited for.
    pub async fn job(&self, job: JobId) -> Result<StoredStatus, Refusal> {
        self.revision(job).await.map(|(stored, _)| stored)
    }

    /// The same with its revision.
    pub async fn revision(&self, job: JobId) -> Result<(StoredStatus, u64), Refusal> {
        for within in [Duration::ZERO, limits::SHOW_WITHIN] {
            if let Some(found) = self.await_job(job, within, |_| true).await? {
                return Ok(found);
            }
            if let Some(early) = early::find(self, job).await? {
                return Ok((early, 0));
            }
        }
        Err(Refusal::no_job(job))
    }

    /// The newest status when it satisfies, or when the time is over; None if there was none at all.
    pub async fn await_job(
        &self,
        job: JobId,
        within: Duration,
        satisfies: impl Fn(&StoredStatus) -> bool,
    ) -> Result<Option<(StoredStatus, u64)>, Refusal> {
        let until = Instant::now() + within;
        let mut changes = self.status_watch.subscribe(job);
        let mut newest = self.find(job).await?;
        while !newest.as_ref().is_some_and(|(stored, _)| satisfies(stored)) {
            let than = newest.as_ref().map(|(stored, rev)| (stored.seq, *rev));
            let Ok(seen) = timeout_at(until, newer(&mut changes, than)).await else { break };
            newest = Some(seen?);
        }
        Ok(newest)
    }
}

/// The next status that is newer than the one read: by the event it stands at, and by its revision within one event. A
/// bucket that was made anew counts revisions from its beginning, and only the log tells what is newer then.
pub async fn newer(changes: &mut Subscription, than: Option<(u64, u64)>) -> Result<(StoredStatus, u64), Refusal> {
    loop {
        let seen = changes.next().await;
        let stored = decode(&seen.value)?;
        if than.is_none_or(|old| (stored.seq, seen.rev) > old) {
            return Ok((stored, seen.rev));
        }
    }
}

fn decode(value: &[u8]) -> Result<StoredStatus, Refusal> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(%error, "a status cannot be read; it may be of a newer jetbatch");
        Refusal::unavailable("the job's status cannot be read by this version")
    })
}
