//! The loop of a world: engines run, the head decides, and at marks of a job's progress its reading is kept.
use super::{
    chance::Chance,
    engine::{Engine, Key, Running},
    head::{Head, Spec},
    workload::{MODEL, State, Workload},
};
use domain::{
    Event, Job, JobId, Timestamp,
    alarm::{Alarm, Seen, Watch},
    event::{ChunkDone, File, OutputWritten, SegmentArchived, Tally, Usage},
    foresight::Reading,
    schedule::{Effect, Input, Jobs},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

/// Parts of a job's requests that are answered, at which a reading is kept.
pub const BUCKETS: [f64; 4] = [0.05, 0.25, 0.5, 0.75];
/// Between two readings.
const TICK_MS: u64 = 2_000;
const ARCHIVE_MS: u64 = 400;
const STEP_MS: u64 = 10_000;

/// A reading, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    pub bucket: usize,
    /// Remaining, ms.
    pub band: [f64; 3],
    /// What is left of the requests at the mean rate until then.
    pub naive: f64,
    /// What was left; without the job's own pauses, and with them.
    pub actual: f64,
    pub wall: f64,
    /// The job's place among its world's.
    pub job: usize,
}

pub(super) struct Watched {
    pub(super) number: usize,
    pub(super) kept: Vec<(Kept, u64, u64)>,
    pub(super) paused: Option<u64>,
    pub(super) paused_ms: u64,
    pub(super) counts: bool,
    pub(super) promise: Option<Promise>,
}

/// A window that holds with so much to spare when the job begins, and what was told of it.
pub(super) struct Promise {
    from: u64,
    deadline: u64,
    watch: Watch,
    told: [Option<u64>; 2],
    /// When p50 first lay after the deadline.
    even: Option<u64>,
}

/// What became of a promise, in parts of its window: how late the job was (negative: early), and how long before its
/// deadline it was told to be at risk, more likely late than not, and certainly late.
#[derive(Debug, Clone, Copy)]
pub struct Promised {
    pub late: f64,
    pub at_risk: Option<f64>,
    pub even: Option<f64>,
    pub certain: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Submit,
    Tick,
    Step,
    Presence,
    Archive(JobId, u32),
    Write(JobId),
    Redeliver(Key, u32),
    Pause(JobId),
    Resume(JobId),
    Urgent,
    Die,
    Join,
}

pub struct World {
    pub now: u64,
    pub head: Head,
    pub(super) workload: Workload,
    pub(super) chance: Chance,
    pub(super) state: State,
    pub(super) queue: BinaryHeap<Reverse<(u64, u64, What)>>,
    pub(super) serial: u64,
    pub(super) engines: Vec<(String, Engine)>,
    pub(super) known: u64,
    pub(super) work: VecDeque<(Key, u32)>,
    pub(super) watched: BTreeMap<JobId, Watched>,
    pub(super) submitted: usize,
    pub(super) jobs: usize,
    pub(super) running: usize,
    pub(super) slope: f64,
    pub kept: Vec<Kept>,
    pub(super) shown: BTreeMap<JobId, Reading>,
    /// Readings that moved by more than a fifth and did not say why; those that said so; and all.
    pub flickers: u64,
    pub moves: u64,
    pub readings: u64,
    /// Windows are this many times what p90 says when a job begins; none: nothing is promised.
    pub spare: Option<(f64, f64)>,
    pub promised: Vec<Promised>,
    /// Of every other job the workers become slower and slower, until it ends.
    pub fades: bool,
}

impl World {
    pub fn new(workload: Workload, seed: u64) -> Self {
        let mut world = Self {
            now: 1_000_000_000,
            head: Head::new(),
            workload,
            chance: Chance::new(seed),
            state: State::default(),
            queue: BinaryHeap::new(),
            serial: 0,
            engines: Vec::new(),
            known: 0,
            work: VecDeque::new(),
            watched: BTreeMap::new(),
            submitted: 0,
            jobs: 0,
            running: 0,
            slope: 0.0,
            kept: Vec::new(),
            shown: BTreeMap::new(),
            flickers: 0,
            moves: 0,
            readings: 0,
            spare: None,
            promised: Vec::new(),
            fades: false,
        };
        (0..workload.workers()).for_each(|_| world.join(MODEL));
        world.presence();
        world.after(TICK_MS, What::Tick);
        world.after(STEP_MS, What::Step);
        world
    }

    /// Runs so many jobs to their end.
    pub fn run(&mut self, jobs: usize) {
        self.jobs += jobs;
        if self.running == 0 {
            self.after(1, What::Submit);
        }
        while self.submitted < self.jobs || self.running > 0 {
            self.step();
        }
    }

    /// Begins one more job, and runs it until so much of its requests is answered.
    pub fn until_progress(&mut self, part: f64) {
        self.jobs += 1;
        self.after(1, What::Submit);
        while !self.head.book.jobs().any(|job| progress(job) >= part) {
            self.step();
        }
    }

    /// An urgent job is submitted now.
    pub fn cut_in(&mut self) -> JobId {
        let spec = self.workload.urgent(&mut self.chance);
        self.begin(&spec, false)
    }

