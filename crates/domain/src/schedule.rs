//! The scheduler: what is sent next, and what else is owed now. A pure state machine; the room around it carries
//! messages and decides nothing, the simulation runs it as it is, and the forecast asks for the same [`order`].
//!
//! **Inputs** ([`Input`], and [`Scheduler::reconcile`] for what WORK holds) say what has happened: an event was folded,
//! WORK took a chunk or was full, an input could not be read, a command was stored, something failed. **Effects**
//! ([`Scheduler::outstanding`]) follow from the state alone and not from the newest input, so an effect that did not
//! come to pass is owed still, and doing one twice is harmless. They come in the order in which they are to be done:
//! dead letters (they cannot fail), ends and expiries, withdrawals, then chunks. Chunks go to each pool as far as it may
//! be ahead ([`Capacity`]), whose turn it is first ([`Turns`]): by class, by tenant and its weight, and of what can be in
//! time the most urgent job's ([`Urgency`]); within a job in the order of the input; nothing of a job whose input cannot be
//! read just now, and nothing at all while a stream is full.
//!
//! The jobs are borrowed ([`Jobs`]): they are the log's fold, and whoever asks has folded what it tells.
mod fair;
mod index;
mod input;
mod order;
mod patience;
mod sent;

pub use fair::{Need, Queue, SMALL, Shares, Turns, Weights, late};
pub use input::{Effect, Folded, Held, Input, Jobs, Moment, Now, Send};
pub use order::{Capacity, Crew, Next, Urgency, next, next_due, order};

use crate::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    command::Command,
    job::{Chunk, Phase},
    rate::Rate,
};
use index::Index;
use patience::Patience;
use sent::{Out, Sent};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Older failures were told of by an earlier run.
pub const DEAD_MS: u64 = 60_000;
/// How long a job whose input cannot be read stands aside.
const ASIDE_MS: u64 = 5_000;
/// Before chunks are offered again to a stream that was full.
const FULL_MS: u64 = 1_000;
/// After a failure.
const REST_MS: u64 = 200;
/// So many of a pool's last chunks tell how long one runs.
const RUNS_REMEMBERED: f64 = 16.0;
/// How often it is looked at who cannot be in time.
const LATE_MS: u64 = 1_000;

#[derive(Debug)]
pub struct Scheduler {
    pools: Vec<Pool>,
    /// Seconds of work that a pool is kept ahead.
    ahead_s: f64,
    sent: Sent,
    index: Index,
    weights: Weights,
    turns: HashMap<Pool, Turns>,
    /// When it was looked at last who cannot be in time.
    looked: Option<Moment>,
    rates: HashMap<Pool, Rate>,
    /// How long a chunk runs, by pool, ms, lately.
    runs: HashMap<Pool, f64>,
    crews: HashMap<Pool, Crew>,
    /// The trace of a chunk's failed attempt, for the link from its next one.
    failed: HashMap<(JobId, ChunkId), String>,
    /// Spans of the log in which chunks of a job were given up that DEAD is not told of.
    dead: BTreeMap<JobId, (u64, u64)>,
    /// Jobs that want no more of what WORK holds of them.
    unwanted: BTreeSet<JobId>,
    /// Jobs whose input could not be read, and when it is tried again: the others go on.
    aside: HashMap<JobId, Moment>,
    /// Jobs whose closing or end was stored and is not folded yet.
    ending: BTreeSet<JobId>,
    /// Cancelled jobs whose answers are not written.
    patience: Patience,
    /// A stream was full, and when it is tried again: everything but sending goes on.
    full: Option<Moment>,
    /// Something failed: nothing is done until then.
    rest: Option<Moment>,
}

/// What reconciling found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Chunks that WORK has lost.
    pub lost: usize,
    /// Chunks that it holds and nobody here had sent.
    pub found: BTreeMap<Pool, u64>,
}

impl Scheduler {
    pub fn new(pools: Vec<Pool>, ahead_s: f64) -> Self {
        Self {
            pools,
            ahead_s,
            sent: Sent::default(),
            index: Index::default(),
            weights: Weights::default(),
            turns: HashMap::new(),
            looked: None,
            rates: HashMap::new(),
            runs: HashMap::new(),
            crews: HashMap::new(),
            failed: HashMap::new(),
            dead: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            aside: HashMap::new(),
            ending: BTreeSet::new(),
            patience: Patience::default(),
            full: None,
            rest: None,
        }
    }

    /// With tenants that do not all weigh the same.
    pub fn weighing(self, weights: Weights) -> Self {
        Self { weights, ..self }
    }

