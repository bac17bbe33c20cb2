//! The scheduler: keeps each pool's WORK a little ahead of its workers, the most urgent job first; ends, expires and
//! cancels jobs; sends again what WORK has lost. It owns what is sent. What is owed it derives from the log, so
//! nothing is lost with it, and two of it do no harm: sends deduplicate, results are stored once, lifecycle events are
//! compared and set. So the lease that makes one of them the leader only spares work done twice.
pub mod control;
mod dead;
mod lines;
mod reconcile;
mod retry;
mod send;
mod sent;

use crate::{
    bus::{PublishError, ReadError},
    clock, command,
    log::{self, Change, Keep, Log, LogError},
    shared::Shared,
    spans,
    store::StoreError,
};
use domain::{
    ChunkId, Event, Job, JobId, Millis, Pool,
    decide::Command,
    event::ChunkFailed,
    job::{Chunk, Phase},
    rate::Rate,
};
use futures::FutureExt;
use lines::Segments;
use sent::Sent;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::{Filter, stream};

/// How often deadlines and retries are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Events folded before the next decision.
const EVENTS_AT_ONCE: usize = 512;
/// Older failures were told of by an earlier run.
const DEAD_MS: u64 = 60_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the scheduler cannot read the log")]
    Log(#[from] LogError),
}

/// What may pass: it is tried again at the next tick.
#[derive(Debug, thiserror::Error)]
enum Passing {
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
    log: Log,
    sent: Sent,
    segments: Segments,
    rates: HashMap<Pool, Rate>,
    workers: HashMap<Pool, u64>,
    tick: Interval,
    reconcile: Interval,
    /// The trace of a chunk's failed attempt, for the link from its next one.
    failed: HashMap<(JobId, ChunkId), String>,
    /// Chunks given up since the last decision, for the dead-letter stream, each with its job as it was then: before the
    /// decision the segment may be archived, and the job over.
    dead: Vec<(Job, ChunkFailed)>,
    /// Jobs that want no more of what WORK holds of them.
    unwanted: BTreeSet<JobId>,
    /// Jobs whose input could not be read, and when it is tried again: the others go on.
    aside: HashMap<JobId, Instant>,
    /// Jobs whose end was stored and is not folded yet.
    ending: BTreeSet<JobId>,
    /// A stream was full, and when it is tried again: everything but sending goes on.
    full: Option<Instant>,
}

