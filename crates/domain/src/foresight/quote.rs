//! What a job would come to if it were submitted now: the same walk, with one job more that there is not.
use super::{Due, Foresight, View, due::Sum, entry::Entry, walk::Raw};
use crate::{
    Event, Job, JobId, Pool, Tenant, Timestamp,
    eta::Eta,
    event::{ChunkPlan, Input, Planned, Priority, SegmentPlan, Submitted},
    load::{Kind, Load},
    schedule::Jobs,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Jobs that are told to be endangered, those that would be latest first.
const ENDANGERED_MAX: usize = 20;
/// Windows that are tried before none is told: each is one that the one before led to.
const TRIES_MAX: usize = 16;

/// An input, as far as a forecast asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub priority: Priority,
    #[serde(default)]
    pub tenant: Tenant,
    pub window_ms: u64,
    pub requests: u64,
    /// Of each pool and kind.
    pub parts: Vec<Part>,
    /// The last chunk of each pool.
    pub last: Vec<Part>,
}

/// Chunks of one kind for one pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub pool: Pool,
    pub kind: Kind,
    pub sum: Sum,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quoted {
    /// When its first answers would be begun, and when its last would be there. None: nobody knows.
    pub start: Option<Eta>,
    pub finish: Option<Eta>,
    /// The shortest window that it would keep with nine chances in ten, milliseconds: a shorter one is more urgent.
    pub shortest_ms: Option<u64>,
    /// Tokens that are expected.
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    /// Jobs that keep their deadlines with nine chances in ten now, and would not then.
    pub endangered: Vec<Endangered>,
    /// Pools of which nobody knows anything: never seen at work, or without a worker.
    pub unknown: Vec<Pool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endangered {
    pub job: JobId,
    pub deadline: Timestamp,
    /// By when it would be done with nine chances in ten: now, and then.
    pub before: Timestamp,
    pub then: Timestamp,
}

impl Asked {
    pub fn new(priority: Priority, window_ms: u64) -> Self {
        Self { priority, window_ms, ..Self::default() }
    }

    /// Whose job it would be.
    pub fn of(self, tenant: Tenant) -> Self {
        Self { tenant, ..self }
    }

    /// Takes the next segment of the input.
    pub fn take(&mut self, plan: &SegmentPlan) {
        self.requests += u64::from(plan.requests);
        for chunk in &plan.chunks {
            let Some(pool) = plan.pools.get(usize::from(chunk.pool)) else { continue };
            let (kind, sum) = (super::due::load(chunk).kind, Sum::of(chunk));
            match self.parts.iter_mut().find(|part| part.kind == kind && part.pool == *pool) {
                Some(part) => part.sum.add(&sum),
                None => self.parts.push(Part { pool: pool.clone(), kind, sum }),
            }
            self.last.retain(|part| part.pool != *pool);
            self.last.push(Part { pool: pool.clone(), kind, sum });
        }
    }

    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.last.iter().map(|part| &part.pool)
    }

    /// The job that it would be, with its last chunks alone.
    fn guest(&self, now: Timestamp) -> Guest {
        let id = JobId::keyed("quote", "");
        let mut job = Job::begin(id, &Event::JobSubmitted(self.submitted(now))).expect("a submission begins a job");
        job.evolve(&Event::SegmentPlanned(self.tail()));
        let planned =
            Planned { at: now, input: String::new(), requests: self.requests, segments: 1, bytes: 0, warnings: vec![] };
        job.evolve(&Event::JobPlanned(planned));
        let mut due = Due::default();
        self.parts.iter().for_each(|part| due.put(&part.pool, part.kind, &part.sum));
        Guest { job, entry: Entry { due, ..Entry::default() }, stays: false }
    }

    fn submitted(&self, now: Timestamp) -> Submitted {
        Submitted { tenant: self.tenant, priority: self.priority, ..Submitted::new(now, Input::Inline, self.window_ms) }
    }

    fn tail(&self) -> SegmentPlan {
        let chunk = |(part, pool): (&Part, u16)| {
            let (Sum { requests, prompt_bytes, caps, uncapped, .. }, kind) = (part.sum, part.kind);
            let caps = if uncapped > 0 { 0 } else { caps };
            let count = u32::try_from(requests).unwrap_or(u32::MAX);
            ChunkPlan { pool, runs: vec![(0, count)], bytes: 0, load: Some(Load { prompt_bytes, caps, kind }) }
        };
        let pools = self.pools().cloned().collect();
        let chunks = self.last.iter().zip(0..).map(chunk).collect();
        SegmentPlan { segment: 0, offset: 0, bytes: 0, first: 0, requests: 0, pools, chunks }
    }
}

