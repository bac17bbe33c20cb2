//! From what is to be sent to messages in WORK.
use super::{
    Scheduler, Transient,
    lines::{self, Small},
};
use crate::{bus::PublishError, chain::chain, clock};
use domain::{
    JobId,
    schedule::{Input, Send},
    trouble::{Kind, Scope, Trouble},
};
use futures::StreamExt;

/// Sends on their way at a time, and the bytes of their chunks in memory.
const SENDS_AT_ONCE: usize = 256;
const SENDS_BYTES_MAX: u64 = 4 << 20;

impl Scheduler {
    pub(super) async fn send(&mut self, mut sends: Vec<Send>) -> Result<(), Transient> {
        while !sends.is_empty() && !self.core.is_full(self.now().moment) {
            let rest = sends.split_off(self.wave(&sends));
            let small = |send: &Send| Small::of(&self.log.job(&send.job)?.job, send.chunk.segment);
            let small = sends.iter().filter_map(small).collect();
            self.segments.load(small).await;
            let mut works = Vec::new();
            for send in std::mem::replace(&mut sends, rest) {
                match self.prepare(&send).await {
                    Ok(Some(work)) => works.push((send, work)),
                    Ok(None) => {}
                    Err(error) => self.set_aside(&send, &error),
                }
            }
            self.segments.unload();
            self.publish(works).await?;
        }
        Ok(())
    }

    /// How many go at once: many small ones, few large ones.
    fn wave(&self, sends: &[Send]) -> usize {
        let mut bytes = 0;
        let within = sends.iter().take(SENDS_AT_ONCE).take_while(|send| {
            bytes += self.bytes(send);
            bytes <= SENDS_BYTES_MAX
        });
        within.count().max(1)
    }

    fn bytes(&self, send: &Send) -> u64 {
        let segment = self.log.job(&send.job).and_then(|folded| folded.job.open.get(&send.chunk.segment));
        let chunk = segment.and_then(|segment| segment.plan.chunks.get(send.chunk.index as usize));
        chunk.map_or(0, |chunk| u64::from(chunk.bytes))
    }

    /// One job's input that is away or was changed must not stop the others.
    fn set_aside(&mut self, send: &Send, error: &Transient) {
        let job = send.job;
        if !self.core.is_aside(job, self.now().moment) {
            tracing::error!(%job, error = error as &dyn std::error::Error, "the job's input cannot be read; it is tried again");
        }
        let cause = format!("the job's input cannot be read: {}", chain(error));
        let mend = "Give the store back what it had, or cancel the job; it is tried again by itself.";
        self.hindered(job, Trouble::new(Kind::Store, cause, mend, clock::now()));
        self.segments.forget(job, send.chunk.segment);
        self.input(Input::Unreadable(job));
    }

    /// One job's chunk that the server does not take must not stop the others.
    fn refused(&mut self, send: &Send, error: &PublishError) {
        let cause = format!("chunk {} is not taken by WORK: {error}", send.chunk);
        self.hindered(send.job, Trouble::new(Kind::Queue, cause, mend(error), clock::now()));
        self.input(Input::Unreadable(send.job));
    }

    fn hindered(&self, job: JobId, trouble: Trouble) {
        self.shared.troubles.tell(Scope::Job(job), trouble);
    }

    async fn prepare(&mut self, send: &Send) -> Result<Option<lines::Prepared>, Transient> {
        let Some(folded) = self.log.job(&send.job) else { return Ok(None) };
        let room = self.shared.bus.room();
        self.segments.work(&folded.job, send, room).await
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
                    self.shared.troubles.clear(&Scope::Job(send.job), Kind::Queue);
                }
                Err(error) if error.is_of_message() => self.refused(&send, &error),
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

const fn mend(error: &PublishError) -> &'static str {
    match error {
        PublishError::TooLarge { .. } => {
            "Set max_payload to 1MB, the default, on every nats-server; the job goes on by itself."
        }
        PublishError::Forbidden { .. } => "Let jetbatch's user publish to work.>; the job goes on by itself.",
        _ => "See the nats-server's log; the job goes on by itself once the message is taken.",
    }
}