impl Scheduler {
    async fn open(shared: Shared) -> Result<Self, Error> {
        let log = Log::resume(&shared, Keep::Active).await?;
        let every = |period| {
            let mut interval = interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let reconcile = every(Duration::from_secs(shared.config.scheduler.reconcile_s.max(1)));
        Ok(Self {
            segments: Segments::new(shared.store.clone()),
            shared,
            log,
            sent: Sent::default(),
            rates: HashMap::new(),
            workers: HashMap::new(),
            tick: every(TICK),
            reconcile,
            failed: HashMap::new(),
            dead: Vec::new(),
            unwanted: BTreeSet::new(),
            aside: HashMap::new(),
            ending: BTreeSet::new(),
            full: None,
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
                    self.note(change);
                    self.fold_ready().await?;
                }
                _ = self.tick.tick() => {}
            }
            if let Err(error) = self.act().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the scheduler tries again");
                self.fold_until_tick().await?;
            }
        }
    }

    /// What a snapshot does not tell: why chunks that failed lately did, for their entries in DEAD and their traces.
    async fn recall(&mut self) -> Result<(), Error> {
        let Some(last) = self.log.resumed().map(|from| from.seq) else { return Ok(()) };
        let (bus, since) = (self.shared.bus.clone(), clock::now().get().saturating_sub(DEAD_MS));
        Ok(log::replay(&bus, Filter::Events, since, last, |change| self.note(change)).await?)
    }

    async fn fold(&mut self) -> Result<(), Error> {
        let change = self.log.next().await?;
        self.note(change);
        Ok(())
    }

    /// All that is there already, up to a bound, so that one decision serves many events.
    async fn fold_ready(&mut self) -> Result<(), Error> {
        for _ in 0..EVENTS_AT_ONCE {
            match self.log.next().now_or_never() {
                Some(change) => {
                    let change = change?;
                    self.note(change);
                }
                None => break,
            }
        }
        Ok(())
    }

    /// After a failure: events are folded on, decisions wait for the tick.
    async fn fold_until_tick(&mut self) -> Result<(), Error> {
        self.tick.reset();
        loop {
            tokio::select! {
                biased;
                _ = self.tick.tick() => return Ok(()),
                change = self.log.next() => {
                    let change = change?;
                    self.note(change);
                }
            }
        }
    }

    fn note(&mut self, change: Change) {
        let now = Millis::new(change.at_ms);
        match &change.event {
            Event::ChunkDone(done) => {
                self.failed.remove(&(change.job, done.chunk));
                if let Some(out) = self.sent.remove(change.job, done.chunk) {
                    self.rates.entry(out.pool).or_default().add(now, done.tally.requests());
                }
            }
            Event::ChunkFailed(failed) => {
                self.sent.remove(change.job, failed.chunk);
                if clock::now().since(now) < DEAD_MS
                    && let Some(job) = self.given_up(change.job, failed.chunk)
                {
                    self.dead.push((job, failed.clone()));
                }
                if let Some(trace) = change.trace {
                    self.failed.insert((change.job, failed.chunk), trace);
                }
            }
            Event::SegmentArchived(archived) => self.segments.forget(change.job, archived.segment),
            Event::JobPaused(_) | Event::JobClosing(_) | Event::JobEnded(_) | Event::JobRejected(_) => {
                self.drop_job(change.job);
            }
            Event::JobSubmitted(_)
            | Event::JobPlanned(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobDeleted(_)
            | Event::SegmentPlanned(_)
            | Event::OutputWritten(_) => {}
        }
        self.rest_idle();
    }

    /// The job with the one segment in which the chunk is given up.
    fn given_up(&self, job: JobId, chunk: ChunkId) -> Option<Job> {
        let job = &self.log.job(&job)?.job;
        let Some(Chunk::GivenUp(_)) = job.chunk(chunk) else { return None };
        let open = [(chunk.segment, job.open.get(&chunk.segment)?.clone())].into();
        Some(Job { open, ..job.clone_head() })
    }

    fn drop_job(&mut self, job: JobId) {
        self.aside.remove(&job);
        self.ending.remove(&job);
        if self.sent.drop_job(job) {
            self.unwanted.insert(job);
        }
        self.segments.forget_job(job);
        self.failed.retain(|(id, _), _| *id != job);
    }

    /// A pool with nothing out has no speed to measure.
    fn rest_idle(&mut self) {
        for (pool, rate) in &mut self.rates {
            if self.sent.room(pool).chunks == 0 {
                rate.sleep();
            }
        }
    }

    async fn act(&mut self) -> Result<(), Passing> {
        self.close().await?;
        self.withdraw().await?;
        self.bury();
        if self.is_full() {
            return Ok(());
        }
        let sends = self.due(clock::now());
        self.send(sends).await
    }

    /// Expires and ends what is due.
    async fn close(&mut self) -> Result<(), Passing> {
        let now = clock::now();
        let due = |job: &Job| match &job.phase {
            Phase::Validating | Phase::Running
                if now >= job.deadline && (job.remaining() > 0 || job.planned.is_none()) =>
            {
                Some(Command::Expire { at: now })
            }
            Phase::Running | Phase::Closing(_) if job.written.is_some() && job.is_archived() => {
                Some(Command::End { at: now })
            }
            Phase::Validating | Phase::Running | Phase::Closing(_) | Phase::Rejected(_) | Phase::Ended(_) => None,
        };
        let due: Vec<_> = self.log.jobs().filter_map(|f| due(&f.job).map(|command| (f.job.id, command))).collect();
        let due = due.into_iter().filter(|(id, _)| !self.ending.contains(id)).collect::<Vec<_>>();
        for (id, command) in due {
            self.end(id, command).await?;
        }
        Ok(())
    }

    /// Takes back what no worker is to begin any more. A worker asks for itself; this spares it the message.
    async fn withdraw(&mut self) -> Result<(), Passing> {
        while let Some(job) = self.unwanted.first().copied() {
            let is_wanted = self.log.job(&job).is_some_and(|folded| folded.job.is_wanted());
            if !is_wanted {
                self.shared.bus.purge(stream::WORK, &Filter::JobWork(job)).await?;
            }
            self.unwanted.remove(&job);
        }
        Ok(())
    }

    /// Tells of chunks that were given up, beside the scheduler's own work. Their requests become error lines whether or
    /// not this is stored.
    fn bury(&mut self) {
        for (job, failed) in self.dead.drain(..) {
            tokio::spawn(dead::bury(self.shared.clone(), job, failed));
        }
    }

    async fn end(&mut self, id: JobId, command: Command) -> Result<(), Passing> {
        let Some(folded) = self.log.job(&id) else { return Ok(()) };
        let (job, ends) = (folded.job.clone_head(), matches!(command, Command::End { .. }));
        let trace = job.submitted.trace.clone();
        match command::execute(&self.shared.bus, id, Some(folded), command, trace.as_deref()).await {
            Ok(true) if ends => {
                self.ending.insert(id);
                let outcome = job.outcome();
                tracing::info!(job = %id, ?outcome, completed = job.tally.completed, failed = job.tally.failed, "job ended");
                spans::ended(&job, clock::now());
            }
            Ok(_) | Err(command::Error::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
