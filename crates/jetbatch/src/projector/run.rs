//! The projector's loop: what comes in, and the fold of it.
use super::{
    Error,
    health::{Finding, Health},
    pace::Pace,
    refresh::REFRESH,
    repair::Repair,
    resume::Missing,
    snapshots::Snapshots,
    stalls::{Stalls, Stand},
    stored::{self, StoredVersion},
    table::JobTable,
    writer::{Turn, Writer},
};
use crate::{
    clock,
    heard::Heard,
    log::{Change, Keep, Log},
    shared::Shared,
};
use domain::{
    Event, JobId, Timestamp,
    alarm::Watch,
    forecast::Owed,
    foresight::{Due, Foresight},
    status::State,
    usage::{Amounts, Ledger},
};
use futures::FutureExt;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Events folded before writes get their turn.
const EVENTS_PER_TURN: usize = 512;
/// Writes that wait while the log is folded for the first time.
const WAITING_MAX: usize = 1_000;
/// How long the last writes may take when the room is told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

pub struct Projector {
    pub shared: Shared,
    pub log: Log,
    pub table: JobTable,
    pub foresight: Foresight,
    /// What tenants used.
    pub usage: Ledger,
    pub writer: Writer,
    pub pace: Pace,
    pub health: Health,
    pub repair: Repair,
    pub snapshots: Snapshots,
    pub stalls: Stalls,
    pub quotes: Heard,
    pub usages: Heard,
    tick: Interval,
}

enum Input {
    Stop,
    Writer(Box<Turn>),
    Tick,
    Finding(Finding),
    Repaired(u64),
    Asked(Box<async_nats::Message>),
    AskedUsage(Box<async_nats::Message>),
    Event(Arc<Change>),
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
            Input::Asked(question) => projector.quote(*question),
            Input::AskedUsage(question) => projector.tell_usage(*question),
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
        let (table, foresight, writer) = (JobTable::default(), Foresight::default(), Writer::new(bus));
        let (repair, snapshots, stalls) = (Repair::default(), Snapshots::new(shared), Stalls::new(shared));
        let (quotes, usages) = (Heard::open(bus, wire::Quotes), Heard::open(bus, wire::Usages));
        let (shared, usage) = (shared.clone(), Ledger::default());
        let mut projector = Self {
            shared,
            log,
            table,
            foresight,
            usage,
            writer,
            pace: Pace::default(),
            health,
            repair,
            snapshots,
            stalls,
            quotes,
            usages,
            tick,
        };
        let mut missing = projector.resume(&versions).await?;
        projector.foresight.weigh(projector.shared.config.weights());
        projector.catch_up(last, &versions, &mut missing).await?;
        // What ended before: whoever projected then has counted it.
        drop(projector.foresight.scores());
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
        let risk = version.and_then(|version| version.live.risk.as_deref().cloned());
        entry.watch = Watch::resume(risk);
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
            question = self.quotes.next() => Input::Asked(Box::new(question)),
            question = self.usages.next() => Input::AskedUsage(Box::new(question)),
            change = self.log.read() => Input::Event(change?),
        })
    }

    /// Folds this event and those that have come already.
    fn take(&mut self, change: &Change) -> Result<(), Error> {
        self.absorb(change);
        for _ in 1..EVENTS_PER_TURN {
            let Some(change) = self.log.read().now_or_never() else { return Ok(()) };
            self.absorb(&*change?);
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
        let (id, at) = (change.job, Timestamp::new(change.at_ms));
        let job = self.log.job(&id).map(|folded| &folded.job);
        let touched = |job| (Owed::touched(job, &change.event), Due::touched(job, &change.event));
        let (before, due) = job.map(touched).unwrap_or_default();
        let used = |log: &Log| log.job(&id).map(|folded| (folded.job.submitted.tenant, Amounts::of(&folded.job)));
        let used_before = used(&self.log).map(|(_, amounts)| amounts).unwrap_or_default();
        self.log.fold(change);
        if let Some((tenant, now)) = used(&self.log) {
            self.usage.note(tenant, at, used_before, now);
        }
        self.foresight.fold(&self.log, id, &change.event, &due, at);
        self.shared.metrics.events_folded(1);
        if let Event::JobDeleted(_) = &change.event {
            self.remove(id);
            return false;
        }
        let Some(folded) = self.log.job(&id).filter(|folded| folded.seq == change.seq) else { return false };
        let after = Owed::touched(&folded.job, &change.event);
        self.stalls.see(&change.event, &before);
        let entry = self.table.entry(id);
        entry.stand = Some(Stand::after(entry.stand, &folded.job, clock::now()));
        entry.owed.add(&after);
        entry.owed.subtract(&before);
        // No other event moves a job to another state.
        let is_lost = matches!(change.event, Event::ChunkLost(_));
        if change.event.is_lifecycle() || folded.job.remaining() == 0 || is_lost {
            self.table.state(id, State::of(&folded.job));
        }
        true
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
