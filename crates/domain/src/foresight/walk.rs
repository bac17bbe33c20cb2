//! How long each job takes: a pool's workers do what more urgent jobs owe first, and share themselves out among queues.
use super::{
    View,
    ahead::needed,
    due::{Sum, load},
    entry::Entry,
    flow::{Done, Item, flow},
    lengths::Guess,
    speed::Cost,
    stat::largest,
};
use crate::{
    Job, JobId, Pool, Timestamp,
    event::Priority,
    job::Chunk,
    load::Kind,
    schedule::{Need, Queue, Weights, late},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The least doubt there is about any forecast.
const DOUBT_MIN: f64 = 0.03;
/// Of what is left, so much is left at least, however long nothing was heard.
const LEFT_MIN: f64 = 0.3;
const LEFT_MS_MIN: f64 = 200.0;

/// One pool, and what its workers have to do.
pub struct Lane<'a> {
    view: &'a View,
    cost: Option<Cost>,
    workers: f64,
    /// In the order in which the jobs were taken.
    items: Vec<Item>,
    done: Vec<Done>,
    guesses: HashMap<(Kind, u64), Guess>,
}

/// A forecast before the band is laid around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// The pool that is done last.
    pub pool: Pool,
    /// Remaining, ms.
    pub ms: f64,
    /// Standard deviation of its logarithm.
    pub doubt: f64,
    /// What the work alone comes to, but for what the last chunks take longer, ms; and how long the longest of them runs.
    pub plain: f64,
    pub longest: f64,
    /// The logarithm by which a token cost more lately than in the last hours.
    pub lately: f64,
    /// The part of that which was counted on.
    pub lasting: f64,
    /// Until its first chunk runs, ms: what is more urgent goes first. Of now, and not kept.
    #[serde(skip)]
    pub before: f64,
    pub basis: Basis,
}

/// What it rests on: where one of these changes, the forecast may, too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    pub workers: f64,
    /// Worker time for an answer token, ms.
    pub pace: f64,
    /// Answer tokens of the whole job in that pool, those that are there included.
    pub tokens: f64,
}

/// A job, and what it owes to each of its pools: None, if that is not known.
pub struct Taken<'a> {
    pub job: &'a Job,
    entry: Option<&'a Entry>,
    parts: Vec<(&'a Pool, Option<(usize, Part)>)>,
}

/// What a job owes to one pool, in worker time.
#[derive(Debug, Clone, Copy)]
struct Part {
    ms: f64,
    var: f64,
    tokens: f64,
    chunks: f64,
    /// By how much its answers are longer than its kinds'.
    longer: f64,
}

/// A job's end, ms.
struct Tail {
    /// Worker time of what is begun and not done, now and at the end, for each worker.
    begun: f64,
    /// How long the longest of the last chunks runs among others, and how unsure that is.
    longest: f64,
    off: f64,
}

impl<'a> Lane<'a> {
    /// `workers` who would run a chunk that is sent now.
    pub fn new(view: &'a View, workers: u64) -> Self {
        let (workers, cost) = (workers as f64, view.speed.cost(view.run_ms()));
        Self { view, cost, workers, items: Vec::new(), done: Vec::new(), guesses: HashMap::new() }
    }

    /// Its place among the lane's items, and what it owes. None: nobody knows.
    fn take(
        &mut self,
        pool: &Pool,
        job: &Job,
        entry: &Entry,
        kinds: &BTreeMap<Kind, Sum>,
        now: Timestamp,
    ) -> Option<(usize, Part)> {
        let cost = self.cost.filter(|_| self.workers > 0.0)?;
        let part = self.part(pool, entry, kinds, cost);
        let deadline = job.deadline.since(now) as f64 * self.workers;
        self.items.push(Item { queue: Queue::of(job, false), work: part.ms, var: part.var, deadline });
        Some((self.items.len() - 1, part))
    }

    /// Which of what it took cannot be in time, by the rule of the scheduler.
    fn late(&self, ids: &[JobId], weights: &Weights, stays: Option<JobId>) -> BTreeSet<JobId> {
        let mut queues: BTreeMap<Queue, Vec<Need>> = BTreeMap::new();
        for (item, job) in self.items.iter().zip(ids) {
            let (left, need) = (item.deadline / self.workers, item.work / self.workers);
            let left = if stays == Some(*job) { u64::MAX } else { left as u64 };
            let need = Need { job: *job, left, need: need as u64 };
            queues.entry(item.queue).or_default().push(need);
        }
        let mut sums: BTreeMap<Priority, f64> = BTreeMap::new();
        queues.keys().for_each(|queue| *sums.entry(queue.class).or_default() += weights.of(queue.tenant));
        let within = |(queue, needs): (Queue, Vec<Need>)| {
            let share = weights.of(queue.tenant) / sums[&queue.class];
            late(needs.into_iter().map(move |need| Need { need: (need.need as f64 / share) as u64, ..need }))
        };
        queues.into_iter().flat_map(within).collect()
    }

