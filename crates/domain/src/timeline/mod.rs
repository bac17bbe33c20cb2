//! Where a job's time went, from the log alone: its own events, and of other jobs when their chunks ran while it waited.
//!
//! Each moment between the submission and the end belongs to one stage. What is kept beside the job's fold is bounded,
//! whatever the number of its events: stretches of time ([`spans`]) and the attempts that mattered ([`attempts`]).
mod attempts;
mod pace;
mod spans;
#[cfg(test)]
mod tests;
mod told;
mod words;

pub use attempts::{Attempt, Fault};
pub use pace::{Fall, Of};
pub use told::{Span, Stage, Told};
pub use words::span as words;

use crate::{
    Event, Job, JobId, Pool, Timestamp,
    eta::{self, Eta, Sla},
    event::{ChunkDone, ChunkFailed, FaultClass, SegmentPlan},
    job::{Chunk, Phase},
    status::State,
};
use attempts::Attempts;
use pace::Pace;
use spans::Spans;
use std::collections::{BTreeMap, BTreeSet};
use words::Facts;

/// Other jobs that are told apart.
const OTHERS_MAX: usize = 64;
const OTHERS_TOLD: usize = 5;
/// Waits that others' facts are asked for, and the shortest of them, milliseconds.
const GAPS_MAX: usize = 8;
const GAP_MS_MIN: u64 = 500;
/// Of a failed attempt nobody tells when it began: it took no longer than so many of the longest run that was told of.
const FAILED_RUNS: u64 = 2;
const FAILED_MS_MIN: u64 = 1_000;

/// What is validated within this, milliseconds, did not wait.
const SHORT_MS: u64 = 2_000;

/// The fold of one job's events, each with when the log took it.
#[derive(Debug, Clone)]
pub struct Timeline {
    id: JobId,
    job: Option<Job>,
    /// When the first event was stored.
    begun: Timestamp,
    plans: Plans,
    planned: Option<Timestamp>,
    /// Its last answer, or since when none is awaited.
    answered: Option<Timestamp>,
    ended: Option<Timestamp>,
    paused: Option<Timestamp>,
    held: Option<Timestamp>,
    /// What came last of its own.
    mark: Timestamp,
    lanes: Lanes,
    attempts: Attempts,
    pace: Pace,
    pools: BTreeSet<Pool>,
    others: BTreeMap<Option<JobId>, u64>,
    /// The longest run of another job, milliseconds.
    longest_other: u64,
}

#[derive(Debug, Clone, Default)]
struct Lanes {
    running: Spans,
    retrying: Spans,
    paused: Spans,
    held: Spans,
    others: Spans,
}

/// When segments were planned: the first is told some time after its validation began.
#[derive(Debug, Clone, Copy, Default)]
struct Plans {
    first: Timestamp,
    last: Timestamp,
    count: u64,
}

impl Plans {
    fn add(&mut self, at: Timestamp) {
        self.first = if self.count == 0 { at } else { self.first };
        (self.last, self.count) = (at, self.count + 1);
    }

    /// When validation began, if there are segments enough to tell: each took as long as the others.
    fn began(&self) -> Option<Timestamp> {
        let each = self.last.since(self.first) / self.count.checked_sub(1).filter(|more| *more > 0)?;
        Some(Timestamp::new(self.first.get().saturating_sub(each)))
    }
}

impl Timeline {
    pub fn new(id: JobId) -> Self {
        Self {
            id,
            job: None,
            begun: Timestamp::default(),
            plans: Plans::default(),
            planned: None,
            answered: None,
            ended: None,
            paused: None,
            held: None,
            mark: Timestamp::default(),
            lanes: Lanes::default(),
            attempts: Attempts::default(),
            pace: Pace::default(),
            pools: BTreeSet::new(),
            others: BTreeMap::new(),
            longest_other: 0,
        }
    }

