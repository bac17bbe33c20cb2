//! When every running job will be done, in tokens and not in requests, with a band that is held against what happened.
//!
//! A job's answers are expected as long as its kinds' were ([`lengths`]), corrected by its own as they come ([`entry`]); a
//! token costs a worker what it cost it when it was busy ([`speed`]); more urgent jobs go first, as the scheduler has it
//! ([`walk`], [`flow`]); the band around that is as wide as the pool's forecasts were wrong ([`band`]).
//! What is shown does not flicker ([`steady`]).
//!
//! All that is learned follows from the log alone: the same log gives the same band. Who works now is told beside it.
mod ahead;
mod band;
mod due;
mod entry;
mod flow;
mod histogram;
mod lengths;
mod quote;
mod score;
mod speed;
mod stat;
mod steady;
mod view;
mod walk;

pub use ahead::Ahead;
pub use due::{Due, Sum};
pub use quote::{Asked, Endangered, Part, Quoted};
pub use score::{Fell, Score};
pub use steady::{Cause, Moved, Reading, Why};
pub use view::View;
pub use walk::Basis;

use crate::{
    ChunkId, Event, Job, JobId, Pool, Tenant, Timestamp,
    event::{ChunkDone, Outcome},
    job::Chunk,
    schedule::{self, Jobs, Urgency, Weights},
};
use entry::{Entry, Note};
use quote::Guest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use steady::Shown;
use walk::{Lane, Raw, progress};

/// Steps in the order of jobs that are remembered until the next reading.
const NEWS_MAX: usize = 256;
/// Scores that are kept until somebody asks.
const SCORES_MAX: usize = 4_096;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Foresight {
    pools: BTreeMap<Pool, View>,
    jobs: BTreeMap<JobId, Entry>,
    /// As the scheduler has them: configured, and not of the log.
    #[serde(skip)]
    weights: Weights,
    /// What was shown, and what happened since: not of the log. None: it was, and then nobody knew.
    #[serde(skip)]
    shown: HashMap<JobId, Option<Shown>>,
    #[serde(skip)]
    news: Vec<News>,
    #[serde(skip)]
    scores: Vec<Score>,
}

/// Something that changes when jobs are done.
#[derive(Debug)]
struct News {
    job: JobId,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Others wait for it that did not, or no longer do; None: only its own forecast changes.
    Order {
        urgency: Urgency,
        tenant: Tenant,
        pools: Vec<Pool>,
        comes: bool,
        steered: bool,
    },
    Own(Cause),
}

impl Foresight {
    /// How much of a pool each tenant gets beside the others, if not all get the same.
    pub fn weigh(&mut self, weights: Weights) {
        self.weights = weights;
    }

    /// Jobs that the log's fold holds before the first event is told.
    pub fn resume(&mut self, jobs: &impl Jobs) {
        for job in jobs.jobs().filter(|job| !job.is_terminal()) {
            self.jobs.entry(job.id).or_default().due = Due::of(job);
        }
    }