    fn step(&mut self) {
        let next = self.engines.iter().filter_map(|(_, engine)| engine.next()).min();
        let queued = self.queue.peek().map(|Reverse((at, ..))| *at);
        let at = next.into_iter().chain(queued).min().unwrap_or(self.now + 1);
        self.now = self.now.max(at);
        self.answers();
        while let Some(Reverse((at, _, what))) = self.queue.peek().copied()
            && at <= self.now
        {
            self.queue.pop();
            self.happens(what);
        }
        self.pump();
    }

    pub(super) fn after(&mut self, ms: u64, what: What) {
        self.serial += 1;
        self.queue.push(Reverse((self.now + ms, self.serial, what)));
    }

    fn answers(&mut self) {
        let now = self.now;
        let mut done = Vec::new();
        for (worker, engine) in &mut self.engines {
            done.extend(engine.advance(now).into_iter().map(|(key, run)| (worker.clone(), key, run)));
        }
        done.into_iter().for_each(|(worker, key, run)| self.answered(worker, key, &run));
    }

    fn answered(&mut self, worker: String, (job, chunk): Key, run: &Running) {
        if !self.head.is_owed(job, chunk) {
            return;
        }
        let usage = Usage { prompt: run.prompt as u64, completion: run.answer as u64, cached: 0 };
        let tally = Tally { completed: run.requests, usage, ..Tally::default() };
        let (at, started) = (Timestamp::new(self.now), Timestamp::new(run.started));
        let done = ChunkDone { at, chunk, attempt: 1, delivered: run.delivered, worker, started, tally };
        self.head.fold(job, &Event::ChunkDone(done), self.now);
        self.keep(job);
        if self.head.book_job(job).is_some_and(|job| job.is_archivable(chunk.segment)) {
            self.after(ARCHIVE_MS, What::Archive(job, chunk.segment));
        }
    }

    /// Keeps the reading of a job that has come to a bucket.
    fn keep(&mut self, id: JobId) {
        let Some(job) = self.head.book_job(id) else { return };
        let (progress, naive) = (progress(job), naive(job, self.now));
        let Some(watched) = self.watched.get(&id).filter(|watched| watched.counts) else { return };
        let begun = watched.kept.len();
        if BUCKETS.get(begun).is_none_or(|bucket| progress < *bucket) || progress >= 1.0 {
            return;
        }
        let Some(reading) = self.read().get(&id).copied() else { return };
        let at = Timestamp::new(self.now);
        let band = [reading.p10, reading.p50, reading.p90].map(|end| end.since(at) as f64);
        let now = self.now;
        let watched = self.watched.get_mut(&id).expect("it was there");
        let job = watched.number;
        let kept = Kept { bucket: begun, band, naive, actual: 0.0, wall: 0.0, job };
        watched.kept.push((kept, now, watched.paused_ms));
    }

    /// Reads, and looks whether what moved says why.
    fn read(&mut self) -> BTreeMap<JobId, Reading> {
        let now = Timestamp::new(self.now);
        let readings: BTreeMap<_, _> = self.head.read(self.known, self.now).into_iter().collect();
        for (job, reading) in &readings {
            self.readings += 1;
            let Some(old) = self.shown.get(job) else { continue };
            let left = |reading: &Reading| reading.p50.since(now).max(1_000) as f64;
            let moved = (left(reading) / left(old)).ln().abs() > 1.2_f64.ln();
            let is_told = reading.moved.is_some_and(|moved| moved.at == now);
            self.flickers += u64::from(moved && !is_told);
            self.moves += u64::from(is_told);
        }
        self.shown.clone_from(&readings);
        readings.iter().for_each(|(job, reading)| self.promise(*job, reading));
        readings
    }

