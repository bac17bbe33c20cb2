//! The projector's loop and what it does with each of its inputs.
use super::{
    Error, alert,
    book::Book,
    health::{Finding, Health},
    pools::Pools,
    rebuild,
    stored::{self, Mark},
    writer::{Done, Turn, Writer},
};
use crate::{
    clock,
    log::{Change, Keep, Log},
    shared::Shared,
};
use domain::{
    Event, JobId, Millis,
    forecast::{Owed, forecast},
    job::Phase,
    schedule::Urgency,
    status::Status,
};
use futures::FutureExt;
use std::{collections::HashMap, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How often rates, ETA and standing are computed anew.
const REFRESH: Duration = Duration::from_secs(1);
/// Statuses written at one refresh, the longest unwritten first, for their clock-dependent part alone.
const REFRESHES_MAX: usize = 500;
/// Events folded before writes get their turn.
const EVENTS_PER_TURN: usize = 512;
/// Before a write that failed is tried again.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// How long the last writes may take when the room is told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

struct Room {
    shared: Shared,
    log: Log,
    book: Book,
    pools: Pools,
    writer: Writer,
    health: Health,
    tick: Interval,
    repair: Option<AbortOnDropHandle<()>>,
}

enum Input {
    Stop,
    Writer(Turn),
    Tick,
    Finding(Finding),
    Event(Box<Change>),
}

pub async fn project(shared: &Shared, stop: &CancellationToken) -> Result<(), Error> {
    let begin = Room::begin(shared);
    let mut room = tokio::select! {
        room = begin => room?,
        () = stop.cancelled() => return Ok(()),
    };
    loop {
        match room.next(stop).await? {
            Input::Stop => return room.finish().await,
            Input::Writer(turn) => room.turn(turn),
            Input::Tick => room.refresh(),
            Input::Finding(Finding::BucketLost) => room.restore(),
            Input::Finding(Finding::LogReplaced) => return Err(Error::LogReplaced),
            Input::Event(change) => room.take(&change)?,
        }
    }
}

impl Room {
    /// Folds the log as it stands, and only then writes what the bucket holds otherwise: no reader sees old states
    /// come by again.
    async fn begin(shared: &Shared) -> Result<Self, Error> {
        let bus = &shared.bus;
        let pools = shared.config.pools.keys().map(ToString::to_string).collect();
        let health = Health::open(bus, pools).await?;
        let marks = stored::load(bus).await?;
        let last = stored::check(bus, &marks).await?;
        health.set_keys(marks.len());
        let log = Log::open_with(bus, Keep::All).await?;
        let mut tick = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (book, pools, writer) = (Book::default(), Pools::default(), Writer::new(bus));
        let mut room = Self { shared: shared.clone(), log, book, pools, writer, health, tick, repair: None };
        room.catch_up(last, &marks).await?;
        Ok(room)
    }

    async fn catch_up(&mut self, last: u64, marks: &HashMap<JobId, Mark>) -> Result<(), Error> {
        while self.log.seq() < last && !self.log.caught_up() {
            let change = self.log.read().await?;
            self.fold(&change);
            if self.log.job(&change.job).is_some_and(|folded| folded.job.is_terminal()) {
                self.compare(change.job, marks.get(&change.job));
            }
        }
        for job in self.book.ids() {
            self.compare(job, marks.get(&job));
        }
        tracing::debug!(seq = self.log.seq(), jobs = marks.len(), "the projector has folded the log");
        Ok(())
    }

    /// Writes a job's status unless the bucket holds it already.
    fn compare(&mut self, job: JobId, mark: Option<&Mark>) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.book.get(&job)) else { return };
        entry.stored = mark.is_some();
        entry.told = entry.told.or(mark.and_then(|mark| mark.sla));
        entry.write.dirty = !mark.is_some_and(|mark| mark.is(folded));
        entry.write.since = None;
        self.tell(job);
        self.queue(job, None);
        self.drop_if_over(job);
    }

    async fn next(&mut self, stop: &CancellationToken) -> Result<Input, Error> {
        Ok(tokio::select! {
            biased;
            () = stop.cancelled() => Input::Stop,
            turn = self.writer.next() => Input::Writer(turn),
            _ = self.tick.tick() => Input::Tick,
            finding = self.health.next() => Input::Finding(finding),
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
        self.book.entry(change.job).touch(change.at_ms);
        if change.event.is_lifecycle() {
            self.tell(change.job);
        }
        self.queue(change.job, None);
    }

    /// Whether the event changed the job's status.
    fn fold(&mut self, change: &Change) -> bool {
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
        let entry = self.book.entry(id);
        entry.owed.add(&after);
        entry.owed.subtract(&before);
        self.book.state(id, Status::of(&folded.job).state);
        true
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Due(job) => self.write(job),
            Turn::Done(Done::Wrote { job, since, live, result: Ok(_) }) => {
                if let Some(since) = since {
                    let delay = clock::now().since(Millis::new(since));
                    self.shared.metrics.status_written(delay as f64 / 1_000.0);
                }
                let Some(entry) = self.book.get(&job) else { return };
                entry.write.running = false;
                entry.live = Some(live);
                if !std::mem::replace(&mut entry.stored, true) {
                    self.health.one_more_key();
                }
                self.queue(job, None);
                self.drop_if_over(job);
            }
            Turn::Done(Done::Wrote { job, since, result: Err(error), .. }) => {
                tracing::warn!(%job, error = &error as &dyn std::error::Error, "a status is not written yet");
                let Some(entry) = self.book.get(&job) else { return };
                entry.write.running = false;
                entry.write.dirty = true;
                entry.write.since = since.or(entry.write.since);
                self.queue(job, Some(WRITE_PAUSE));
            }
            Turn::Done(Done::Told { job, before, result }) => self.told(job, before, result),
        }
    }

    fn told(&mut self, job: JobId, before: Option<domain::eta::Sla>, result: Result<(), crate::bus::PublishError>) {
        let Some(entry) = self.book.get(&job) else { return };
        entry.telling = false;
        if let Err(error) = result {
            // The next refresh finds the standing untold and tells it again.
            entry.told = before;
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "an alert is not published yet");
        }
        self.drop_if_over(job);
    }

    /// Puts a job that has something to write into the queue: at once after a rest, else when its pause is over.
    fn queue(&mut self, job: JobId, pause: Option<Duration>) {
        let Some(entry) = self.book.get(&job) else { return };
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
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.book.get(&job)) else { return };
        entry.write.queued = false;
        entry.write.dirty = false;
        entry.write.running = true;
        entry.write.began = Some(Instant::now());
        let (value, live) = stored::value(folded, clock::now(), entry.eta);
        self.writer.write(job, value, live, entry.write.since.take());
    }

    /// Tells a step in a job's standing against its deadline.
    fn tell(&mut self, job: JobId) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.book.get(&job)) else { return };
        let now = clock::now();
        let status = Status::of(&folded.job);
        let Some(sla) = status.live(now, entry.eta).sla else { return };
        let is_known = entry.stored || alert::is_recent(status.ended_at, now);
        if entry.telling || !is_known || !alert::is_news(entry.told, sla) {
            return;
        }
        entry.telling = true;
        let before = entry.told.replace(sla);
        alert::log(folded, sla, entry.eta);
        self.shared.metrics.sla_changed(sla);
        self.writer.tell(job, before, alert::message(folded, sla, entry.eta, now));
    }

    /// Computes what depends on the clock anew, and writes it where it changed.
    fn refresh(&mut self) {
        self.forecast();
        let now = clock::now();
        let mut stale = Vec::new();
        for job in self.book.ids() {
            self.tell(job);
            let (Some(folded), Some(entry)) = (self.log.job(&job), self.book.get(&job)) else { continue };
            let is_fresh = entry.write.began.is_some_and(|began| began.elapsed() < REFRESH / 2);
            if !is_fresh && entry.live != Some(Status::of(&folded.job).live(now, entry.eta)) {
                stale.push((entry.write.began, job));
            }
        }
        stale.sort_unstable();
        for (_, job) in stale.into_iter().take(REFRESHES_MAX) {
            self.book.entry(job).write.dirty = true;
            self.queue(job, None);
        }
        self.book.show(&self.shared.metrics);
    }

    fn forecast(&mut self) {
        let running = self.log.jobs().filter(|folded| matches!(folded.job.phase, Phase::Running));
        let mut order: Vec<Urgency> = running.map(|folded| Urgency::of(&folded.job)).collect();
        order.sort_unstable();
        let none = Owed::default();
        let owed: HashMap<JobId, &Owed> = self.book.iter().map(|(job, entry)| (*job, &entry.owed)).collect();
        let jobs = order.iter().map(|urgency| (urgency.job, owed.get(&urgency.job).copied().unwrap_or(&none)));
        let etas: HashMap<_, _> = forecast(jobs, &self.pools.speeds(), clock::now()).into_iter().collect();
        self.book.iter_mut().for_each(|(job, entry)| entry.eta = etas.get(job).copied());
    }

    /// The bucket lost its values: those of active jobs come back at once, the others with a fold beside this one.
    fn restore(&mut self) {
        tracing::warn!("the bucket 'status' was lost; it is written anew");
        for job in self.book.ids() {
            let entry = self.book.entry(job);
            entry.stored = false;
            entry.write.dirty = true;
            self.queue(job, None);
        }
        let bus = self.shared.bus.clone();
        let repair = async move {
            match rebuild::rebuild(&bus).await {
                Ok(report) => tracing::info!(jobs = report.jobs, rewritten = report.rewritten, "statuses are restored"),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "statuses of ended jobs are not restored"
                    );
                }
            }
        };
        self.repair = Some(AbortOnDropHandle::new(tokio::spawn(repair)));
    }

    /// A job that ended and is written costs nothing more.
    fn drop_if_over(&mut self, job: JobId) {
        let is_over = self.log.job(&job).is_some_and(|folded| folded.job.is_terminal());
        if is_over && self.book.get(&job).is_some_and(|entry| entry.is_settled()) {
            self.log.forget(&job);
            self.book.remove(&job);
        }
    }

    /// Writes what is not written yet, for a few seconds at most; the rest is written at the next start.
    async fn finish(mut self) -> Result<(), Error> {
        for job in self.book.ids() {
            if self.book.entry(job).write.dirty && !self.book.entry(job).write.running {
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
        Ok(())
    }
}