    /// None: nobody knows what a token costs.
    fn needed(&self) -> Option<u64> {
        self.cost?;
        Some(needed(&self.items, self.view.run_ms()))
    }

    fn flow(&mut self, weights: &Weights) {
        self.done = flow(&self.items, weights);
    }

    fn job(
        &mut self,
        pool: &Pool,
        job: &Job,
        entry: &Entry,
        (place, part): (usize, Part),
        now: Timestamp,
    ) -> Option<Raw> {
        let cost = self.cost?;
        let Done { before, ahead, var } = *self.done.get(place)?;
        let tail = self.tail(pool, job, &part, cost);
        // Alone, it keeps no more of them busy than it has chunks.
        let alone = ahead <= part.ms;
        let workers = if alone { self.workers.min(part.chunks) } else { self.workers };
        let plain = ahead / workers - tail.begun;
        let (end, end_var) = self.view.end();
        // What a token cost lately lasts for a while: how far, the pool's jobs have told.
        let lasting = cost.lately * self.view.lasts(progress(job));
        let whole = (plain + end * tail.longest).max(LEFT_MIN * ahead / workers);
        let ms = self.left(whole * lasting.exp(), now);
        let rests = entry.rests.since(now) as f64;
        let ms = if rests > 0.0 { ms.max(rests + self.view.run_ms()) } else { ms };
        let work = var / (workers * ms).powi(2);
        let off = (tail.off.powi(2) + tail.longest.powi(2) * end_var) / ms.powi(2);
        let doubt = work + cost.doubt + cost.noise * 1_000.0 / ahead.max(1_000.0) + off;
        let basis =
            Basis { workers: self.workers, pace: cost.answer * lasting.exp(), tokens: entry.seen(pool) + part.tokens };
        Some(Raw {
            pool: pool.clone(),
            ms,
            doubt: doubt.sqrt().clamp(DOUBT_MIN, 1.5),
            plain,
            longest: tail.longest,
            lately: cost.lately,
            lasting,
            before: before / self.workers,
            basis,
        })
    }

    fn part(&mut self, pool: &Pool, entry: &Entry, kinds: &BTreeMap<Kind, Sum>, cost: Cost) -> Part {
        let lengths = &self.view.lengths;
        let factor = entry.factor(pool, lengths, self.view.between());
        let mut part = Part { ms: 0.0, var: 0.0, tokens: 0.0, chunks: 0.0, longer: factor.by };
        let (mut answers, mut unsure) = (0.0, 0.0);
        for (kind, sum) in kinds {
            let guess = self.guess(*kind, sum);
            let tokens = guess.mean * factor.by * sum.requests as f64;
            let (answer, prompt) = (cost.answer * tokens, cost.prompt * sum.prompt_bytes as f64 * lengths.per_byte());
            part.ms += answer + prompt;
            part.tokens += tokens;
            part.chunks += sum.chunks as f64;
            part.var += answer.powi(2) * guess.spread / sum.chunks.max(1) as f64;
            answers += answer;
            unsure += answer * guess.doubt.sqrt();
        }
        part.var += answers.powi(2) * factor.doubt + unsure.powi(2);
        part
    }

    /// The same caps a request give the same guess.
    fn guess(&mut self, kind: Kind, sum: &Sum) -> Guess {
        let caps = if sum.uncapped > 0 { 0 } else { sum.caps / sum.requests.max(1) };
        *self.guesses.entry((kind, caps)).or_insert_with(|| self.view.lengths.guess(kind, sum))
    }

    /// What runs now is half done, and so is what runs when the last chunk begins; from then on nobody fills the places that
    /// become free, and the longest of the last chunks is waited for.
    fn tail(&mut self, pool: &Pool, job: &Job, part: &Part, cost: Cost) -> Tail {
        let run = self.view.run_ms();
        let Some((kind, sum)) = last(job, pool) else { return Tail { begun: run, longest: run, off: 0.0 } };
        let lengths = &self.view.lengths;
        let prompt = cost.prompt * sum.prompt_bytes as f64 * lengths.per_byte() / sum.requests.max(1) as f64;
        let (mean, var) = self.view.pace(cost.answer * self.guess(kind, &sum).mean * part.longer + prompt);
        let one = (part.ms / part.chunks.max(1.0)).max(1.0);
        let together = (self.workers * (run / one).max(1.0)).min(part.chunks);
        let longest = mean * (var.sqrt() * largest(together)).exp();
        Tail { begun: (run + mean) / 2.0, longest, off: longest * var.sqrt() / (1.0 + together.ln()) }
    }