    /// Folds the next event of the job. One that changes nothing of the job takes none of its time.
    pub fn fold(&mut self, event: &Event, stored: Timestamp) {
        let Some(job) = &mut self.job else { return self.begin(event, stored) };
        if job.is_terminal() {
            return;
        }
        let attempts = job.attempts;
        job.evolve(event);
        let counts = job.attempts > attempts;
        match event {
            Event::SegmentPlanned(plan) => self.segment(plan, stored),
            Event::JobPlanned(_) => (self.planned, self.mark) = (Some(stored), stored),
            Event::ChunkDone(done) if counts => self.done(done, stored),
            Event::ChunkFailed(failed) if counts => self.failed(failed, stored),
            Event::JobPaused(_) => self.paused = self.paused.or(Some(stored)),
            Event::JobResumed(_) => self.resumed(stored),
            Event::JobSubmitted(_)
            | Event::JobRejected(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobClosing(_)
            | Event::JobEnded(_)
            | Event::JobDeleted(_)
            | Event::ChunkDone(_)
            | Event::ChunkFailed(_)
            | Event::ChunkLost(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => {}
        }
        self.settle(stored);
    }

    /// A chunk of another job was done in one of this job's pools. None: of a job that its readers may not see.
    pub fn other(&mut self, job: Option<JobId>, done: &ChunkDone, stored: Timestamp) {
        let from = began(done, stored);
        let ms = stored.since(from);
        self.lanes.others.add(from, stored);
        self.longest_other = self.longest_other.max(ms);
        if self.others.len() < OTHERS_MAX || self.others.contains_key(&job) {
            *self.others.entry(job).or_default() += ms;
        }
    }

    /// The longest waits of the job by now, in their order: what other jobs did meanwhile is to be told to
    /// [`Timeline::other`].
    pub fn gaps(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let waits = self.spans(now).into_iter().filter(|span| span.stage == Stage::WaitingWorkers);
        let mut gaps: Vec<_> = waits.map(|span| (span.from, span.until)).collect();
        gaps.retain(|(from, until)| until.since(*from) >= GAP_MS_MIN);
        gaps.sort_by_key(|(from, until)| std::cmp::Reverse(until.since(*from)));
        gaps.truncate(GAPS_MAX);
        gaps.sort_unstable();
        gaps
    }

    /// The pools that it has work for.
    pub fn pools(&self) -> &BTreeSet<Pool> {
        &self.pools
    }

    /// Whether no event changes it any more.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// None as long as the job's first event was not folded. `eta`: what is expected of a job that runs.
    pub fn told(&self, eta: Option<Eta>, now: Timestamp) -> Option<Told> {
        let job = self.job.as_ref()?;
        let (from, until) = (self.from(), self.ended.unwrap_or(now).max(self.from()));
        let spans = self.spans(now);
        let stages = told::sums(&spans);
        let sla = self.sla(job, eta, now);
        let mut others: Vec<_> = self.others.iter().map(|(job, ms)| (*job, *ms)).collect();
        others.sort_by_key(|(job, ms)| (std::cmp::Reverse(*ms), *job));
        others.truncate(OTHERS_TOLD);
        let deadline = job.deadline;
        let late = until.max(eta.filter(|_| self.ended.is_none()).map_or(until, |eta| eta.p50)).since(deadline);
        let spare = (until <= deadline).then(|| deadline.since(until));
        let (took, stages_of) = (until.since(from), &stages);
        let fall = self.pace.fall(&self.lanes.running, self.answered.is_some());
        let facts = Facts { line: self, job, took, spare, late, sla, stages: stages_of, others: &others, fall };
        let why = facts.sentence();
        let (attempts, state) = (self.attempts.told(), State::of(job));
        let (runs, failed) = (self.attempts.runs, self.attempts.failed);
        let spans = told::few(spans);
        Some(Told { from, until, deadline, state, sla, why, fall, stages, spans, attempts, runs, failed, others })
    }

    fn begin(&mut self, event: &Event, stored: Timestamp) {
        self.job = Job::begin(self.id, event);
        (self.begun, self.mark) = (stored, stored);
        if self.job.is_some() {
            self.settle(stored);
        }
    }

    /// A submission lies in its queue before the log tells of it.
    fn from(&self) -> Timestamp {
        self.job.as_ref().map_or(self.begun, |job| job.submitted.at.min(self.begun))
    }

    fn segment(&mut self, plan: &SegmentPlan, stored: Timestamp) {
        self.plans.add(stored);
        self.pools.extend(plan.pools.iter().cloned());
    }

    fn done(&mut self, done: &ChunkDone, stored: Timestamp) {
        let from = began(done, stored);
        self.attempts.done(done, from, stored);
        let is_again = done.attempt > 1 || done.delivered > 1;
        if done.delivered > 1 {
            // Workers were lost with it before.
            self.lanes.retrying.add(self.mark, from);
        }
        if !is_again {
            self.pace.add(from, stored, done.tally.requests(), done.tally.usage.completion);
        }
        let lane = if is_again { &mut self.lanes.retrying } else { &mut self.lanes.running };
        lane.add(from, stored);
        self.mark = self.mark.max(stored);
    }

    fn failed(&mut self, failed: &ChunkFailed, stored: Timestamp) {
        self.attempts.failed(failed, stored);
        let most = match failed.class {
            FaultClass::WorkerLost | FaultClass::Timeout => u64::MAX,
            _ if self.attempts.longest == 0 => u64::MAX,
            _ => (FAILED_RUNS * self.attempts.longest).max(FAILED_MS_MIN),
        };
        let from = self.mark.max(Timestamp::new(stored.get().saturating_sub(most)));
        self.lanes.retrying.add(from, stored.plus(self.rest(failed)));
        self.mark = self.mark.max(stored);
    }

    /// How long what failed rests, milliseconds: by the clock of the worker that told of it.
    fn rest(&self, failed: &ChunkFailed) -> u64 {
        let Some(segment) = self.job.as_ref().and_then(|job| job.open.get(&failed.chunk.segment)) else { return 0 };
        let chunk = match segment.chunks.get(failed.chunk.index as usize) {
            Some(Chunk::Split) => segment.chunks.last(),
            chunk => chunk,
        };
        match chunk {
            Some(Chunk::Owed { not_before, .. }) => not_before.since(failed.at),
            Some(Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered) | None => 0,
        }
    }

    fn resumed(&mut self, stored: Timestamp) {
        if let Some(since) = self.paused.take() {
            self.lanes.paused.add(since, stored);
        }
        self.mark = self.mark.max(stored);
    }

    /// What follows from the job as it is now.
    fn settle(&mut self, stored: Timestamp) {
        let Some(job) = &self.job else { return };
        let is_running = matches!(job.phase, Phase::Running);
        let (is_held, is_owed) = (is_running && job.hold.is_on(), is_running && job.remaining() > 0);
        let is_open = matches!(job.phase, Phase::Validating) || is_owed;
        self.ended = self.ended.or(job.is_terminal().then_some(stored));
        // A result that is lost is owed again.
        self.answered = if is_open { None } else { self.answered.or(Some(stored)) };
        match (self.held, is_held) {
            (None, true) => self.held = Some(stored),
            (Some(since), false) => {
                self.lanes.held.add(since, stored);
                self.held = None;
            }
            _ => {}
        }
        if !is_open && let Some(since) = self.paused.take() {
            self.lanes.paused.add(since, stored);
        }
    }

    fn sla(&self, job: &Job, eta: Option<Eta>, now: Timestamp) -> Option<Sla> {
        match (State::of(job), self.ended) {
            (State::Completed, Some(at)) if at <= job.deadline => Some(Sla::Met),
            (State::Completed | State::Expired, _) => Some(Sla::Missed),
            (State::Failed | State::Cancelling | State::Cancelled, _) => None,
            (State::Validating | State::InProgress | State::Paused | State::Finalizing, _) => {
                Some(eta::sla(now, job.deadline, eta))
            }
        }
    }

    /// All of the job's time by now, in stages.
    fn spans(&self, now: Timestamp) -> Vec<Span> {
        let (from, until) = (self.from(), self.ended.unwrap_or(now));
        let lanes = self.lanes(until);
        let (began, planned, answered) = self.turns(until);
        let mut edges: Vec<u64> = [from, began, planned, answered, until].iter().map(|at| at.get()).collect();
        edges.extend(lanes.iter().flat_map(|(_, spans)| spans.edges()));
        edges.retain(|at| (from.get()..=until.get()).contains(at));
        edges.sort_unstable();
        edges.dedup();
        let stage = |at: u64| match Timestamp::new(at) {
            at if at < began => Stage::WaitingValidation,
            at if at < planned => Stage::Validating,
            at if at >= answered => Stage::Archiving,
            at => {
                let lane = lanes.iter().find(|(_, spans)| spans.holds(at.get()));
                lane.map_or(Stage::WaitingWorkers, |(stage, _)| *stage)
            }
        };
        let span =
            |two: &[u64]| Span { stage: stage(two[0]), from: Timestamp::new(two[0]), until: Timestamp::new(two[1]) };
        told::joined(edges.windows(2).map(span))
    }

    /// When validation began, when it ended, and when the last answer came.
    fn turns(&self, until: Timestamp) -> (Timestamp, Timestamp, Timestamp) {
        let answered = self.answered.unwrap_or(until);
        let planned = self.planned.unwrap_or(answered).min(answered);
        // Of a single segment nobody knows: it is short work, and a longer time was a wait.
        let is_short = planned.since(self.from()) <= SHORT_MS;
        let began = self.plans.began().unwrap_or(if is_short { self.from() } else { planned });
        (began.clamp(self.from().min(planned), planned), planned, answered)
    }

    /// The first that holds a moment has it.
    fn lanes(&self, until: Timestamp) -> [(Stage, Spans); 5] {
        let open = |spans: &Spans, since: Option<Timestamp>| {
            let mut spans = spans.clone();
            spans.add(since.unwrap_or(until), until);
            spans
        };
        let Lanes { running, retrying, paused, held, others } = &self.lanes;
        // What others run now is told when it is done.
        let is_busy = |end: &Timestamp| until.since(*end) <= self.longest_other;
        [
            (Stage::Running, running.clone()),
            (Stage::Paused, open(paused, self.paused)),
            (Stage::Held, open(held, self.held)),
            (Stage::Retrying, retrying.clone()),
            (Stage::WaitingJobs, open(others, others.end().filter(is_busy))),
        ]
    }
}

/// How long it ran is the worker's clock's, and when it was is the log's.
fn began(done: &ChunkDone, stored: Timestamp) -> Timestamp {
    Timestamp::new(stored.get().saturating_sub(done.at.since(done.started)))
}
