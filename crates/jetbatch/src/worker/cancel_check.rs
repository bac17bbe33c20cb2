//! Whether a job's chunks are to run: what the last event of its lifecycle says. It is read from the log and not from a
//! status, so that no chunk begins after a cancel or a pause was stored. Only where the log's leader gives no
//! answer is a replica asked, which may miss what was stored in the moment before.
use crate::bus::{Bus, ReadError};
use domain::JobId;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use wire::{Subject, envelope};

/// How often it is asked while a chunk runs: one that is not wanted any more is left within a second.
const EVERY: Duration = Duration::from_millis(400);
/// All chunks of a job that run share an answer of this age.
const AGE_MAX: Duration = Duration::from_millis(300);
/// Answers kept.
const KEPT_MAX: usize = 1_000;

pub struct CancelCheck {
    bus: Bus,
    seen: Mutex<HashMap<JobId, (Instant, bool)>>,
}

impl CancelCheck {
    pub fn new(bus: Bus) -> Self {
        Self { bus, seen: Mutex::default() }
    }

    pub async fn now(&self, job: JobId) -> Result<bool, ReadError> {
        let at = Instant::now();
        let last = self.bus.last_near(&Subject::JobEvent(job)).await?;
        let wanted = last.is_some_and(|raw| raw.header(envelope::WANTED) == Some(envelope::YES));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= KEPT_MAX {
            seen.clear();
        }
        seen.insert(job, (at, wanted));
        Ok(wanted)
    }

    /// What `work` gives, or nothing as soon as the job is seen to want it no more.
    pub async fn until_withdrawn<T>(&self, job: JobId, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(EVERY) => {
                    // What cannot be asked now goes on.
                    if !self.lately(job).await.unwrap_or(true) {
                        return None;
                    }
                }
            }
        }
    }

    async fn lately(&self, job: JobId) -> Result<bool, ReadError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&job).copied();
        match seen {
            Some((at, wanted)) if at.elapsed() < AGE_MAX => Ok(wanted),
            _ => self.now(job).await,
        }
    }
}
