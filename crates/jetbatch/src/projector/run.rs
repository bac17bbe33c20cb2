//! The projector's loop and what it does with each of its inputs.
use super::{
    Error,
    health::{Finding, Health},
    pools::Pools,
    refresh::REFRESH,
    repair::Repair,
    resume::Missing,
    snapshots::Snapshots,
    stored::{self, StoredVersion, Value, Written},
    table::JobTable,
    writer::{Done, Turn, Writer},
};
use crate::{
    bus::PublishError,
    clock,
    log::{Change, Keep, Log},
    shared::Shared,
};
use domain::{
    Event, JobId, Millis,
    eta::Sla,
    forecast::Owed,
    status::{Live, State},
};
use futures::FutureExt;
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Events folded before writes get their turn.
const EVENTS_PER_TURN: usize = 512;
/// Writes that wait while the log is folded for the first time.
const WAITING_MAX: usize = 1_000;
/// Before a write that failed is tried again.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// How long the last writes may take when the room is told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

pub struct Projector {
    pub shared: Shared,
    pub log: Log,
    pub table: JobTable,
    pub pools: Pools,
    pub writer: Writer,
    pub health: Health,
    pub repair: Repair,
    pub snapshots: Snapshots,
    tick: Interval,
}

enum Input {
    Stop,
    Writer(Box<Turn>),
    Tick,
    Finding(Finding),
    Repaired(u64),
    Event(Box<Change>),
}

pub async fn project(shared: &Shared, stop: &CancellationToken) -> Result<(), Error> {
    let begin = Projector::begin(shared);
    let mut projector = tokio::select! {
        projector = begin => projector?,
        () = stop.cancelled() => return Ok(()),
    };
    loop {
        match projector.next(stop).await? {
            Input::Stop => return projector.finish().await,
            Input::Writer(turn) => projector.turn(*turn),
            Input::Tick => {
                projector.refresh();
                projector.snapshot();
            }
            Input::Finding(Finding::BucketLost) => projector.restore(),
            Input::Finding(Finding::LogReplaced) => return Err(Error::LogReplaced),
            Input::Repaired(jobs) => projector.repaired(jobs),
            Input::Event(change) => {
                projector.take(&change)?;
                projector.snapshot();
            }
        }
    }
}

impl Projector {
    /// Folds the log as it stands, and only then writes what the bucket holds otherwise: no reader sees old states
    /// come by again.
    async fn begin(shared: &Shared) -> Result<Self, Error> {
        let bus = &shared.bus;
        let pools = shared.config.pools.keys().map(ToString::to_string).collect();
        let health = Health::open(bus, pools).await?;
        // The snapshot before the versions: what it holds as ended is in the bucket, if that was not lost.
        let log = Log::resume(shared, Keep::All).await?;
        let versions = stored::load(bus).await?;
        let last = stored::check(bus, &versions).await?;
        health.set_keys(versions.len() as u64);
        let mut tick = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (table, pools, writer) = (JobTable::default(), Pools::default(), Writer::new(bus));
        let (repair, snapshots) = (Repair::default(), Snapshots::new(shared));
        let mut projector = Self { shared: shared.clone(), log, table, pools, writer, health, repair, snapshots, tick };
        let mut missing = projector.resume(&versions).await?;
        projector.catch_up(last, &versions, &mut missing).await?;
        if missing.any() {
            projector.restore();
        }
        Ok(projector)
    }

    async fn catch_up(
        &mut self,
        last: u64,
        versions: &HashMap<JobId, StoredVersion>,
        missing: &mut Missing,
    ) -> Result<(), Error> {
        while self.log.seq() < last && !self.log.caught_up() {
            let change = self.log.read().await?;
            missing.see(&change, &self.log, versions);
            self.fold(&change);
            if self.log.job(&change.job).is_some_and(|folded| folded.job.is_terminal()) {
                self.compare(change.job, versions.get(&change.job));
            }
            // Where the bucket is empty, jobs that ended must not pile up until the whole log is folded.
            while self.writer.queued() > WAITING_MAX {
                let turn = self.writer.next().await;
                self.turn(turn);
            }
        }
        for job in self.table.ids() {
            self.compare(job, versions.get(&job));
        }
        let events = self.log.events_read();
        tracing::debug!(seq = self.log.seq(), events, jobs = versions.len(), "the projector has folded the log");
        Ok(())
    }