    /// Jobs that the fold holds before the first event is told, as it does when it begins at a snapshot.
    pub fn resume(&mut self, jobs: &impl Jobs) {
        for job in jobs.jobs() {
            self.index.refresh(job.id, Some(job), &self.sent);
            self.patience.moved(job.id, Some(job));
        }
    }

    pub fn input(&mut self, jobs: &impl Jobs, input: Input<'_>, now: Now) {
        if self.looked.is_none_or(|looked| now.moment >= looked.plus(LATE_MS)) {
            self.looked = Some(now.moment);
            self.look(jobs, now.at);
        }
        match input {
            Input::Folded(folded) => self.folded(jobs, folded, now.at),
            Input::Crews(crews) => self.crews.clone_from(crews),
            Input::Sent(send) => {
                self.took(jobs, send, now);
                self.refresh(jobs, send.job);
            }
            Input::Unreadable(job) => {
                self.aside.insert(job, now.moment.plus(ASIDE_MS));
            }
            Input::Full => self.full = Some(now.moment.plus(FULL_MS)),
            Input::Taken => self.full = None,
            Input::Appended(job) => {
                self.ending.insert(job);
            }
            Input::Withdrawn(job) => {
                self.unwanted.remove(&job);
            }
            Input::DeadLettered(job, until) => self.dead_lettered(job, until),
            Input::Tried => self.patience.look(now.moment),
            Input::Failed => self.rest = Some(now.moment.plus(REST_MS)),
        }
    }

    /// What is owed now, in the order in which it is to be done.
    pub fn outstanding(&self, jobs: &impl Jobs, now: Now) -> Vec<Effect> {
        let dead = self.dead.iter().map(|(&job, &(from, until))| Effect::DeadLetter { job, from, until });
        let mut effects: Vec<_> = dead.collect();
        if self.rest.is_some_and(|until| now.moment < until) {
            return effects;
        }
        let due = self.index.due(now.at).filter_map(|job| Some((job, due(jobs.job(job)?, now.at)?)));
        let due = due.chain(self.abandons(jobs, now.at));
        effects
            .extend(due.filter(|(id, _)| !self.ending.contains(id)).map(|(id, command)| Effect::Append(id, command)));
        let is_wanted = |job: &JobId| jobs.job(*job).is_some_and(Job::is_wanted);
        effects.extend(self.unwanted.iter().filter(|job| !is_wanted(job)).map(|job| Effect::Withdraw(*job)));
        if !self.is_full(now.moment) {
            effects.extend(self.sends(jobs, now).map(Effect::Send));
        }
        effects
    }

    /// What WORK held, against what was sent and what is owed. The jobs are folded as far as the log went by then: a
    /// worker stores its fact before it acknowledges, so what is neither in WORK nor told of is lost.
    pub fn reconcile(&mut self, jobs: &impl Jobs, held: &Held) -> Reconciled {
        let lost = self.sent.lost(held);
        for &(job, chunk) in &lost {
            self.sent.resend(job, chunk);
            self.refresh(jobs, job);
        }
        let mut found: BTreeMap<Pool, u64> = BTreeMap::new();
        for (&(id, chunk), pool) in &held.chunks {
            let Some(job) = jobs.job(id).filter(|job| job.is_wanted()) else {
                self.unwanted.insert(id);
                continue;
            };
            if !self.sent.has(id, chunk)
                && let Some(requests) = owed_at(job, chunk, held.at)
            {
                *found.entry(pool.clone()).or_default() += 1;
                self.charge(jobs, id, pool, requests);
                self.sent.insert(id, chunk, Out { pool: pool.clone(), requests, at: held.looked });
                self.refresh(jobs, id);
            }
        }
        found.keys().for_each(|pool| self.rates.entry(pool.clone()).or_default().wake(held.at));
        Reconciled { lost: lost.len(), found }
    }

    /// Pools that jobs are ready for, and that this scheduler does not know.
    pub fn unknown_pools(&self) -> impl Iterator<Item = &Pool> {
        self.index.wanted().filter(|pool| !self.pools.contains(pool))
    }

    /// Whether a cancelled job waits for its files.
    pub fn is_patient(&self) -> bool {
        !self.patience.is_empty()
    }

    /// Whether nothing is out.
    pub fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    pub fn is_full(&self, now: Moment) -> bool {
        self.full.is_some_and(|until| now < until)
    }

    /// Whether the last that was sent found no room.
    pub const fn was_full(&self) -> bool {
        self.full.is_some()
    }

    /// When it goes on, if it rests after a failure.
    pub const fn rest(&self) -> Option<Moment> {
        self.rest
    }

