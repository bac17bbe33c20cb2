//! What is written of a job, when, and what comes of it.
use super::{
    Error,
    run::Projector,
    stored::{Value, Written},
    writer::{Before, Done, Turn},
};
use crate::{bus::PublishError, clock};
use domain::{JobId, Timestamp, status::Live};
use std::time::Duration;
use tokio::time::Instant;

/// Before a write that failed is tried again.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

impl Projector {
    pub fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Due(job) => self.write(job),
            Turn::Done(Done::Wrote { job, since, live, result: Ok(written) }) => self.wrote(job, since, live, written),
            Turn::Done(Done::Wrote { job, since, result: Err(error), .. }) => self.not_written(job, since, &error),
            Turn::Done(Done::Alerted { job, before, result }) => self.alerted(job, before, result),
            Turn::Done(Done::Removed { job, result: Ok(state) }) => self.removed(job, state),
            Turn::Done(Done::Removed { job, result: Err(error) }) => self.not_written(job, None, &error),
        }
    }

    fn wrote(&mut self, job: JobId, since: Option<u64>, live: Live, written: Written) {
        let (rev, live, since) = match written {
            Written::Ours { rev } => (rev, live, since),
            Written::Theirs(version) => {
                tracing::debug!(%job, seq = version.seq, "another projector's status stands");
                (version.rev, version.live, None)
            }
            Written::Nothing => return self.not_wanted(job),
        };
        if let Some(since) = since {
            let delay = clock::now().since(Timestamp::new(since));
            self.shared.metrics.status_written(delay as f64 / 1_000.0);
        }
        let Some(entry) = self.table.get(&job) else { return };
        entry.write.running = false;
        entry.live = Some(live);
        entry.rev = rev;
        if !std::mem::replace(&mut entry.stored, true) {
            self.health.one_more_key();
        }
        self.queue(job, None);
        self.drop_if_over(job);
    }

    fn not_written(&mut self, job: JobId, since: Option<u64>, error: &Error) {
        tracing::warn!(%job, error = error as &dyn std::error::Error, "a status is not written yet");
        let Some(entry) = self.table.get(&job) else { return };
        entry.write.running = false;
        entry.write.dirty = true;
        entry.write.since = since.or(entry.write.since);
        self.queue(job, Some(WRITE_PAUSE));
    }

    fn alerted(&mut self, job: JobId, before: Before, result: Result<(), PublishError>) {
        let Some(entry) = self.table.get(&job) else { return };
        entry.alerting = false;
        if let Err(error) = result {
            // The next refresh finds the standing untold and tells it again.
            match before {
                Before::End(sla) => entry.alerted = sla,
                Before::Watch(watch) => entry.watch = *watch,
            }
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "an alert is not published yet");
        }
        self.drop_if_over(job);
    }

    /// Puts a job that has something to write into the queue: at once after a rest, else when its pause is over. Where
    /// many jobs wait they wait for their turn ([`super::pace`]), but for their ends and for what stands still.
    pub fn queue(&mut self, job: JobId, pause: Option<Duration>) {
        let is_over = self.log.job(&job).is_some_and(|folded| folded.job.is_terminal());
        let Some(entry) = self.table.get(&job) else { return };
        let write = &mut entry.write;
        let is_sooner = is_over && !write.last && pause.is_none();
        if !write.dirty || write.running || (write.queued && !is_sooner) {
            return;
        }
        (write.queued, write.last) = (true, is_over);
        let now = Instant::now();
        let rest = Duration::from_millis(self.shared.config.projector.write_ms);
        let is_urgent = is_over || entry.gone || entry.stalled.is_some();
        let turn = if is_urgent { now } else { self.pace.take(now) };
        let at = match (pause, write.began) {
            (Some(pause), _) => now + pause,
            (None, Some(began)) => turn.max(began + rest),
            (None, None) => turn,
        };
        self.writer.queue(job, at);
    }

    /// One that stood in the queue twice may be written by now.
    pub fn write(&mut self, job: JobId) {
        let Some(entry) = self.table.get(&job) else { return };
        entry.write.queued = false;
        if !entry.write.dirty || entry.write.running {
            return;
        }
        entry.write.dirty = false;
        entry.write.running = true;
        entry.write.began = Some(Instant::now());
        if entry.gone {
            return self.writer.remove(job);
        }
        let Some(folded) = self.log.job(&job) else { return self.table.forget(&job) };
        let value = Value::of(folded, clock::now(), entry.outlook());
        self.writer.write(job, value, entry.rev, entry.write.since.take());
    }

    /// A job that ended and is written costs nothing more.
    pub fn drop_if_over(&mut self, job: JobId) {
        let is_over = self.log.job(&job).is_some_and(|folded| folded.job.is_terminal());
        if is_over && self.table.get(&job).is_some_and(|entry| entry.is_settled()) {
            self.log.forget(&job);
            self.table.forget(&job);
            self.table.over += 1;
        }
    }
}
