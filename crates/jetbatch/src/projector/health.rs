//! A look, every second, at whether bucket and log are still the ones that were opened. A put to a bucket that was
//! deleted in between succeeds (it is made anew), so the loss of all the others would go unseen.
use super::Error;
use crate::bus::{Bus, ReadError, StreamState};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use wire::{bucket, stream::EVENTS};

const EVERY: Duration = Duration::from_secs(1);

pub struct Health {
    findings: mpsc::Receiver<Finding>,
    /// Keys that the bucket holds at least.
    keys: Arc<AtomicI64>,
    /// Where the log begins.
    first: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The bucket was deleted or emptied; it stands again.
    BucketLost,
    LogReplaced,
}

struct Watchman {
    bus: Bus,
    pools: Vec<String>,
    log: String,
    bucket: String,
    keys: Arc<AtomicI64>,
    first: Arc<AtomicU64>,
}

impl Health {
    /// Makes the bucket if there is none. To be opened before bucket and log are read.
    pub async fn open(bus: &Bus, pools: Vec<String>) -> Result<Self, Error> {
        let log = bus.state(EVENTS).await?.created;
        let bucket = bucket_state(bus, &pools).await?.created;
        let keys = Arc::new(AtomicI64::new(0));
        let (tell, findings) = mpsc::channel(1);
        let first = Arc::new(AtomicU64::new(0));
        let mut watchman = Watchman { bus: bus.clone(), pools, log, bucket, keys: keys.clone(), first: first.clone() };
        let task = tokio::spawn(async move {
            loop {
                sleep(EVERY).await;
                let Some(finding) = watchman.look().await else { continue };
                if tell.send(finding).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { findings, keys, first, _task: AbortOnDropHandle::new(task) })
    }

    pub fn set_keys(&self, count: u64) {
        self.keys.store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// The first event that the log still holds, as it was seen last.
    pub fn first_seq(&self) -> u64 {
        self.first.load(Ordering::Relaxed)
    }

    pub fn one_more_key(&self) {
        self.keys.fetch_add(1, Ordering::Relaxed);
    }

    pub fn one_key_less(&self) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
    }

    /// The next finding; none as long as all is well.
    pub async fn next(&mut self) -> Finding {
        match self.findings.recv().await {
            Some(finding) => finding,
            None => std::future::pending().await,
        }
    }
}

impl Watchman {
    async fn look(&mut self) -> Option<Finding> {
        // Taken before the look: what is written meanwhile only adds to what is found.
        let keys = u64::try_from(self.keys.load(Ordering::Relaxed)).unwrap_or(0);
        match self.compare(keys).await {
            Ok(finding) => finding,
            Err(error) => {
                tracing::debug!(%error, "the look at the bucket failed");
                None
            }
        }
    }

    async fn compare(&mut self, keys: u64) -> Result<Option<Finding>, Error> {
        let log = self.bus.state(EVENTS).await?;
        if log.created != self.log {
            return Ok(Some(Finding::LogReplaced));
        }
        self.first.store(log.first_seq, Ordering::Relaxed);
        let bucket = bucket_state(&self.bus, &self.pools).await?;
        if bucket.created == self.bucket && bucket.messages >= keys {
            return Ok(None);
        }
        self.bucket = bucket.created;
        self.keys.store(0, Ordering::Relaxed);
        Ok(Some(Finding::BucketLost))
    }
}

async fn bucket_state(bus: &Bus, pools: &[String]) -> Result<StreamState, Error> {
    let status = bus.bucket(bucket::STATUS);
    match status.state().await {
        Err(ReadError::NoStream { .. }) => {
            bus.open_streams(pools).await?;
            Ok(status.state().await?)
        }
        state => Ok(state?),
    }
}

/// Makes the bucket if there is none.
pub async fn ensure_bucket(bus: &Bus, pools: &[String]) -> Result<(), Error> {
    bucket_state(bus, pools).await.map(drop)
}
