//! Many jobs that run at once, on the real fold, forecast and scheduler: no time passes, and nothing is sent.
use domain::{
    ChunkId, Event, Job, JobId, Pool, Tenant, Timestamp,
    event::{
        ChunkDone, Ended, Input as Source, Outcome, OutputWritten, Planned, SegmentArchived, SegmentPlan, Submitted,
        Tally, Usage,
    },
    foresight::{Due, Foresight},
    load::Ask,
    pack::{Packer, Packing},
    schedule::{Effect, Folded, Input, Jobs, Moment, Now, Scheduler},
};
use std::collections::BTreeMap;

/// Requests of a chunk, and chunks of a segment.
const CHUNK: u32 = 32;
const CHUNKS: u32 = 4;
/// Jobs that ended before, so that the pool's speed and the band are known.
const HISTORY: u64 = 80;
const HISTORY_SEGMENTS: u32 = 6;
const RUN_MS: u64 = 2_000;
const WINDOW_MS: u64 = 24 * 3_600_000;
const WORKERS: u64 = 4;
/// Templates of prompts, each with lengths of its own.
const KINDS: u64 = 8;

#[derive(Default)]
struct Book(BTreeMap<JobId, Job>);

impl Jobs for Book {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.0.get(&id)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }
}

pub struct Crowd {
    book: Book,
    foresight: Foresight,
    scheduler: Scheduler,
    pool: Pool,
    tenants: u64,
    now: u64,
    seq: u64,
}

impl Crowd {
    /// `jobs` that run, each of so many segments, of so many tenants.
    pub fn new(jobs: u64, segments: u32, tenants: u64) -> Self {
        let pool: Pool = "bench".parse().expect("a pool's name");
        let (scheduler, now) = (Scheduler::new(vec![pool.clone()], 1.5), 1_700_000_000_000);
        let (book, foresight) = Default::default();
        let mut crowd = Self { book, foresight, scheduler, pool, tenants: tenants.max(1), now, seq: 0 };
        for number in 0..HISTORY {
            let id = crowd.submit(number, HISTORY_SEGMENTS);
            (0..HISTORY_SEGMENTS).for_each(|segment| crowd.answer(id, segment, CHUNKS));
            crowd.end(id);
        }
        for number in HISTORY..HISTORY + jobs {
            let id = crowd.submit(number, segments);
            // They are at different parts of their ways.
            (0..segments * (number % 10) as u32 / 10).for_each(|segment| crowd.answer(id, segment, 1));
        }
        crowd
    }

    /// The forecast of every job; how many have one.
    pub fn read(&mut self) -> usize {
        let workers = BTreeMap::from([(self.pool.clone(), WORKERS)]);
        self.foresight.read(&self.book, &workers, Timestamp::new(self.now)).len()
    }

    /// How many workers the pool needs.
    pub fn needed(&self) -> usize {
        let ahead = self.foresight.ahead(&self.book, Timestamp::new(self.now));
        ahead.first().and_then(|pool| pool.needed).unwrap_or(0) as usize
    }

    /// What is to be sent; how many chunks.
    pub fn send(&self) -> usize {
        let effects = self.scheduler.outstanding(&self.book, moment(self.now));
        effects.iter().filter(|effect| matches!(effect, Effect::Send(_))).count()
    }

    fn submit(&mut self, number: u64, segments: u32) -> JobId {
        let id = JobId::keyed("bench", &number.to_string());
        let tenant = format!("t{}", number % self.tenants).parse().expect("a tenant's name");
        self.fold(id, &Event::JobSubmitted(submitted(self.now, tenant)));
        let plans = self.plans(number, u64::from(segments * CHUNKS * CHUNK));
        let (segments, requests) = (plans.len() as u32, plans.iter().map(|plan| u64::from(plan.requests)).sum());
        plans.into_iter().for_each(|plan| self.fold(id, &Event::SegmentPlanned(plan)));
        let (at, input) = (Timestamp::new(self.now), "in".to_owned());
        self.fold(id, &Event::JobPlanned(Planned { at, input, requests, segments, bytes: requests, warnings: vec![] }));
        id
    }

    fn plans(&self, number: u64, requests: u64) -> Vec<SegmentPlan> {
        let chunk_requests = [(self.pool.clone(), CHUNK)].into();
        let segment_requests = CHUNK * CHUNKS;
        let mut packer = Packer::new(Packing { chunk_requests, segment_requests, ..Packing::default() });
        let ask = |line: u64| {
            let kind = (number + line / u64::from(CHUNK)) % KINDS;
            Some(Ask { prompt_bytes: 300 + 50 * kind as u32, cap: Some(256), template: (kind << 8) as u32 })
        };
        let mut plans: Vec<_> =
            (0..requests).filter_map(|line| packer.push(line * 100, 100, &self.pool, b"", ask(line))).collect();
        plans.extend(packer.finish());
        plans
    }

    /// The first chunks of a segment are done, by each worker in turn.
    fn answer(&mut self, id: JobId, segment: u32, chunks: u32) {
        for index in 0..chunks {
            let worker = format!("w{}", self.seq % WORKERS);
            // No two take equally long, so that the band has something to learn.
            let ms = RUN_MS + (self.seq * 7_919) % RUN_MS;
            self.now += ms / WORKERS;
            let (started, at) = (Timestamp::new(self.now - ms), Timestamp::new(self.now));
            let usage = Usage { prompt: 3_000, completion: 2 * ms, ..Usage::default() };
            let tally = Tally { completed: u64::from(CHUNK), usage, ..Tally::default() };
            let chunk = ChunkId::new(segment, index);
            self.fold(id, &Event::ChunkDone(ChunkDone { at, chunk, attempt: 1, delivered: 1, worker, started, tally }));
        }
    }

    fn end(&mut self, id: JobId) {
        let at = Timestamp::new(self.now);
        let open = self.book.0.get(&id).map(|job| job.open.iter().map(|(number, segment)| (*number, segment.tally)));
        for (segment, tally) in open.into_iter().flatten().collect::<Vec<_>>() {
            let archived = SegmentArchived { at, segment, tally, output_bytes: 1, error_bytes: 0, losses: 0 };
            self.fold(id, &Event::SegmentArchived(archived));
        }
        self.fold(id, &Event::OutputWritten(OutputWritten { at, output: None, errors: None, losses: 0 }));
        self.fold(id, &Event::JobEnded(Ended::of(at, Outcome::Completed)));
        self.book.0.remove(&id);
    }

    /// As a room folds.
    fn fold(&mut self, id: JobId, event: &Event) {
        let stored = Timestamp::new(self.now);
        let before = self.book.0.get(&id).map(|job| Due::touched(job, event)).unwrap_or_default();
        match self.book.0.get_mut(&id) {
            Some(job) => job.evolve(event),
            None => self.book.0.extend(Job::begin(id, event).map(|job| (id, job))),
        }
        self.foresight.fold(&self.book, id, event, &before, stored);
        self.seq += 1;
        let folded = Folded { job: id, event, seq: self.seq, stored, trace: None };
        self.scheduler.input(&self.book, Input::Folded(folded), moment(self.now));
    }
}

fn submitted(now: u64, tenant: Tenant) -> Submitted {
    Submitted { tenant, ..Submitted::new(Timestamp::new(now), Source::Inline, WINDOW_MS) }
}

const fn moment(now: u64) -> Now {
    Now { at: Timestamp::new(now), moment: Moment::new(now) }
}
