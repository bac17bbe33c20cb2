//! From what is to be sent to messages in WORK.
use super::{Scheduler, Transient, lines};
use crate::bus::PublishError;
use domain::schedule::{Input, Send};
use futures::StreamExt;

/// Sends on their way at a time; each holds one chunk in memory.
const SENDS_AT_ONCE: usize = 16;

impl Scheduler {
    pub(super) async fn send(&mut self, sends: Vec<Send>) -> Result<(), Transient> {
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
            if self.core.is_full(self.now().moment) {
                return Ok(());
            }
        }
        self.publish(works).await
    }

    /// One job's input that is away or was changed must not stop the others.
    fn set_aside(&mut self, send: &Send, error: &Transient) {
        let job = send.job;
        if !self.core.is_aside(job, self.now().moment) {
            tracing::error!(%job, error = error as &dyn std::error::Error, "the job's input cannot be read; it is tried again");
        }
        self.segments.forget(job, send.chunk.segment);
        self.input(Input::Unreadable(job));
    }

    async fn prepare(&mut self, send: &Send) -> Result<Option<lines::Prepared>, Transient> {
        let Some(folded) = self.log.job(&send.job) else { return Ok(None) };
        self.segments.work(&folded.job, send.chunk, send.generation, send.failed.clone()).await
    }

    async fn publish(&mut self, works: Vec<(Send, lines::Prepared)>) -> Result<(), Transient> {
        if works.is_empty() {
            return Ok(());
        }
        let bus = self.shared.bus.clone();
        let mut results = futures::stream::iter(works)
            .map(|(send, work)| async { (send, work.publish(&bus).await) })
            .buffer_unordered(SENDS_AT_ONCE);
        let mut failed = None;
        while let Some((send, result)) = results.next().await {
            match result {
                Ok(()) => {
                    self.shared.metrics.chunk_sent(&send.pool);
                    self.input(Input::Sent(&send));
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(results);
        self.judge(failed)
    }

    /// A full stream is told of once, when it begins and when it ends.
    fn judge(&mut self, failed: Option<PublishError>) -> Result<(), Transient> {
        let was_full = self.core.was_full();
        match failed {
            Some(error @ PublishError::Full { .. }) => {
                if !was_full {
                    tracing::warn!(%error, "no chunks are sent until there is room");
                }
                self.input(Input::Full);
            }
            Some(error) => return Err(error.into()),
            None => {
                if was_full {
                    tracing::info!("there is room again; chunks are sent");
                }
                self.input(Input::Taken);
            }
        }
        Ok(())
    }
}