    /// Since the pool was heard of last, some of it is done.
    fn left(&self, ms: f64, now: Timestamp) -> f64 {
        let heard = self.view.speed.until().max(self.view.woke);
        let passed = (now.since(heard) as f64).min(self.view.run_ms());
        (ms - passed).max(LEFT_MIN * ms).max(LEFT_MS_MIN)
    }
}

/// The part of a job's requests that is answered.
pub fn progress(job: &Job) -> f64 {
    job.tally.requests() as f64 / job.total().max(1) as f64
}

/// The last of a job's chunks that a pool owes.
fn last(job: &Job, pool: &Pool) -> Option<(Kind, Sum)> {
    let segment = job.open.values().rev().find(|segment| segment.left > 0)?;
    let mut owed = segment.chunks.iter().zip(&segment.plan.chunks).rev();
    let (_, plan) = owed.find(|(chunk, plan)| {
        matches!(chunk, Chunk::Owed { .. }) && segment.plan.pools.get(usize::from(plan.pool)) == Some(pool)
    })?;
    Some((load(plan).kind, Sum::of(plan)))
}

/// The lanes take what a job owes to them. Jobs come in order of urgency.
pub fn take<'a>(
    lanes: &mut BTreeMap<&'a Pool, Lane<'_>>,
    job: &'a Job,
    entry: Option<&'a Entry>,
    now: Timestamp,
) -> Taken<'a> {
    let pools = entry.into_iter().flat_map(|entry| entry.due.pools().map(move |(pool, kinds)| (entry, pool, kinds)));
    let parts = pools.map(|(entry, pool, kinds)| {
        (pool, lanes.get_mut(pool).and_then(|lane| lane.take(pool, job, entry, kinds, now)))
    });
    Taken { job, entry, parts: parts.collect() }
}

/// Whose turn it is when: what cannot be in time stands back, but for who stays, and all that was taken is worked off.
pub fn run(lanes: &mut BTreeMap<&Pool, Lane<'_>>, taken: &[Taken<'_>], weights: &Weights, stays: Option<JobId>) {
    let mut places: BTreeMap<&Pool, Vec<JobId>> = BTreeMap::new();
    for one in taken {
        for (pool, part) in &one.parts {
            part.iter().for_each(|_| places.entry(pool).or_default().push(one.job.id));
        }
    }
    let late =
        lanes.iter().flat_map(|(pool, lane)| lane.late(places.get(pool).map_or(&[], Vec::as_slice), weights, stays));
    let late: BTreeSet<JobId> = late.collect();
    for (pool, lane) in lanes {
        let ids = places.get(pool).map_or(&[][..], Vec::as_slice);
        lane.items.iter_mut().zip(ids).for_each(|(item, id)| item.queue.late = late.contains(id));
        lane.flow(weights);
    }
}

/// How many workers each lane needs, if anybody knows. It has one, so that the deadlines of what it took are milliseconds.
pub fn needs<'a>(lanes: &BTreeMap<&'a Pool, Lane<'_>>) -> impl Iterator<Item = (&'a Pool, Option<u64>)> {
    lanes.iter().map(|(pool, lane)| (*pool, lane.needed()))
}

/// The forecast of one job, if all of its pools have one.
pub fn step<'a>(lanes: &mut BTreeMap<&'a Pool, Lane<'_>>, taken: &Taken<'a>, now: Timestamp) -> Option<Raw> {
    let mut last: Option<Raw> = None;
    let (mut known, mut before) = (true, f64::INFINITY);
    let (job, entry) = (taken.job, taken.entry?);
    for (pool, part) in &taken.parts {
        let raw = lanes.get_mut(pool).and_then(|lane| lane.job(pool, job, entry, (*part)?, now));
        known &= raw.is_some();
        before = raw.as_ref().map_or(before, |raw| before.min(raw.before));
        let late = |raw: &Raw| raw.ms * raw.doubt.exp();
        last = match (last, raw) {
            (Some(last), Some(raw)) => Some(if late(&raw) > late(&last) { raw } else { last }),
            (last, raw) => last.or(raw),
        };
    }
    last.filter(|_| known).map(|raw| Raw { before, ..raw })
}
