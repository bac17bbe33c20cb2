//! What WORK holds, and who works.
use super::Passing;
use crate::{clock, shared::Shared};
use domain::{ChunkId, JobId, Millis, Pool};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;
use wire::{Filter, Subject, bucket, stream};

/// The heartbeats must be read by then, or one worker a pool is assumed.
const WORKERS_WITHIN: Duration = Duration::from_secs(2);

pub struct Held {
    /// Sent and not acknowledged.
    pub chunks: HashMap<(JobId, ChunkId), Pool>,
    /// When it was looked at, by the clock that events are dated with, and by one that nobody sets.
    pub at: Millis,
    pub looked: Instant,
    /// The last event that was stored by then.
    pub until: u64,
    pub workers: HashMap<Pool, u64>,
}

pub async fn held(shared: &Shared) -> Result<Held, Passing> {
    let (at, looked) = (clock::now(), Instant::now());
    let subjects = shared.bus.subjects(stream::WORK, &Filter::Work.to_string()).await?;
    let until = shared.bus.last_seq(stream::EVENTS).await?;
    let chunks = subjects.keys().filter_map(|subject| match subject.parse() {
        Ok(Subject::Work { pool, job, chunk }) => Some(((job, chunk), pool)),
        _ => None,
    });
    Ok(Held { chunks: chunks.collect(), at, looked, until, workers: workers(shared).await })
}

/// Workers by pool, from their heartbeats. Unknown is none: the scheduler then counts on one.
async fn workers(shared: &Shared) -> HashMap<Pool, u64> {
    let bucket = shared.bus.bucket(bucket::WORKERS);
    let keys = tokio::time::timeout(WORKERS_WITHIN, bucket.keys()).await;
    let keys = keys.ok().and_then(Result::ok).unwrap_or_default();
    let mut workers = HashMap::new();
    for pool in keys.iter().filter_map(|key| key.split_once('.')?.0.parse::<Pool>().ok()) {
        *workers.entry(pool).or_default() += 1;
    }
    workers
}