    /// An event of `id` that was folded into the jobs. `before`: [`Due::touched`] before that; `stored`: when the log took
    /// it. An event that changed nothing teaches nothing.
    pub fn fold(&mut self, jobs: &impl Jobs, id: JobId, event: &Event, before: &Due, stored: Timestamp) {
        let is_end = matches!(event, Event::JobEnded(_));
        let Some(job) = jobs.job(id).filter(|job| is_end || !job.is_terminal()) else {
            self.forget(id);
            return;
        };
        let after = Due::touched(job, event);
        self.shift(job, before, &after, stored);
        match event {
            Event::ChunkDone(done) if after.is_empty() && !before.is_empty() => self.done(job, done, stored),
            Event::ChunkFailed(failed) => self.rests(job, failed.chunk),
            Event::ChunkLost(_) => self.tell(id, What::Own(Cause::Retried)),
            Event::JobPlanned(_) => self.begins(job),
            Event::JobPaused(_) => self.pauses(job, stored),
            Event::JobResumed(_) => self.resumes(job, stored),
            Event::DeadlineMoved(_) | Event::PriorityChanged(_) => self.comes(job, true, true),
            Event::JobClosing(_) => self.comes(job, false, true),
            Event::JobEnded(ended) => return self.ends(job, ended.outcome, stored),
            Event::JobRejected(_) | Event::JobDeleted(_) => return self.forget(id),
            Event::JobSubmitted(_)
            | Event::SegmentPlanned(_)
            | Event::ChunkDone(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => {}
        }
        self.note(jobs, job, stored);
    }

    /// The forecast of every job that runs, from the most urgent on. `workers`: those who would run a chunk that is sent
    /// now, by pool; a pool that is missing is as the log saw it last. A job that holds, or whose pool was never seen at
    /// work or has nobody who works, has no forecast.
    pub fn read(&mut self, jobs: &impl Jobs, workers: &BTreeMap<Pool, u64>, now: Timestamp) -> Vec<(JobId, Reading)> {
        let raws =
            self.raws(jobs, |pool, view| workers.get(pool).copied().unwrap_or_else(|| view.workers()), now, None);
        let news = std::mem::take(&mut self.news);
        let mut shown = HashMap::with_capacity(raws.len());
        let mut readings = Vec::with_capacity(raws.len());
        for (job, raw) in &raws {
            let next = raw.as_ref().map(|raw| self.show(job, raw, &news, now));
            readings.extend(next.map(|next| (job.id, next.reading())));
            if next.is_some() || self.shown.contains_key(&job.id) {
                shown.insert(job.id, next);
            }
        }
        self.shown = shown;
        readings
    }

    /// What each pool has before it that was seen at work or is owed something.
    pub fn ahead(&self, jobs: &impl Jobs, now: Timestamp) -> Vec<Ahead> {
        let mut lanes: BTreeMap<&Pool, Lane<'_>> =
            self.pools.iter().map(|(pool, view)| (pool, Lane::new(view, 1))).collect();
        let mut requests: BTreeMap<&Pool, u64> = self.pools.keys().map(|pool| (pool, 0)).collect();
        for job in jobs.jobs().filter(|job| job.is_wanted() && !job.hold.is_on()) {
            let entry = self.jobs.get(&job.id);
            walk::take(&mut lanes, job, entry, now);
            for (pool, _, sum) in entry.iter().flat_map(|entry| entry.due.iter()) {
                *requests.entry(pool).or_default() += sum.requests;
            }
        }
        let needs: BTreeMap<&Pool, Option<u64>> = walk::needs(&lanes).collect();
        let ahead = |(pool, requests): (&Pool, u64)| Ahead {
            pool: pool.clone(),
            requests,
            needed: needs.get(pool).copied().flatten(),
        };
        requests.into_iter().map(ahead).collect()
    }

    /// What came of the forecasts of jobs that ended since this was asked last.
    pub fn scores(&mut self) -> Vec<Score> {
        std::mem::take(&mut self.scores)
    }

    fn show(&self, job: &Job, raw: &Raw, news: &[News], now: Timestamp) -> Shown {
        let left = self.band(raw, progress(job));
        let told = news.iter().rev().find_map(|news| news.of(job, &self.jobs));
        let moved = |cause| Moved { at: now, cause };
        match self.shown.get(&job.id) {
            Some(Some(shown)) => shown.next(raw, left, now, told),
            Some(None) => Shown::first(raw, left, now, Some(moved(Cause::PoolMended))),
            None => Shown::first(raw, left, now, told.map(moved)),
        }
    }

    /// Remaining, ms, at each quantile.
    fn band(&self, raw: &Raw, progress: f64) -> [f64; 4] {
        self.quantiles(raw, progress).map(|by| raw.ms * by)
    }

    /// The same as parts of what is expected.
    fn quantiles(&self, raw: &Raw, progress: f64) -> [f64; 4] {
        let zs = self.pools.get(&raw.pool).map_or([0.0; 4], |view| view.band.quantiles(progress));
        zs.map(|z| (raw.doubt * z).clamp(-4.0, 4.0).exp())
    }

    /// Of all jobs, the most urgent first; with a job that there is not, if one is given.
    fn raws<'a>(
        &self,
        jobs: &'a impl Jobs,
        workers: impl Fn(&Pool, &View) -> u64,
        now: Timestamp,
        guest: Option<&'a Guest>,
    ) -> Vec<(&'a Job, Option<Raw>)> {
        self.walk(jobs, workers, now, guest, |_| true)
    }