    /// Writes a job's status unless the bucket holds it already.
    fn compare(&mut self, job: JobId, version: Option<&StoredVersion>) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.table.get(&job)) else { return };
        entry.stored = version.is_some();
        entry.rev = version.map_or(0, |version| version.rev);
        entry.alerted = entry.alerted.or(version.and_then(|version| version.live.sla));
        entry.write.dirty = !version.is_some_and(|version| version.is(folded));
        entry.write.since = None;
        self.alert(job);
        self.queue(job, None);
        self.drop_if_over(job);
    }

    async fn next(&mut self, stop: &CancellationToken) -> Result<Input, Error> {
        Ok(tokio::select! {
            biased;
            () = stop.cancelled() => Input::Stop,
            turn = self.writer.next() => Input::Writer(Box::new(turn)),
            _ = self.tick.tick() => Input::Tick,
            finding = self.health.next() => Input::Finding(finding),
            jobs = self.repair.done() => Input::Repaired(jobs),
            change = self.log.read() => Input::Event(Box::new(change?)),
        })
    }

    /// Folds this event and those that have come already.
    fn take(&mut self, change: &Change) -> Result<(), Error> {
        self.absorb(change);
        for _ in 1..EVENTS_PER_TURN {
            let Some(change) = self.log.read().now_or_never() else { return Ok(()) };
            self.absorb(&change?);
        }
        Ok(())
    }

    fn absorb(&mut self, change: &Change) {
        if !self.fold(change) {
            return;
        }
        self.table.entry(change.job).touch(change.at_ms);
        if change.event.is_lifecycle() {
            self.alert(change.job);
        }
        self.queue(change.job, None);
    }

    /// Whether the event changed the job's status.
    fn fold(&mut self, change: &Change) -> bool {
        self.snapshots.count();
        if let Event::JobDeleted(_) = &change.event {
            self.log.fold(change);
            self.shared.metrics.events_folded(1);
            self.remove(change.job);
            return false;
        }
        let (id, at) = (change.job, Millis::new(change.at_ms));
        let before = self.log.job(&id).map(|folded| Owed::touched(&folded.job, &change.event)).unwrap_or_default();
        self.log.fold(change);
        self.shared.metrics.events_folded(1);
        let Some(folded) = self.log.job(&id).filter(|folded| folded.seq == change.seq) else { return false };
        let after = Owed::touched(&folded.job, &change.event);
        if let (Event::ChunkDone(done), true) = (&change.event, after.is_empty()) {
            before.iter().for_each(|(pool, count)| self.pools.answered(pool, count, done.started, at));
        }
        self.pools.moved(&before, &after, at);
        let entry = self.table.entry(id);
        entry.owed.add(&after);
        entry.owed.subtract(&before);
        // No other event moves a job to another state.
        if change.event.is_lifecycle() || folded.job.remaining() == 0 {
            self.table.state(id, State::of(&folded.job));
        }
        true
    }

    fn turn(&mut self, turn: Turn) {
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
        let (rev, live) = match written {
            Written::Ours { rev } => (rev, live),
            Written::Theirs(version) => {
                tracing::debug!(%job, seq = version.seq, "another projector's status stands");
                (version.rev, version.live)
            }
            Written::Nothing => return self.not_wanted(job),
        };
        if let (Some(since), Written::Ours { .. }) = (since, written) {
            let delay = clock::now().since(Millis::new(since));
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

    fn alerted(&mut self, job: JobId, before: Option<Sla>, result: Result<(), PublishError>) {
        let Some(entry) = self.table.get(&job) else { return };
        entry.alerting = false;
        if let Err(error) = result {
            // The next refresh finds the standing untold and tells it again.
            entry.alerted = before;
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "an alert is not published yet");
        }
        self.drop_if_over(job);
    }

    /// Puts a job that has something to write into the queue: at once after a rest, else when its pause is over.
    pub fn queue(&mut self, job: JobId, pause: Option<Duration>) {
        let Some(entry) = self.table.get(&job) else { return };
        if !entry.write.dirty || entry.write.queued || entry.write.running {
            return;
        }
        entry.write.queued = true;
        let now = Instant::now();
        let rest = Duration::from_millis(self.shared.config.projector.write_ms);
        let at = match (pause, entry.write.began) {
            (Some(pause), _) => now + pause,
            (None, Some(began)) => now.max(began + rest),
            (None, None) => now,
        };
        self.writer.queue(job, at);
    }

    fn write(&mut self, job: JobId) {
        let Some(entry) = self.table.get(&job) else { return };
        entry.write.queued = false;
        entry.write.dirty = false;
        entry.write.running = true;
        entry.write.began = Some(Instant::now());
        if entry.gone {
            return self.writer.remove(job);
        }
        let Some(folded) = self.log.job(&job) else { return self.table.forget(&job) };
        let value = Value::of(folded, clock::now(), entry.eta);
        self.writer.write(job, value, entry.rev, entry.write.since.take());
    }

    /// A job that ended and is written costs nothing more.
    fn drop_if_over(&mut self, job: JobId) {
        let is_over = self.log.job(&job).is_some_and(|folded| folded.job.is_terminal());
        if is_over && self.table.get(&job).is_some_and(|entry| entry.is_settled()) {
            self.log.forget(&job);
            self.table.forget(&job);
            self.table.over += 1;
        }
    }

    /// Writes what is not written yet, for a few seconds at most; the rest is written at the next start.
    async fn finish(mut self) -> Result<(), Error> {
        for job in self.table.ids() {
            if self.table.entry(job).write.dirty && !self.table.entry(job).write.running {
                self.write(job);
            }
        }
        let last = async {
            while !self.writer.is_idle() {
                if let Turn::Done(done) = self.writer.next().await {
                    self.turn(Turn::Done(done));
                }
            }
        };
        if timeout(STOP_MAX, last).await.is_err() {
            tracing::warn!("the projector stops with statuses unwritten; the next start writes them");
        }
        self.last_snapshot().await;
        Ok(())
    }
}