/// A job that there is not.
pub(super) struct Guest {
    pub job: Job,
    pub entry: Entry,
    /// It does not stand back, even if it cannot be in time.
    pub stays: bool,
}

impl Foresight {
    /// `workers` as in [`Foresight::read`].
    pub fn quote(&self, jobs: &impl Jobs, workers: &BTreeMap<Pool, u64>, asked: &Asked, now: Timestamp) -> Quoted {
        let mut guest = asked.guest(now);
        let (prompt_tokens, answer_tokens) = self.tokens(asked);
        let Some(raw) = self.would(jobs, workers, &guest, now) else {
            let unknown = self.unknown(workers, asked);
            return Quoted { prompt_tokens, answer_tokens, unknown, ..Quoted::default() };
        };
        let endangered = self.endangered(jobs, workers, &guest, now);
        let z = |ms: f64| self.quantiles(&raw, 0.0).map(|by| now.plus((ms * by).ceil() as u64));
        let eta = |[p10, p50, p90, _]: [Timestamp; 4]| Some(Eta { p10, p50, p90 });
        let (start, finish) = (eta(z(raw.before)), eta(z(raw.ms)));
        let shortest_ms = self.shortest(jobs, workers, &mut guest, now);
        Quoted { start, finish, shortest_ms, prompt_tokens, answer_tokens, endangered, unknown: Vec::new() }
    }

    fn would(&self, jobs: &impl Jobs, workers: &BTreeMap<Pool, u64>, guest: &Guest, now: Timestamp) -> Option<Raw> {
        let count = |pool: &Pool, view: &View| workers.get(pool).copied().unwrap_or_else(|| view.workers());
        self.raw(jobs, guest.job.id, count, now, Some(guest))
    }

    /// The later its deadline the more goes before it, so its end under each window is at least the next window.
    fn shortest(
        &self,
        jobs: &impl Jobs,
        workers: &BTreeMap<Pool, u64>,
        guest: &mut Guest,
        now: Timestamp,
    ) -> Option<u64> {
        let mut window = 1;
        guest.stays = true;
        for _ in 0..TRIES_MAX {
            guest.job.deadline = now.plus(window);
            let raw = self.would(jobs, workers, guest, now)?;
            let needed = self.band(&raw, 0.0)[2].ceil() as u64;
            if needed <= window {
                return Some(window);
            }
            window = needed;
        }
        None
    }

    fn endangered(
        &self,
        jobs: &impl Jobs,
        workers: &BTreeMap<Pool, u64>,
        guest: &Guest,
        now: Timestamp,
    ) -> Vec<Endangered> {
        let count = |pool: &Pool, view: &View| workers.get(pool).copied().unwrap_or_else(|| view.workers());
        let end = |job: &Job, raw: &Raw| now.plus(self.band(raw, super::walk::progress(job))[2].ceil() as u64);
        let ends = |guest: Option<&Guest>| {
            let raws = self.raws(jobs, count, now, guest).into_iter();
            raws.filter_map(|(job, raw)| Some((job.id, (job.deadline, end(job, &raw?))))).collect::<BTreeMap<_, _>>()
        };
        let (without, with) = (ends(None), ends(Some(guest)));
        let worse = with.into_iter().filter_map(|(job, (deadline, then))| {
            let before = without.get(&job)?.1;
            (before <= deadline && then > deadline).then_some(Endangered { job, deadline, before, then })
        });
        let mut worse: Vec<_> = worse.collect();
        worse.sort_by_key(|one| (std::cmp::Reverse(one.then.since(one.deadline)), one.job));
        worse.truncate(ENDANGERED_MAX);
        worse
    }

    /// Prompt and answer tokens that are expected of it.
    fn tokens(&self, asked: &Asked) -> (u64, u64) {
        let (none, mut prompt, mut answer) = (View::default(), 0.0, 0.0);
        for Part { pool, kind, sum } in &asked.parts {
            let lengths = &self.pools.get(pool).unwrap_or(&none).lengths;
            prompt += lengths.per_byte() * sum.prompt_bytes as f64;
            answer += lengths.guess(*kind, sum).mean * sum.requests as f64;
        }
        (prompt.round() as u64, answer.round() as u64)
    }

    fn unknown(&self, workers: &BTreeMap<Pool, u64>, asked: &Asked) -> Vec<Pool> {
        let has_none = |pool: &&Pool| !self.pools.contains_key(*pool) || workers.get(*pool) == Some(&0);
        asked.pools().filter(has_none).cloned().collect()
    }
}
