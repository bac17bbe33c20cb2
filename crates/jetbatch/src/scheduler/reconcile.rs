//! What WORK holds, and who works, against what the log owes.
use super::{Error, Passing, Scheduler, sent::Out};
use crate::{clock, shared::Shared};
use domain::{ChunkId, JobId, Millis, Pool, job::Chunk};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::time::{Instant, timeout, timeout_at};
use wire::{Filter, Subject, bucket, stream};

/// The heartbeats must be read by then, or the workers are taken to be who they were: nobody's work waits for them.
const WORKERS_WITHIN: Duration = Duration::from_millis(500);
/// The longest wait for events that were stored already.
const FOLD_WAIT: Duration = Duration::from_secs(2);

struct Held {
    /// Sent and not acknowledged.
    chunks: HashMap<(JobId, ChunkId), Pool>,
    /// When it was looked at, by the clock that events are dated with, and by one that nobody sets.
    at: Millis,
    looked: Instant,
    /// The last event that was stored by then.
    until: u64,
    workers: Option<HashMap<Pool, u64>>,
}

async fn held(shared: &Shared) -> Result<Held, Passing> {
    let (at, looked) = (clock::now(), Instant::now());
    let filter = Filter::Work;
    let (subjects, workers) = tokio::join!(shared.bus.subjects(stream::WORK, &filter), workers(shared));
    let subjects = subjects?;
    let until = shared.bus.last_seq(stream::EVENTS).await?;
    let chunks = subjects.keys().filter_map(|subject| match subject.parse() {
        Ok(Subject::Work { pool, job, chunk }) => Some(((job, chunk), pool)),
        _ => None,
    });
    Ok(Held { chunks: chunks.collect(), at, looked, until, workers })
}

/// Workers by pool, from their heartbeats.
async fn workers(shared: &Shared) -> Option<HashMap<Pool, u64>> {
    let bucket = shared.bus.bucket(bucket::WORKERS);
    let keys = timeout(WORKERS_WITHIN, bucket.keys()).await.ok()?.ok()?;
    let mut workers = HashMap::new();
    for pool in keys.iter().filter_map(|key| key.split_once('.')?.0.parse::<Pool>().ok()) {
        *workers.entry(pool).or_default() += 1;
    }
    Some(workers)
}

impl Scheduler {
    pub(super) async fn reconcile_now(&mut self) -> Result<(), Error> {
        match held(&self.shared).await {
            Ok(held) => {
                // A worker stores the fact before it acks: what is not in WORK and has no fact by `until` is lost.
                if let Some(workers) = &held.workers {
                    self.workers.clone_from(workers);
                }
                if self.fold_up_to(held.until).await? {
                    self.settle(&held);
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "WORK could not be looked at"),
        }
        Ok(())
    }

    /// Whether all events up to `until` are folded. The stream's last events may have been removed from it: then the
    /// reader is caught up without having seen them.
    async fn fold_up_to(&mut self, until: u64) -> Result<bool, Error> {
        let limit = Instant::now() + FOLD_WAIT;
        while self.log.seq() < until {
            match timeout_at(limit, self.log.next()).await {
                Ok(change) => self.note(change?),
                Err(_) => return Ok(self.log.caught_up()),
            }
        }
        Ok(true)
    }

    fn settle(&mut self, held: &Held) {
        let lost = self.sent.lost(&held.chunks, held.looked);
        if !lost.is_empty() {
            tracing::warn!(chunks = lost.len(), "WORK has lost chunks; they are sent again");
        }
        for (job, chunk) in lost {
            self.sent.resend(job, chunk);
        }
        let mut found: BTreeMap<Pool, u64> = BTreeMap::new();
        for (&(job, chunk), pool) in &held.chunks {
            let Some(folded) = self.log.job(&job).filter(|folded| folded.job.is_wanted()) else {
                self.unwanted.insert(job);
                continue;
            };
            let Some(segment) = folded.job.open.get(&chunk.segment) else { continue };
            let Some(plan) = segment.plan.chunks.get(chunk.index as usize) else { continue };
            // What failed since it was looked at is to wait, and not to pass for sent.
            let is_owed = |chunk| matches!(chunk, Some(Chunk::Owed { not_before, .. }) if not_before <= held.at);
            if !self.sent.has(job, chunk) && is_owed(folded.job.chunk(chunk)) {
                *found.entry(pool.clone()).or_default() += 1;
                self.sent.insert(job, chunk, Out { pool: pool.clone(), requests: plan.requests(), at: held.looked });
            }
        }
        for (pool, chunks) in found {
            tracing::info!(%pool, chunks, "WORK holds chunks sent before");
            self.rates.entry(pool).or_default().wake(held.at);
        }
    }
}
