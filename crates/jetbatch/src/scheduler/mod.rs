//! The scheduler's room: keeps each pool's WORK a little ahead of its workers, whose turn it is first; ends, expires
//! and cancels jobs; sends again what WORK has lost. [`domain::schedule`] decides all of it; here its inputs are read and
//! its effects are carried out. What is owed it derives from the log, so nothing is lost with it, and two of it do no
//! harm: sends deduplicate, results are stored once, lifecycle events are compared and set. So the lease that makes one
//! of them the leader only spares work done twice.
mod dead;
mod lines;
mod pools;
mod reconcile;
mod send;

use crate::{
    bus::{Bus, PublishError, ReadError},
    clock::{self, Uptime},
    command,
    log::{self, Change, Keep, Log, LogError},
    shared::Shared,
    spans,
};
use dead::Dead;
use domain::{
    Event, Job, JobId,
    command::Command,
    forecast::Owed,
    limits::REASON_CHARS_MAX,
    schedule::{self, DEAD_MS, Effect, Folded, Input, Now},
    trouble::Scope,
};
use futures::{FutureExt, StreamExt};
use lines::Segments;
use pools::Pools;
use std::{iter, time::Duration};
use store::StoreError;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::{Filter, stream};

/// How often deadlines and retries are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Events folded before the next decision.
const EVENTS_AT_ONCE: usize = 512;
/// Lifecycle events on their way at a time, each of another job.
const APPENDS_AT_ONCE: usize = 256;

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
    pools: Pools,
    uptime: Uptime,
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
            core: schedule::Scheduler::new(config.pools.keys().cloned().collect(), config.scheduler.ahead_s)
                .weighing(config.weights()),
            segments: Segments::new(shared.store.clone()),
            dead: Dead::open(shared.clone()),
            log,
            tick: every(TICK),
            reconcile: every(Duration::from_secs(config.scheduler.reconcile_s.max(1))),
            pools: Pools::open(&shared).await,
            uptime: Uptime::default(),
            shared,
        })
    }

    /// Nothing is sent before the whole log is folded and WORK was looked at: what stands there is not sent again.
    async fn work(&mut self) -> Result<(), Error> {
        self.core.resume(&self.log);
        self.recall().await?;
        while !self.log.caught_up() {
            self.fold().await?;
        }
        loop {
            tokio::select! {
                biased;
                _ = self.reconcile.tick() => self.reconcile_now().await?,
                () = self.pools.due() => self.tell(),
                change = self.log.next() => {
                    let change = change?;
                    self.note(&change);
                    self.fold_ready().await?;
                }
                _ = self.tick.tick() => {}
            }
            match self.act().await {
                Ok(()) => self.input(Input::Tried),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the scheduler tries again");
                    self.input(Input::Failed);
                }
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
        Now { at: clock::now(), moment: self.uptime.moment() }
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.now();
        self.core.input(&self.log, input, now);
    }

    fn note(&mut self, change: &Change) {
        let Change { job, seq, event, at_ms, trace, .. } = change;
        let stored = domain::Timestamp::new(*at_ms);
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
        let (mut appends, mut sends) = (Vec::new(), Vec::new());
        for effect in self.core.outstanding(&self.log, self.now()) {
            match effect {
                Effect::DeadLetter { job, from, until } => {
                    self.dead.tell(job, from, until);
                    self.input(Input::DeadLettered(job, until));
                }
                Effect::Append(job, command) => appends.push((job, self.told(job, command))),
                Effect::Withdraw(job) => {
                    let appended = self.append(std::mem::take(&mut appends)).await;
                    self.appended(appended)?;
                    self.shared.bus.purge(stream::WORK, &Filter::JobWork(job)).await?;
                    self.input(Input::Withdrawn(job));
                }
                Effect::Send(send) => sends.push(send),
            }
        }
        // Neither waits for the other: a job that ends has nothing to be sent.
        let append = self.append(appends);
        let (appended, sent) = tokio::join!(append, self.send(sends));
        self.appended(appended).and(sent)
    }

    /// What a job waited for until its deadline goes to those who read its error lines.
    fn told(&self, id: JobId, command: Command) -> Command {
        let Command::Expire { at, reason: None } = command else { return command };
        let job = self.log.job(&id).map(|folded| &folded.job);
        let owed = job.map(Owed::of).unwrap_or_default();
        let pools = owed.iter().map(|(pool, _)| Scope::Pool(pool.clone()));
        let told = iter::once(Scope::Job(id)).chain(pools).flat_map(|scope| self.shared.troubles.of(&scope)).next();
        let reason = told.map(|trouble| trouble.cause.chars().take(REASON_CHARS_MAX).collect());
        Command::Expire { at, reason }
    }

    /// Of as many jobs at once: what one waits for is no other's.
    fn append(&self, commands: Vec<(JobId, Command)>) -> impl Future<Output = Vec<Appended>> + Send + use<> {
        let bus = self.shared.bus.clone();
        let known = commands.into_iter().filter_map(|(id, command)| Some((self.log.share(&id)?, command)));
        let known: Vec<_> = known.collect();
        let appends = known.into_iter().map(move |(folded, command)| {
            let bus = bus.clone();
            async move { (folded.job.id, append(&bus, &folded, command).await) }
        });
        futures::stream::iter(appends).buffer_unordered(APPENDS_AT_ONCE).collect()
    }

    /// The first error is told when all have come to an end.
    fn appended(&mut self, appended: Vec<Appended>) -> Result<(), Transient> {
        let mut result = Ok(());
        for (id, is_stored) in appended {
            match is_stored {
                Ok(true) => self.input(Input::Appended(id)),
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }
}

/// A job, and whether the command's event was stored by this.
type Appended = (JobId, Result<bool, Transient>);

/// Whether this stored it.
async fn append(bus: &Bus, folded: &log::Folded, command: Command) -> Result<bool, Transient> {
    let trace = folded.job.submitted.trace.as_deref();
    let (ends, abandons) = (matches!(command, Command::End { .. }), matches!(command, Command::Abandon { .. }));
    match command::execute(bus, folded.job.id, Some(folded), command, trace).await {
        Ok(true) => {
            if ends {
                tell_end(&folded.job);
            }
            if abandons {
                tracing::error!(job = %folded.job.id, "a cancelled job's answers could not be written; it ends without them");
            }
            Ok(true)
        }
        Ok(false) | Err(command::Error::Denied(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn tell_end(job: &Job) {
    let (id, outcome) = (job.id, job.outcome());
    tracing::info!(job = %id, ?outcome, completed = job.tally.completed, failed = job.tally.failed, "job ended");
    spans::ended(job, clock::now());
}
