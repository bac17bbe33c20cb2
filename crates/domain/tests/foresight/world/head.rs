//! Scheduler, log and forecast of a world: what is decided and folded, and no time.
use super::engine::{Key, Request};
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    command::Command,
    decide,
    event::{Input as Source, Planned, Priority, SegmentPlan, Submitted},
    foresight::{Asked, Due, Foresight, Quoted, Reading},
    load::Ask,
    pack::{Packer, Packing},
    schedule::{Crew, Effect, Folded, Input, Jobs, Moment, Now, Scheduler},
};
use std::collections::{BTreeMap, HashMap};

/// Requests of a chunk, as a pool has them by default.
pub const CHUNK: u32 = 32;

/// A job as it will be submitted.
#[derive(Debug, Clone)]
pub struct Spec {
    pub lines: Vec<Line>,
    pub priority: Priority,
    pub window_ms: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub prompt_bytes: u32,
    pub cap: Option<u32>,
    pub template: u32,
    /// What no forecast knows.
    pub answer: u32,
}

#[derive(Default)]
pub struct Book(BTreeMap<JobId, Job>);

impl Jobs for Book {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.0.get(&id)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }
}

impl Book {
    /// A job that ended is not kept.
    pub fn forget_ended(&mut self, id: JobId) {
        if self.0.get(&id).is_some_and(Job::is_terminal) {
            self.0.remove(&id);
        }
    }
}

pub struct Head {
    pub book: Book,
    pub scheduler: Scheduler,
    pub foresight: Foresight,
    lines: HashMap<JobId, Vec<Line>>,
    pub pool: Pool,
    /// How jobs are cut.
    pub packing: Packing,
    seq: u64,
    /// All that was folded, for who folds it once more.
    pub log: Vec<(JobId, Event, Timestamp)>,
    pub keeps_log: bool,
}

impl Head {
    pub fn new() -> Self {
        let pool: Pool = "sim".parse().expect("a pool's name");
        Self {
            book: Book::default(),
            scheduler: Scheduler::new(vec![pool.clone()], 2.0),
            foresight: Foresight::default(),
            lines: HashMap::new(),
            packing: packing(&pool),
            pool,
            seq: 0,
            log: Vec::new(),
            keeps_log: false,
        }
    }

    pub fn fold(&mut self, id: JobId, event: &Event, now: u64) {
        let at = Timestamp::new(now);
        if self.keeps_log {
            self.log.push((id, event.clone(), at));
        }
        self.seq += 1;
        fold(&mut self.book, &mut self.foresight, id, event, at);
        let folded = Folded { job: id, event, seq: self.seq, stored: at, trace: None };
        self.scheduler.input(&self.book, Input::Folded(folded), moment(now));
        if self.book.job(id).is_some_and(Job::is_terminal) {
            self.book.forget_ended(id);
            self.lines.remove(&id);
        }
    }

    pub fn book_job(&self, id: JobId) -> Option<&Job> {
        self.book.job(id)
    }

    /// What a command decides is folded; what it is refused, is left.
    pub fn command(&mut self, id: JobId, command: Command, now: u64) {
        if let Ok(Some(event)) = decide::decide(self.book.job(id), command) {
            self.fold(id, &event, now);
        }
    }

    pub fn submit(&mut self, number: u64, spec: &Spec, now: u64) -> JobId {
        let id = JobId::keyed("sim", &number.to_string());
        let plans = self.plans(spec);
        self.lines.insert(id, spec.lines.clone());
        self.command(id, Command::Submit(Box::new(submitted(spec, now))), now);
        let (requests, segments) = (spec.lines.len() as u64, plans.len() as u32);
        plans.into_iter().for_each(|plan| self.fold(id, &Event::SegmentPlanned(plan), now));
        let (at, input, bytes) = (Timestamp::new(now), "in".to_owned(), 100 * requests);
        let planned = Planned { at, input, requests, segments, bytes, warnings: vec![] };
        self.command(id, Command::Plan(planned), now);
        id
    }

