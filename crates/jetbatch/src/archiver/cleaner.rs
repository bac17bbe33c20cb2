//! What is to be removed, a few at a time; and the sweep, which finds what was forgotten: after a crash, by another
//! head, by a worker that came late. What is lost from the queue is the next sweep's, so it need not be kept.
use super::{
    cleanup::{self, perform},
    expire,
    orphan::{Chore, Found, orphans},
    scan,
    upload_refs::UploadRefs,
};
use crate::{
    log::{Change, Log},
    shared::Shared,
};
use domain::{Event, Job, JobId, archive::Leftover};
use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

const CHORES_AT_ONCE: usize = 16;
/// More than that wait for the next sweep.
const CHORES_MAX: usize = 10_000;
/// Between a failure and the next try of anything.
const REST: Duration = Duration::from_secs(5);
/// A sweep that failed is tried again so soon, if not sooner.
const SWEEP_AGAIN: Duration = Duration::from_secs(60);

pub struct Cleaner {
    shared: Shared,
    upload_refs: UploadRefs,
    queue: VecDeque<Chore>,
    queued: HashSet<Chore>,
    tasks: JoinSet<Done>,
    /// How many of the tasks are chores.
    chores: usize,
    is_sweeping: bool,
    found: Option<Found>,
    next_sweep: Instant,
    rest_until: Instant,
}

enum Done {
    Chore(Chore, Result<(), cleanup::Error>),
    Sweep(Result<Found, Error>),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Expire(#[from] expire::Error),
    #[error(transparent)]
    Scan(#[from] scan::Error),
}

impl Cleaner {
    pub fn new(shared: Shared) -> Self {
        let now = Instant::now();
        Self {
            shared,
            upload_refs: UploadRefs::default(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            tasks: JoinSet::new(),
            chores: 0,
            is_sweeping: false,
            found: None,
            next_sweep: now,
            rest_until: now,
        }
    }

    /// Learns of an event that was just folded. While the log is read for the first time (`is_live` is false) nothing
    /// is done: the sweep at the start finds what is left. `leftover`: of the event.
    pub fn note(&mut self, change: &Change, active: Option<&Job>, leftover: Option<Leftover>, is_live: bool) {
        let job = change.job;
        match &change.event {
            // Not legal, so it changes nothing.
            Event::JobDeleted(_) | Event::JobRejected(_) if active.is_some() => {}
            event @ Event::JobDeleted(_) => {
                let upload = self.upload_refs.upload(job);
                self.upload_refs.note(job, event);
                let chores = [Some(Chore::Job(job)), upload.map(Chore::Upload)];
                chores.into_iter().flatten().filter(|_| is_live).for_each(|chore| self.push(chore));
            }
            event => self.upload_refs.note(job, event),
        }
        match leftover.filter(|_| is_live) {
            Some(Leftover::Rest) => self.push(Chore::Rest(job)),
            Some(Leftover::Results) => self.push(Chore::Results(job)),
            Some(Leftover::Segment(segment)) => self.push(Chore::Segment(job, segment)),
            None => {}
        }
    }

    /// Something was written for a job that is over by now: another head was faster.
    pub fn wrote_late(&mut self, job: JobId) {
        self.push(if self.upload_refs.is_deleted(job) { Chore::Job(job) } else { Chore::Rest(job) });
    }

    /// Begins what is due.
    pub fn begin(&mut self, log: &Log) {
        if self.found.as_ref().is_some_and(|found| log.seq() >= found.until)
            && let Some(found) = self.found.take()
        {
            self.judge(&found, log);
        }
        let now = Instant::now();
        if now >= self.next_sweep && !self.is_sweeping {
            self.sweep(now);
        }
        while self.chores < CHORES_AT_ONCE && now >= self.rest_until {
            let Some(chore) = self.pop() else { break };
            let shared = self.shared.clone();
            self.chores += 1;
            self.tasks.spawn(async move { Done::Chore(chore, perform(&shared, chore).await) });
        }
    }

    /// Waits until [`Cleaner::begin`] may have something to do. May be dropped and called again.
    pub async fn wait(&mut self) {
        let due = self.due();
        tokio::select! {
            Some(done) = self.tasks.join_next() => match done {
                Ok(Done::Chore(chore, result)) => self.settle(chore, result),
                Ok(Done::Sweep(result)) => self.swept(result),
                Err(error) => self.panicked(&error),
            },
            () = sleep_until(due) => {}
        }
    }

    fn due(&self) -> Instant {
        let sweep = if self.is_sweeping { Instant::now() + REST } else { self.next_sweep };
        let has_room = !self.queue.is_empty() && self.chores < CHORES_AT_ONCE;
        if has_room { sweep.min(self.rest_until) } else { sweep }
    }

    fn push(&mut self, chore: Chore) {
        if self.queue.len() < CHORES_MAX && self.queued.insert(chore) {
            self.queue.push_back(chore);
        }
    }

    /// An upload may have been taken by another job since.
    fn pop(&mut self) -> Option<Chore> {
        loop {
            let chore = self.queue.pop_front()?;
            self.queued.remove(&chore);
            if !matches!(chore, Chore::Upload(upload) if self.upload_refs.is_held(upload)) {
                return Some(chore);
            }
        }
    }

    fn settle(&mut self, chore: Chore, result: Result<(), cleanup::Error>) {
        self.chores -= 1;
        if let Err(error) = result {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(?chore, error, "what nobody needs is not removed yet; it is tried again");
            self.rest_until = Instant::now() + REST;
            self.push(chore);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.is_sweeping = true;
        self.next_sweep = now + self.shared.config.retention.sweep();
        let shared = self.shared.clone();
        self.tasks.spawn(async move { Done::Sweep(sweep(&shared).await) });
    }

    fn swept(&mut self, result: Result<Found, Error>) {
        self.is_sweeping = false;
        match result {
            Ok(found) => self.found = Some(found),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "leftovers were not looked for");
                self.next_sweep = self.next_sweep.min(Instant::now() + SWEEP_AGAIN);
            }
        }
    }

    /// Which of them it was is not told. What it was to remove, the next sweep finds.
    fn panicked(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(%error, "removing leftovers panicked");
        let others = self.tasks.len() - usize::from(self.is_sweeping && !self.tasks.is_empty());
        self.is_sweeping = self.is_sweeping && !self.tasks.is_empty();
        self.chores = others;
    }

    fn judge(&mut self, found: &Found, log: &Log) {
        let uploads = self.shared.config.retention.uploads;
        let chores = orphans(found, &self.upload_refs, uploads, |job| log.job(job).map(|folded| &folded.job));
        self.upload_refs.forget(|job| found.jobs.contains_key(job), |upload| found.uploads.contains_key(upload));
        if !chores.is_empty() {
            tracing::info!(chores = chores.len(), "the sweep found leftovers; they are removed");
        }
        chores.into_iter().for_each(|chore| self.push(chore));
    }
}

async fn sweep(shared: &Shared) -> Result<Found, Error> {
    expire::delete_old(shared, shared.config.retention.jobs).await?;
    Ok(scan::look(shared).await?)
}