    /// Of one job.
    fn raw(
        &self,
        jobs: &impl Jobs,
        id: JobId,
        workers: impl Fn(&Pool, &View) -> u64,
        now: Timestamp,
        guest: Option<&Guest>,
    ) -> Option<Raw> {
        self.walk(jobs, workers, now, guest, |job| job.id == id).pop()?.1
    }

    /// Of those that are wanted: all of them are walked.
    fn walk<'a>(
        &self,
        jobs: &'a impl Jobs,
        workers: impl Fn(&Pool, &View) -> u64,
        now: Timestamp,
        guest: Option<&'a Guest>,
        is_wanted: impl Fn(&Job) -> bool,
    ) -> Vec<(&'a Job, Option<Raw>)> {
        let lane = |(pool, view): (_, _)| (pool, Lane::new(view, workers(pool, view)));
        let mut lanes: BTreeMap<&Pool, Lane<'_>> = self.pools.iter().map(lane).collect();
        // A job that holds is done nobody knows when, and keeps nobody waiting.
        let order = schedule::order(jobs.jobs().filter(|job| !job.hold.is_on()).chain(guest.map(|guest| &guest.job)));
        let mut take = |job: &&'a Job| {
            let own = guest.filter(|guest| guest.job.id == job.id).map(|guest| &guest.entry);
            walk::take(&mut lanes, job, own.or_else(|| self.jobs.get(&job.id)), now)
        };
        let taken: Vec<_> = order.iter().map(&mut take).collect();
        let stays = guest.filter(|guest| guest.stays).map(|guest| guest.job.id);
        walk::run(&mut lanes, &taken, &self.weights, stays);
        let wanted = order.into_iter().zip(&taken).filter(|(job, _)| is_wanted(job));
        wanted.map(|(job, taken)| (job, walk::step(&mut lanes, taken, now))).collect()
    }

    fn entry(&mut self, id: JobId) -> &mut Entry {
        self.jobs.entry(id).or_default()
    }

    fn shift(&mut self, job: &Job, before: &Due, after: &Due, stored: Timestamp) {
        for (pool, _) in after.pools() {
            let idle = !self.jobs.values().any(|entry| entry.due.pools().any(|(other, _)| other == pool));
            if idle {
                self.view(pool).woke = stored;
            }
        }
        let entry = self.entry(job.id);
        entry.due.add(after);
        entry.due.subtract(before);
    }

    fn view(&mut self, pool: &Pool) -> &mut View {
        if !self.pools.contains_key(pool) {
            self.pools.insert(pool.clone(), View::default());
        }
        self.pools.get_mut(pool).expect("it was put there if it was missing")
    }

    fn done(&mut self, job: &Job, done: &ChunkDone, stored: Timestamp) {
        let Some(segment) = job.open.get(&done.chunk.segment) else { return };
        let Some(plan) = segment.plan.chunks.get(done.chunk.index as usize) else { return };
        let pool = &segment.plan.pools[usize::from(plan.pool)];
        let chunk = self.view(pool).answered(plan, done, stored);
        self.entry(job.id).answered(pool, &chunk);
    }

    fn rests(&mut self, job: &Job, id: ChunkId) {
        let touched = job.open.get(&id.segment).into_iter().flat_map(|segment| segment.touched(id.index));
        let until = touched.filter_map(|index| match job.chunk(ChunkId::new(id.segment, index))? {
            Chunk::Owed { not_before, .. } => Some(not_before),
            Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
        });
        if let Some(until) = until.max() {
            let entry = self.entry(job.id);
            entry.rests = entry.rests.max(until);
        }
        self.tell(job.id, What::Own(Cause::Retried));
    }

    /// What was expected of it is remembered, so that jobs tell by how much they differ.
    fn begins(&mut self, job: &Job) {
        let Some(entry) = self.jobs.get(&job.id) else { return };
        let mut expected = BTreeMap::new();
        for (pool, kind, sum) in entry.due.iter() {
            if let Some(view) = self.pools.get(pool) {
                *expected.entry(pool.clone()).or_default() += view.lengths.guess(kind, sum).mean * sum.requests as f64;
            }
        }
        self.entry(job.id).expected = expected;
        self.comes(job, true, false);
    }

    fn pauses(&mut self, job: &Job, at: Timestamp) {
        self.entry(job.id).paused = Some(at);
        self.comes(job, false, true);
    }

    fn resumes(&mut self, job: &Job, at: Timestamp) {
        let entry = self.entry(job.id);
        if let Some(paused) = entry.paused.take() {
            entry.paused_ms += at.since(paused);
        }
        self.comes(job, true, true);
    }

    /// A forecast that crossed a mark is noted, as the log alone has it.
    fn note(&mut self, jobs: &impl Jobs, job: &Job, at: Timestamp) {
        let Some(entry) = self.jobs.get(&job.id).filter(|entry| !entry.due.is_empty()) else { return };
        let (mark, noted) = (band::mark(progress(job)), entry.notes.last().map(|note| note.mark));
        if noted.is_some_and(|noted| mark <= noted) || job.planned.is_none() {
            return;
        }
        let Some(raw) = self.raw(jobs, job.id, |_, view| view.workers(), at, None) else { return };
        let [p10, p50, p90, _] = self.band(&raw, progress(job));
        let (entry, band) = (self.entry(job.id), [p10, p50, p90]);
        let paused_ms = entry.paused_ms;
        let first = noted.map_or(mark, |noted| noted + 1);
        let band = Some(band);
        entry.notes.extend((first..=mark).map(|mark| Note { mark, at, paused_ms, raw: raw.clone(), band }));
    }

    /// Its notes are held against what happened, but for time in which it was paused: nobody promised for that.
    fn ends(&mut self, job: &Job, outcome: Outcome, at: Timestamp) {
        let Some(entry) = self.forgotten(job.id).filter(|_| outcome == Outcome::Completed) else { return };
        for note in &entry.notes {
            let paused = entry.paused_ms - note.paused_ms;
            let actual = at.since(note.at).saturating_sub(paused).max(1) as f64;
            self.view(&note.raw.pool).came(note.mark, &note.raw, actual);
            if self.scores.len() < SCORES_MAX {
                self.scores.extend(note.band.map(|band| Score::of(&note.raw.pool, band, actual)));
            }
        }
        for (pool, expected) in &entry.expected {
            if *expected > 0.0 && entry.seen(pool) > 0.0 {
                self.view(pool).differed(entry.seen(pool) / expected);
            }
        }
    }

    fn forget(&mut self, id: JobId) {
        drop(self.forgotten(id));
    }

    fn forgotten(&mut self, id: JobId) -> Option<Entry> {
        self.shown.remove(&id);
        self.jobs.remove(&id)
    }

    /// It enters the order of jobs, or leaves it, `steered` by an order or because it began.
    fn comes(&mut self, job: &Job, comes: bool, steered: bool) {
        let Some(entry) = self.jobs.get(&job.id) else { return };
        let mut pools: Vec<Pool> = entry.due.pools().map(|(pool, _)| pool.clone()).collect();
        if pools.is_empty() {
            pools = job.open.values().flat_map(|segment| &segment.plan.pools).cloned().collect();
            pools.sort_unstable();
            pools.dedup();
        }
        self.tell(
            job.id,
            What::Order { urgency: Urgency::of(job), tenant: job.submitted.tenant, pools, comes, steered },
        );
    }

    fn tell(&mut self, job: JobId, what: What) {
        if self.news.len() < NEWS_MAX {
            self.news.push(News { job, what });
        }
    }
}

impl News {
    /// What it is to a job.
    fn of(&self, job: &Job, entries: &BTreeMap<JobId, Entry>) -> Option<Cause> {
        match &self.what {
            What::Own(cause) => (self.job == job.id).then_some(*cause),
            What::Order { steered, .. } if self.job == job.id => steered.then_some(Cause::Steered),
            What::Order { urgency, tenant, pools, comes, .. } => {
                let is_other = *tenant != job.submitted.tenant;
                if !is_other && *urgency > Urgency::of(job) {
                    return None;
                }
                let other = (!is_other).then_some(self.job);
                let cause = if *comes { Cause::CutIn(other) } else { Cause::MadeWay(other) };
                let shares = entries.get(&job.id)?.due.pools().any(|(pool, _)| pools.contains(pool));
                shares.then_some(cause)
            }
        }
    }
}
