//! What the door knows of all jobs from watching the bucket `status` once: the list of jobs, and the newest status of each
//! job that somebody follows. However many follow, NATS serves one reader a door.
use super::index::Index;
use crate::bus::{Bucket, Entry, Op, ReadError};
use bytes::Bytes;
use domain::JobId;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub struct StatusWatch {
    index: Mutex<Index>,
    subscriptions: Mutex<HashMap<JobId, watch::Sender<Option<Seen>>>>,
    /// Whether the bucket was read to its end once.
    complete: watch::Sender<bool>,
}

/// A status as it stands in the bucket.
#[derive(Debug, Clone)]
pub struct Seen {
    pub rev: u64,
    pub value: Bytes,
}

/// Sees the changes of one job's status. A slow one misses those between, never the last.
pub struct Subscription {
    watch: Arc<StatusWatch>,
    job: JobId,
    seen: watch::Receiver<Option<Seen>>,
}

impl StatusWatch {
    /// Follows the bucket until `stop`.
    pub async fn run(&self, bucket: Bucket, stop: CancellationToken) {
        while let Some(Err(error)) = stop.run_until_cancelled(self.follow(&bucket)).await {
            tracing::warn!(%error, "the status bucket cannot be watched; trying again");
            stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
        }
    }

    async fn follow(&self, bucket: &Bucket) -> Result<Infallible, ReadError> {
        let mut watch = bucket.watch(">").await?;
        loop {
            if watch.caught_up() {
                self.complete.send_if_modified(|complete| !std::mem::replace(complete, true));
            }
            self.take(watch.next().await?);
        }
    }

    fn take(&self, entry: Entry) {
        let Ok(job) = entry.key.parse::<JobId>() else { return };
        if entry.op == Op::Delete {
            lock(&self.index).remove(job);
            if let Some(subscription) = lock(&self.subscriptions).get(&job) {
                subscription.send_replace(None);
            }
            return;
        }
        lock(&self.index).put(job, &entry.value, entry.rev);
        if let Some(subscription) = lock(&self.subscriptions).get(&job) {
            subscription.send_replace(Some(Seen { rev: entry.rev, value: entry.value }));
        }
    }

    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    pub fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Resolves when all jobs are in the index.
    pub async fn completed(&self) {
        // The sender is `self`, so it cannot be gone.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Subscribe first and read the bucket then, so that no change falls between.
    pub fn subscribe(self: &Arc<Self>, job: JobId) -> Subscription {
        let seen = lock(&self.subscriptions).entry(job).or_default().subscribe();
        Subscription { watch: self.clone(), job, seen }
    }
}

impl Subscription {
    /// The newest status, when there is one that was not seen.
    pub async fn next(&mut self) -> Seen {
        loop {
            if self.seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(seen) = self.seen.borrow_and_update().clone() {
                return seen;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscriptions = lock(&self.watch.subscriptions);
        // Let go of under the lock: of two that go at once, the second one finds itself the last.
        self.seen = watch::channel(None).1;
        if subscriptions.get(&self.job).is_some_and(watch::Sender::is_closed) {
            subscriptions.remove(&self.job);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(job: JobId, rev: u64) -> Entry {
        Entry { key: job.to_string(), value: Bytes::from_static(b"{}"), rev, op: Op::Put, time_ms: 0, pending: 0 }
    }

    #[tokio::test]
    async fn a_subscription_sees_the_newest_and_leaves_nothing_behind() {
        let watch = Arc::new(StatusWatch::default());
        let job = JobId::keyed("t", "a");
        watch.take(entry(job, 1));
        let (mut one, two) = (watch.subscribe(job), watch.subscribe(job));
        watch.take(entry(JobId::keyed("t", "b"), 2));
        watch.take(entry(job, 3));
        watch.take(entry(job, 4));
        assert_eq!(one.next().await.rev, 4);
        drop(two);
        watch.take(entry(job, 5));
        assert_eq!(one.next().await.rev, 5);
        drop(one);
        assert!(lock(&watch.subscriptions).is_empty());
    }
}