    fn plans(&self, spec: &Spec) -> Vec<SegmentPlan> {
        let mut packer = Packer::new(self.packing.clone());
        let mut plans = Vec::new();
        for (line, number) in spec.lines.iter().zip(0_u64..) {
            let Line { prompt_bytes, cap, template, .. } = *line;
            let ask = Some(Ask { prompt_bytes, cap, template });
            plans.extend(packer.push(number * 100, 100, &self.pool, b"", ask));
        }
        plans.extend(packer.finish());
        plans
    }

    /// What is asked of a job that is not submitted.
    pub fn asked(&self, spec: &Spec) -> Asked {
        let mut asked = Asked::new(spec.priority, spec.window_ms);
        self.plans(spec).iter().for_each(|plan| asked.take(plan));
        asked
    }

    pub fn quote(&self, asked: &Asked, workers: u64, now: u64) -> Quoted {
        let workers = BTreeMap::from([(self.pool.clone(), workers)]);
        self.foresight.quote(&self.book, &workers, asked, Timestamp::new(now))
    }

    pub fn effects(&self, now: u64) -> Vec<Effect> {
        self.scheduler.outstanding(&self.book, moment(now))
    }

    pub fn tell(&mut self, input: Input<'_>, now: u64) {
        self.scheduler.input(&self.book, input, moment(now));
    }

    pub fn crews(&mut self, crew: Crew, now: u64) {
        let crews = HashMap::from([(self.pool.clone(), crew)]);
        self.tell(Input::Crews(&crews), now);
    }

    pub fn read(&mut self, workers: u64, now: u64) -> Vec<(JobId, Reading)> {
        let workers = BTreeMap::from([(self.pool.clone(), workers)]);
        self.foresight.read(&self.book, &workers, Timestamp::new(now))
    }

    /// The requests of a chunk.
    pub fn requests(&self, key: Key) -> Vec<Request> {
        let (Some(job), Some(lines)) = (self.book.job(key.0), self.lines.get(&key.0)) else { return Vec::new() };
        let Some(plan) = job.open.get(&key.1.segment).map(|segment| &segment.plan) else { return Vec::new() };
        let indices = plan.chunks[key.1.index as usize].indices();
        let line = |index: u32| lines[plan.first as usize + index as usize];
        let request =
            |line: Line| Request { prompt: f64::from(line.prompt_bytes) / 4.0, answer: f64::from(line.answer) };
        indices.map(|index| request(line(index))).collect()
    }

    /// Whether a worker that takes it runs it.
    pub fn is_owed(&self, job: JobId, chunk: ChunkId) -> bool {
        let owed = |job: &Job| matches!(job.chunk(chunk), Some(domain::job::Chunk::Owed { .. }));
        self.book.job(job).is_some_and(|job| job.is_wanted() && owed(job))
    }
}

/// The fold of one event, as a room does it.
pub fn fold(book: &mut Book, foresight: &mut Foresight, id: JobId, event: &Event, at: Timestamp) {
    let before = book.0.get(&id).map(|job| Due::touched(job, event)).unwrap_or_default();
    match book.0.get_mut(&id) {
        Some(job) => job.evolve(event),
        None => book.0.extend(Job::begin(id, event).map(|job| (id, job))),
    }
    foresight.fold(book, id, event, &before, at);
}

fn submitted(spec: &Spec, now: u64) -> Submitted {
    Submitted { priority: spec.priority, ..Submitted::new(Timestamp::new(now), Source::Inline, spec.window_ms) }
}

fn packing(pool: &Pool) -> Packing {
    Packing { chunk_requests: [(pool.clone(), CHUNK)].into(), ..Packing::default() }
}

const fn moment(now: u64) -> Now {
    Now { at: Timestamp::new(now), moment: Moment::new(now) }
}