    /// A job's first reading makes its promise, and each one after that is held against it.
    fn promise(&mut self, job: JobId, reading: &Reading) {
        let (now, spare) = (self.now, self.spare);
        let Some(watched) = self.watched.get_mut(&job).filter(|watched| watched.counts) else { return };
        let Some((least, most)) = spare else { return };
        let left = reading.p90.since(Timestamp::new(now)) as f64;
        let deadline = now + (left * self.chance.between(least, most)) as u64;
        let new = || Promise { from: now, deadline, watch: Watch::default(), told: [None; 2], even: None };
        let promise = watched.promise.get_or_insert_with(new);
        let deadline = Timestamp::new(promise.deadline);
        if reading.p50 > deadline && now <= promise.deadline {
            promise.even.get_or_insert(now);
        }
        let seen = Seen { now: Timestamp::new(now), deadline, reading: Some(reading), stalled: None };
        match promise.watch.see(&seen).filter(|_| now <= promise.deadline) {
            Some(Alarm::AtRisk) => drop(promise.told[0].get_or_insert(now)),
            Some(Alarm::Certain) => {
                promise.told[0].get_or_insert(now);
                promise.told[1].get_or_insert(now);
            }
            Some(Alarm::Recovered | Alarm::Missed | Alarm::Met) | None => {}
        }
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Submit => self.submit(),
            What::Tick => {
                self.read();
                self.after(TICK_MS, What::Tick);
            }
            What::Step => {
                self.drift();
                self.after(STEP_MS, What::Step);
            }
            What::Presence => self.presence(),
            What::Archive(job, segment) => self.archive(job, segment),
            What::Write(job) => self.write(job),
            What::Redeliver(key, delivered) => self.work.push_front((key, delivered)),
            What::Pause(job) => self.pause(job),
            What::Resume(job) => self.resume(job),
            What::Urgent => {
                self.cut_in();
            }
            What::Die => self.die(),
            What::Join => self.join(MODEL),
        }
    }

    fn submit(&mut self) {
        let (count, _) = self.workload.burst(&mut self.chance);
        for _ in 0..count.min(self.jobs - self.submitted) {
            self.change();
            self.fade();
            let spec = self.workload.job(&mut self.chance, &self.state);
            let job = self.begin(&spec, true);
            self.befall(job);
        }
    }

    fn begin(&mut self, spec: &Spec, counts: bool) -> JobId {
        self.serial += 1;
        let id = self.head.submit(self.serial, spec, self.now);
        self.running += 1;
        let number = self.submitted;
        self.submitted += usize::from(counts);
        self.watched
            .insert(id, Watched { number, kept: Vec::new(), paused: None, paused_ms: 0, counts, promise: None });
        id
    }

    fn archive(&mut self, id: JobId, segment: u32) {
        let Some(job) = self.head.book_job(id) else { return };
        let Some(tally) = job.open.get(&segment).map(|open| open.tally) else { return };
        let at = Timestamp::new(self.now);
        let archived = SegmentArchived { at, segment, tally, output_bytes: 1, error_bytes: 0, losses: 0 };
        self.head.fold(id, &Event::SegmentArchived(archived), self.now);
        if self.head.book_job(id).is_some_and(Job::is_archived) {
            self.after(ARCHIVE_MS, What::Write(id));
        }
    }

    fn write(&mut self, id: JobId) {
        let output = Some(File { path: "out".to_owned(), bytes: 1 });
        let written = OutputWritten { at: Timestamp::new(self.now), output, errors: None, losses: 0 };
        self.head.fold(id, &Event::OutputWritten(written), self.now);
    }

    /// What is owed is done, and workers take what they have room for.
    fn pump(&mut self) {
        self.effects();
        while self.deliver() {}
        self.effects();
    }

    fn effects(&mut self) {
        for effect in self.head.effects(self.now) {
            match effect {
                Effect::Send(send) => {
                    self.work.push_back(((send.job, send.chunk), 1));
                    self.head.tell(Input::Sent(&send), self.now);
                }
                Effect::Withdraw(job) => {
                    self.work.retain(|((id, _), _)| *id != job);
                    self.head.tell(Input::Withdrawn(job), self.now);
                }
                Effect::Append(job, command) => {
                    self.head.tell(Input::Appended(job), self.now);
                    self.head.command(job, command, self.now);
                    self.ended(job);
                }
                Effect::DeadLetter { job, until, .. } => self.head.tell(Input::DeadLettered(job, until), self.now),
            }
        }
    }

    fn deliver(&mut self) -> bool {
        // The one that has most room is the first to ask.
        let hungry = self.engines.iter_mut().filter(|(_, engine)| engine.is_hungry());
        let Some((_, engine)) = hungry.min_by_key(|(_, engine)| engine.chunks.len()) else { return false };
        let Some((key, delivered)) = self.work.pop_front() else { return false };
        if self.head.is_owed(key.0, key.1) {
            engine.take(key, &self.head.requests(key), delivered, self.now);
        }
        true
    }

    fn ended(&mut self, id: JobId) {
        if self.head.book_job(id).is_some() {
            return;
        }
        let Some(watched) = self.watched.remove(&id) else { return };
        self.shown.remove(&id);
        self.running -= 1;
        if let Some(Promise { from, deadline, told, even, .. }) = watched.promise {
            let part = |ms: f64| ms / (deadline - from).max(1) as f64;
            let before = |at: u64| part(deadline as f64 - at as f64);
            let late = part(self.now as f64 - deadline as f64);
            let [at_risk, certain] = told.map(|at| at.map(before));
            self.promised.push(Promised { late, at_risk, even: even.map(before), certain });
        }
        for (kept, at, paused) in watched.kept {
            let wall = (self.now - at) as f64;
            let actual = wall - (watched.paused_ms - paused) as f64;
            self.kept.push(Kept { actual, wall, ..kept });
        }
        if self.running == 0 && self.submitted < self.jobs {
            let (_, gap) = self.workload.burst(&mut self.chance);
            self.after(gap, What::Submit);
        }
    }
}

fn progress(job: &Job) -> f64 {
    job.tally.requests() as f64 / job.total().max(1) as f64
}

fn naive(job: &Job, now: u64) -> f64 {
    let passed = job.started.map_or(1, |from| now.saturating_sub(from.get()).max(1)) as f64;
    job.remaining() as f64 * passed / job.tally.requests().max(1) as f64
}