    /// Until when jobs stand aside.
    pub fn asides(&self) -> impl Iterator<Item = Moment> + '_ {
        self.aside.values().copied()
    }

    pub fn is_aside(&self, job: JobId, now: Moment) -> bool {
        self.aside.get(&job).is_some_and(|until| now < *until)
    }

    fn folded(&mut self, jobs: &impl Jobs, folded: Folded<'_>, now: Timestamp) {
        let job = folded.job;
        match folded.event {
            Event::ChunkDone(done) => {
                self.failed.remove(&(job, done.chunk));
                if let Some(out) = self.sent.remove(job, done.chunk) {
                    self.ran(&out.pool, done.at.since(done.started));
                    self.rates.entry(out.pool).or_default().add(folded.stored, done.tally.requests());
                } else if let Some((pool, requests)) = jobs.job(job).and_then(|job| ran_in(job, done.chunk)) {
                    self.charge(jobs, job, &pool, requests);
                }
            }
            Event::ChunkFailed(failed) => self.chunk_failed(jobs, folded, failed.chunk, now),
            Event::JobPaused(_) | Event::JobClosing(_) | Event::JobEnded(_) | Event::JobRejected(_) => {
                self.drop_job(job);
            }
            Event::JobSubmitted(_)
            | Event::JobPlanned(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobDeleted(_)
            | Event::SegmentPlanned(_)
            | Event::ChunkLost(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => {}
        }
        self.patience.moved(job, jobs.job(job));
        self.refresh(jobs, job);
        self.rest_idle();
    }

    fn refresh(&mut self, jobs: &impl Jobs, job: JobId) {
        self.index.refresh(job, jobs.job(job), &self.sent);
    }

    fn chunk_failed(&mut self, jobs: &impl Jobs, folded: Folded<'_>, chunk: ChunkId, now: Timestamp) {
        let Folded { job, seq, stored, trace, .. } = folded;
        self.sent.remove(job, chunk);
        let is_given_up = jobs.job(job).is_some_and(|job| matches!(job.chunk(chunk), Some(Chunk::GivenUp(_))));
        if is_given_up && now.since(stored) < DEAD_MS {
            self.dead.entry(job).or_insert((seq, seq)).1 = seq;
        }
        if is_given_up {
            self.failed.remove(&(job, chunk));
        } else if let Some(trace) = trace {
            self.failed.insert((job, chunk), trace.to_owned());
        }
    }

    fn drop_job(&mut self, job: JobId) {
        self.aside.remove(&job);
        self.ending.remove(&job);
        if self.sent.drop_job(job) {
            self.unwanted.insert(job);
        }
        self.failed.retain(|(id, _), _| *id != job);
    }

    fn dead_lettered(&mut self, job: JobId, until: u64) {
        if self.dead.get(&job).is_some_and(|span| span.1 <= until) {
            self.dead.remove(&job);
        }
    }

    /// A pool with nothing out has no speed to measure.
    fn rest_idle(&mut self) {
        for (pool, rate) in &mut self.rates {
            if self.sent.of(pool).chunks == 0 {
                rate.sleep();
            }
        }
    }

    fn took(&mut self, jobs: &impl Jobs, send: &Send, now: Now) {
        self.charge(jobs, send.job, &send.pool, send.requests);
        self.rates.entry(send.pool.clone()).or_default().wake(now.at);
        let out = Out { pool: send.pool.clone(), requests: send.requests, at: now.moment };
        self.sent.insert(send.job, send.chunk, out);
    }

    fn sends<'a>(&'a self, jobs: &'a impl Jobs, now: Now) -> impl Iterator<Item = Send> + 'a {
        self.pools.iter().flat_map(move |pool| {
            let is_here = move |job: &JobId| !self.is_aside(*job, now.moment);
            let queues = self.index.ready(pool);
            let queues = queues.map(|(queue, ids)| (queue, ids.filter(is_here).filter_map(|id| jobs.job(id))));
            let out = |job, chunk| self.sent.has(job, chunk);
            let turns = (self.turns.get(pool).cloned().unwrap_or_default(), &self.weights);
            let next = next(queues, pool, self.capacity(pool), out, now.at, turns);
            next.into_iter().map(|next| self.send(next, pool))
        })
    }

    /// What goes out is charged once, by whoever it was sent.
    fn charge(&mut self, jobs: &impl Jobs, job: JobId, pool: &Pool, requests: u32) {
        let Some(job) = jobs.job(job) else { return };
        let queue = Queue::of(job, self.index.is_late(job.id));
        if !self.turns.contains_key(pool) {
            self.turns.insert(pool.clone(), Turns::default());
        }
        if let Some(turns) = self.turns.get_mut(pool) {
            turns.charge(&queue, requests, &self.weights);
        }
    }

    /// Who cannot be in time, at the speed that its pools had lately.
    fn look(&mut self, jobs: &impl Jobs, now: Timestamp) {
        let mut all = BTreeSet::new();
        for pool in &self.pools {
            let rivals = self.index.rivals(pool);
            for (&(class, tenant), ids) in &rivals {
                let beside = rivals.keys().filter(|(other, _)| *other == class);
                let beside: f64 = beside.map(|(_, tenant)| self.weights.of(*tenant)).sum();
                let share = self.weights.of(tenant) / beside;
                all.extend(late(ids.iter().filter_map(|id| self.need(jobs.job(*id)?, share, now))));
            }
        }
        for job in self.index.set_late(all) {
            self.refresh(jobs, job);
        }
    }

    fn need(&self, job: &Job, share: f64, now: Timestamp) -> Option<Need> {
        let speeds = self.index.pools(job.id).iter().map(|pool| Some(self.rates.get(pool)?.speed()?.mean));
        let speed = speeds.sum::<Option<f64>>().filter(|speed| *speed > 0.0)?;
        let need = (job.remaining() as f64 * 1_000.0 / speed / share) as u64;
        Some(Need { job: job.id, left: job.deadline.since(now), need })
    }

    fn abandons<'a>(&'a self, jobs: &'a impl Jobs, at: Timestamp) -> impl Iterator<Item = (JobId, Command)> + 'a {
        let over = self
            .patience
            .over()
            .filter(|(id, waited)| jobs.job(*id).is_some_and(|job| patience::is_over(job, *waited)));
        over.map(move |(id, _)| (id, Command::Abandon { at }))
    }

    fn ran(&mut self, pool: &Pool, ms: u64) {
        let run = self.runs.entry(pool.clone()).or_insert(ms as f64);
        *run += (ms as f64 - *run) / RUNS_REMEMBERED;
    }

    /// A chunk is out until its last answer is there, and most of its places are free long before. So what runs does not
    /// count as work ahead, or a pool whose chunks run for long would be kept short of work, and stay slow.
    fn capacity(&self, pool: &Pool) -> Capacity {
        let rate = self.rates.get(pool);
        let mean = rate.and_then(Rate::speed).map_or(0.0, |speed| speed.mean);
        let speed = rate.and_then(Rate::fastest).map_or(mean, |fastest| fastest.max(mean));
        let crew = self.crews.get(pool).copied().unwrap_or_default();
        let run_s = self.runs.get(pool).copied().unwrap_or(0.0) / 1_000.0;
        Capacity::ahead(speed, self.ahead_s + run_s, crew, self.sent.of(pool))
    }

    fn send(&self, next: Next, pool: &Pool) -> Send {
        let Next { job, chunk, requests } = next;
        let generation = self.sent.generation(job, chunk);
        let failed = self.failed.get(&(job, chunk)).cloned();
        Send { job, chunk, pool: pool.clone(), requests, generation, failed }
    }
}

/// What is due for a job as a whole.
fn due(job: &Job, now: Timestamp) -> Option<Command> {
    match &job.phase {
        Phase::Validating | Phase::Running if now >= job.deadline && (job.remaining() > 0 || job.planned.is_none()) => {
            Some(Command::Expire { at: now, reason: None })
        }
        Phase::Running | Phase::Closing(_) if job.written.is_some() && job.is_archived() => {
            Some(Command::End { at: now })
        }
        Phase::Validating | Phase::Running | Phase::Closing(_) | Phase::Rejected(_) | Phase::Ended(_) => None,
    }
}

/// Where a chunk ran that another has sent.
fn ran_in(job: &Job, chunk: ChunkId) -> Option<(Pool, u32)> {
    let plan = &job.open.get(&chunk.segment)?.plan;
    let chunk = plan.chunks.get(chunk.index as usize)?;
    Some((plan.pools.get(usize::from(chunk.pool))?.clone(), chunk.requests()))
}

/// The requests of a chunk that was owed then. What has failed since is to wait, and not to pass for sent.
fn owed_at(job: &Job, chunk: ChunkId, at: Timestamp) -> Option<u32> {
    match job.chunk(chunk)? {
        Chunk::Owed { not_before, .. } if not_before <= at => {
            let plan = &job.open.get(&chunk.segment)?.plan;
            Some(plan.chunks.get(chunk.index as usize)?.requests())
        }
        Chunk::Owed { .. } | Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
    }
}
