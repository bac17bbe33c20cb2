//! From what is owed to messages in WORK.
use super::{Passing, Scheduler, lines, sent::Out};
use crate::bus::PublishError;
use domain::{
    Millis,
    schedule::{self, Room, Send, Urgency},
};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// Sends on their way at a time; each holds one chunk in memory.
const SENDS_AT_ONCE: usize = 16;
/// How long a job whose input cannot be read stands aside.
const ASIDE: Duration = Duration::from_secs(5);
/// Before chunks are offered again to a stream that was full.
const FULL_REST: Duration = Duration::from_secs(1);

impl Scheduler {
    /// The chunks to send now, over all pools.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Send> {
        let mut jobs: Vec<_> = self.log.jobs().map(|f| &f.job).filter(|job| job.is_wanted()).collect();
        let at = Instant::now();
        jobs.retain(|job| self.aside.get(&job.id).is_none_or(|until| *until <= at));
        jobs.sort_unstable_by_key(|job| Urgency::of(job));
        let mut sends = Vec::new();
        for pool in self.shared.config.pools.keys() {
            let rate = self.rates.entry(pool.clone()).or_default();
            let speed = rate.speed().map_or(0.0, |speed| speed.mean);
            let workers = self.workers.get(pool).copied().unwrap_or(1);
            let room = Room::ahead(speed, self.shared.config.scheduler.ahead_s, workers, self.sent.room(pool));
            let out = |job, chunk| self.sent.has(job, chunk);
            let next = schedule::next(jobs.iter().copied(), pool, room, out, now);
            if !next.is_empty() {
                rate.wake(now);
            }
            sends.extend(next);
        }
        sends
    }

    pub(super) async fn send(&mut self, sends: Vec<Send>) -> Result<(), Passing> {
        let mut works = Vec::new();
        for send in sends {
            match self.prepare(&send).await {
                Ok(Some(work)) => works.push((send, work)),
                Ok(None) => {}
                Err(error) => self.set_aside(&send, &error),
            }
            if works.len() == SENDS_AT_ONCE {
                self.publish(std::mem::take(&mut works)).await?;
            }
            if self.is_full() {
                return Ok(());
            }
        }
        self.publish(works).await
    }

    /// One job's input that is away or was changed must not stop the others.
    fn set_aside(&mut self, send: &Send, error: &Passing) {
        let job = send.job;
        if self.aside.get(&job).is_none_or(|until| *until <= Instant::now()) {
            tracing::error!(%job, error = error as &dyn std::error::Error, "the job's input cannot be read; it is tried again");
        }
        self.segments.forget(job, send.chunk.segment);
        self.aside.insert(job, Instant::now() + ASIDE);
    }

    async fn prepare(&mut self, send: &Send) -> Result<Option<lines::Prepared>, Passing> {
        let Some(folded) = self.log.job(&send.job) else { return Ok(None) };
        let generation = self.sent.generation(send.job, send.chunk);
        let failed = self.failed.get(&(send.job, send.chunk)).cloned();
        self.segments.work(&folded.job, send.chunk, generation, failed).await
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.is_some_and(|until| until > Instant::now())
    }

    async fn publish(&mut self, works: Vec<(Send, lines::Prepared)>) -> Result<(), Passing> {
        if works.is_empty() {
            return Ok(());
        }
        let bus = &self.shared.bus;
        let mut results = futures::stream::iter(works)
            .map(|(send, work)| async move { (send, work.pool.clone(), work.publish(bus).await) })
            .buffer_unordered(SENDS_AT_ONCE);
        let mut failed = None;
        while let Some((send, pool, result)) = results.next().await {
            match result {
                Ok(()) => {
                    self.shared.metrics.chunk_sent(&pool);
                    let out = Out { pool, requests: send.requests, at: Instant::now() };
                    self.sent.insert(send.job, send.chunk, out);
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(results);
        self.judge(failed)
    }

    /// A full stream is told of once, when it begins and when it ends.
    fn judge(&mut self, failed: Option<PublishError>) -> Result<(), Passing> {
        match failed {
            Some(error @ PublishError::Full { .. }) => {
                if self.full.replace(Instant::now() + FULL_REST).is_none() {
                    tracing::warn!(%error, "no chunks are sent until there is room");
                }
                Ok(())
            }
            Some(error) => Err(error.into()),
            None => {
                if self.full.take().is_some() {
                    tracing::info!("there is room again; chunks are sent");
                }
                Ok(())
            }
        }
    }
}
