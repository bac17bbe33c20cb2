//! The scheduler's room: keeps each pool's WORK a little ahead of its workers, the most urgent job first; ends, expires
//! and cancels jobs; sends again what WORK has lost. [`domain::schedule`] decides all of it; here its inputs are read and
//! its effects are carried out. What is owed it derives from the log, so nothing is lost with it, and two of it do no
//! harm: sends deduplicate, results are stored once, lifecycle events are compared and set. So the lease that makes one
//! of them the leader only spares work done twice.
mod dead;
mod lines;
mod reconcile;
mod send;

use crate::{
    bus::{PublishError, ReadError},
    clock, command,
    log::{self, Change, Keep, Log, LogError},
    shared::Shared,
    spans,
    store::StoreError,
};
use dead::Dead;
use domain::{
    Event, Job, JobId,
    decide::Command,
    schedule::{self, DEAD_MS, Effect, Folded, Input, Jobs, Moment, Now},
};
use futures::FutureExt;
use lines::Segments;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::{Filter, stream};

/// How often deadlines and retries are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Events folded before the next decision.
const EVENTS_AT_ONCE: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the scheduler cannot read the log")]
    Log(#[from] LogError),
}

/// What may pass: it is tried again at the next tick.
#[derive(Debug, thiserror::Error)]
enum Transient {
    #[error("work could not be stored")]
    Publish(#[from] PublishError),
    #[error("NATS could not be read")]
    Read(#[from] ReadError),
    #[error("the input could not be read")]
    Store(#[from] StoreError),
    #[error("a lifecycle event could not be stored")]
    Command(#[from] command::Error),
    #[error("segment {segment} of job {job} is not the one that was planned: the input has changed")]
    Changed { job: JobId, segment: u32 },
}

pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let work = async { Scheduler::open(shared).await?.work().await };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        done = work => done,
    }
}

struct Scheduler {
    shared: Shared,
    core: schedule::Scheduler,
    log: Log,
    segments: Segments,
    dead: Dead,
    tick: Interval,
    reconcile: Interval,
    began: Instant,
}

impl Jobs for Log {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.job(&id).map(|folded| &folded.job)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs().map(|folded| &folded.job)
    }
}

impl Scheduler {
    async fn open(shared: Shared) -> Result<Self, Error> {
        let log = Log::resume(&shared, Keep::Active).await?;
        let every = |period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let config = &shared.config;
        Ok(Self {
            core: schedule::Scheduler::new(config.pools.keys().cloned().collect(), config.scheduler.ahead_s),
            segments: Segments::new(shared.store.clone()),
            dead: Dead::open(shared.clone()),
            log,
            tick: every(TICK),
            reconcile: every(Duration::from_secs(config.scheduler.reconcile_s.max(1))),
            began: Instant::now(),
            shared,
        })
    }

    /// Nothing is sent before the whole log is folded and WORK was looked at: what stands there is not sent again.
    async fn work(&mut self) -> Result<(), Error> {
        self.recall().await?;
        while !self.log.caught_up() {
            self.fold().await?;
        }
        loop {
            tokio::select! {
                biased;
                _ = self.reconcile.tick() => self.reconcile_now().await?,
                change = self.log.next() => {
                    let change = change?;
                    self.note(&change);
                    self.fold_ready().await?;
                }
                _ = self.tick.tick() => {}
            }
            if let Err(error) = self.act().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the scheduler tries again");
                self.input(Input::Failed);
            }
        }
    }

    /// What a snapshot does not tell: why chunks that failed lately did, for their entries in DEAD and their traces.
    async fn recall(&mut self) -> Result<(), Error> {
        let Some(last) = self.log.resumed().map(|from| from.seq) else { return Ok(()) };
        let (bus, since) = (self.shared.bus.clone(), clock::now().get().saturating_sub(DEAD_MS));
        Ok(log::replay(&bus, Filter::Events, since, last, |change| self.note(&change)).await?)
    }

    async fn fold(&mut self) -> Result<(), Error> {
        let change = self.log.next().await?;
        self.note(&change);
        Ok(())
    }

    /// All that is there already, up to a bound, so that one decision serves many events.
    async fn fold_ready(&mut self) -> Result<(), Error> {
        for _ in 0..EVENTS_AT_ONCE {
            match self.log.next().now_or_never() {
                Some(change) => {
                    let change = change?;
                    self.note(&change);
                }
                None => break,
            }
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now { at: clock::now(), moment: Moment::new(self.began.elapsed().as_millis() as u64) }
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.now();
        self.core.input(&self.log, input, now);
    }

    fn note(&mut self, change: &Change) {
        let Change { job, seq, event, at_ms, trace, .. } = change;
        let stored = domain::Millis::new(*at_ms);
        self.input(Input::Folded(Folded { job: *job, event, seq: *seq, stored, trace: trace.as_deref() }));
        match event {
            Event::SegmentArchived(archived) => self.segments.forget(*job, archived.segment),
            Event::JobPaused(_) | Event::JobClosing(_) | Event::JobEnded(_) | Event::JobRejected(_) => {
                self.segments.forget_job(*job);
            }
            _ => {}
        }
    }

    async fn act(&mut self) -> Result<(), Transient> {
        let mut sends = Vec::new();
        for effect in self.core.outstanding(&self.log, self.now()) {
            match effect {
                Effect::DeadLetter { job, from, until } => {
                    self.dead.tell(job, from, until);
                    self.input(Input::DeadLettered(job, until));
                }
                Effect::Append(job, command) => self.append(job, command).await?,
                Effect::Withdraw(job) => {
                    self.shared.bus.purge(stream::WORK, &Filter::JobWork(job)).await?;
                    self.input(Input::Withdrawn(job));
                }
                Effect::Send(send) => sends.push(send),
            }
        }
        self.send(sends).await
    }

    async fn append(&mut self, id: JobId, command: Command) -> Result<(), Transient> {
        let Some(folded) = self.log.job(&id) else { return Ok(()) };
        let (job, ends) = (folded.job.clone_head(), matches!(command, Command::End { .. }));
        let trace = job.submitted.trace.clone();
        match command::execute(&self.shared.bus, id, Some(folded), command, trace.as_deref()).await {
            Ok(true) => {
                self.input(Input::Appended(id));
                if ends {
                    told(&job);
                }
            }
            Ok(false) | Err(command::Error::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn told(job: &Job) {
    let (id, outcome) = (job.id, job.outcome());
    tracing::info!(job = %id, ?outcome, completed = job.tally.completed, failed = job.tally.failed, "job ended");
    spans::ended(job, clock::now());
}
