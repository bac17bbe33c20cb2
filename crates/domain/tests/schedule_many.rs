//! The scheduler keeps account of its jobs by what it is told of them one by one. Its decisions must be those of a look
//! at all of them.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Pool, Timestamp,
    event::*,
    job::Phase,
    schedule::{self, Crew, Effect, Folded, Held, Input as Told, Jobs, Moment, Now, Scheduler, order},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const POOLS: [&str; 2] = ["one", "two"];
const STEPS: usize = 300;
const WINDOW_MS: u64 = 2_000;

type Key = (JobId, ChunkId);

#[derive(Default)]
struct All(BTreeMap<JobId, Job>);

impl Jobs for All {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.0.get(&id)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }
}

struct Random(u64);

impl Random {
    fn pick(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn pool(number: u64) -> Pool {
    POOLS[number as usize].parse().unwrap()
}

struct Case {
    random: Random,
    jobs: All,
    core: Scheduler,
    out: BTreeSet<(JobId, ChunkId)>,
    ms: u64,
    seq: u64,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut core = Scheduler::new((0..2).map(pool).collect(), 5.0);
        let (jobs, out) = (All::default(), BTreeSet::new());
        // Room for all: what is to be sent is what is owed and not out.
        let crew = Crew { workers: 1_000, slots: 0 };
        let crews = HashMap::from([(pool(0), crew), (pool(1), crew)]);
        core.input(&jobs, Told::Crews(&crews), Now { at: Timestamp::new(0), moment: Moment::new(0) });
        Self { random: Random(seed), jobs, core, out, ms: 0, seq: 0 }
    }

    fn now(&self) -> Now {
        Now { at: Timestamp::new(self.ms), moment: Moment::new(self.ms) }
    }

    fn fold(&mut self, id: JobId, event: &Event) {
        self.seq += 1;
        match self.jobs.0.get_mut(&id) {
            Some(job) => job.evolve(event),
            None => self.jobs.0.extend(Job::begin(id, event).map(|job| (id, job))),
        }
        if self.jobs.0.get(&id).is_some_and(Job::is_terminal) {
            self.jobs.0.remove(&id);
        }
        match event {
            Event::ChunkDone(done) => drop(self.out.remove(&(id, done.chunk))),
            Event::ChunkFailed(failed) => drop(self.out.remove(&(id, failed.chunk))),
            Event::JobPaused(_) | Event::JobClosing(_) | Event::JobEnded(_) => self.out.retain(|(job, _)| *job != id),
            _ => {}
        }
        let folded = Folded { job: id, event, seq: self.seq, stored: Timestamp::new(self.ms), trace: None };
        self.core.input(&self.jobs, Told::Folded(folded), self.now());
    }

    fn begin(&mut self) {
        let id = JobId::keyed("default", &self.seq.to_string());
        let at = Timestamp::new(self.ms);
        let submitted = Submitted {
            fingerprint: "f".into(),
            priority: [Priority::Low, Priority::Normal, Priority::High][self.random.pick(3) as usize],
            ..Submitted::new(at, Input::Inline, WINDOW_MS + self.random.pick(WINDOW_MS))
        };
        self.fold(id, &Event::JobSubmitted(submitted));
        let (segments, pool) = (1 + self.random.pick(2) as u32, pool(self.random.pick(2)));
        for segment in 0..segments {
            let count = 1 + self.random.pick(3) as u32;
            let chunks = (0..count).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10, load: None }).collect();
            let (pools, first) = (vec![pool.clone()], 0);
            let plan = SegmentPlan { segment, offset: 0, bytes: 20, first, requests: count, pools, chunks };
            self.fold(id, &Event::SegmentPlanned(plan));
        }
        let requests = self.jobs.0[&id].open.values().map(|segment| u64::from(segment.plan.requests)).sum();
        let planned = Planned { at, input: "in".into(), requests, segments, bytes: 40, warnings: Vec::new() };
        self.fold(id, &Event::JobPlanned(planned));
    }

    fn step(&mut self) {
        self.ms += self.random.pick(20);
        let at = Timestamp::new(self.ms);
        let any = self.random.pick(self.jobs.0.len().max(1) as u64) as usize;
        let job = self.jobs.0.values().nth(any).map(|job| (job.id, job.open.values().next().cloned()));
        let Some((id, segment)) = job.filter(|_| self.random.pick(4) > 0) else { return self.begin() };
        let chunk = segment.as_ref().map(|segment| {
            let index = self.random.pick(segment.chunks.len() as u64) as u32;
            ChunkId::new(segment.plan.segment, index)
        });
        let event = match (self.random.pick(11), chunk) {
            (0, _) => Event::JobPaused(At { at }),
            (1, _) => Event::JobResumed(At { at }),
            (2, _) => Event::PriorityChanged(PriorityChanged { at, priority: Priority::High }),
            (3, _) => Event::DeadlineMoved(DeadlineMoved { at, deadline: Timestamp::new(self.ms + WINDOW_MS) }),
            (4, _) => Event::JobClosing(Closing { at, cause: Cause::Cancelled, late: false, reason: None }),
            (5, Some(chunk)) => {
                let (class, reason) = (FaultClass::Internal, "no".to_owned());
                Event::ChunkFailed(ChunkFailed {
                    at,
                    chunk,
                    attempt: 1,
                    worker: "w".into(),
                    class,
                    reason,
                    trust: None,
                    others: 0,
                })
            }
            (6, _) => return self.lose(),
            (7, _) => Event::OutputWritten(OutputWritten { at, output: None, errors: None, losses: 0 }),
            (_, Some(chunk)) if segment.is_some_and(|segment| segment.left > 0) => {
                let tally = Tally { completed: 1, ..Tally::default() };
                let (attempt, delivered, started) = (1, 1, at);
                Event::ChunkDone(ChunkDone { at, chunk, attempt, delivered, worker: "w".into(), started, tally })
            }
            (_, Some(chunk)) => {
                let (segment, tally) = (chunk.segment, Tally { completed: 1, ..Tally::default() });
                Event::SegmentArchived(SegmentArchived {
                    at,
                    segment,
                    tally,
                    output_bytes: 9,
                    error_bytes: 0,
                    losses: 0,
                })
            }
            (_, None) => Event::JobEnded(Ended::of(at, Outcome::Completed)),
        };
        self.fold(id, &event);
    }

    /// WORK loses all but every third chunk.
    fn lose(&mut self) {
        self.ms += 1;
        let kept: BTreeSet<_> = self.out.iter().step_by(3).copied().collect();
        let of = |key: &(JobId, ChunkId)| Some((*key, self.pool_of(*key)?));
        let chunks = kept.iter().filter_map(of).collect();
        let held = Held { chunks, at: Timestamp::new(self.ms), looked: Moment::new(self.ms) };
        self.core.reconcile(&self.jobs, &held);
        self.out = kept;
    }

    fn pool_of(&self, (job, chunk): (JobId, ChunkId)) -> Option<Pool> {
        self.jobs.0.get(&job)?.open.get(&chunk.segment)?.plan.pools.first().cloned()
    }

    /// What a look at all jobs has to be sent, by class, the most urgent first.
    fn owed(&self, now: Timestamp) -> Vec<(JobId, ChunkId)> {
        let jobs = order(self.jobs.jobs());
        let sendable = |n: u64| {
            let pool = pool(n);
            let chunks = |job: &&Job| job.sendable(&pool, now).map(|(chunk, _)| (job.id, chunk)).collect::<Vec<_>>();
            jobs.iter().flat_map(chunks).collect::<Vec<_>>()
        };
        (0..2).flat_map(sendable).filter(|key| !self.out.contains(key)).collect()
    }

    /// Those of a pool and class in the order in which they come: classes take turns.
    fn by_class(&self, chunks: &[Key]) -> BTreeMap<(Option<Pool>, Priority), Vec<Key>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for key in chunks {
            all.entry((self.pool_of(*key), self.jobs.0[&key.0].priority)).or_default().push(*key);
        }
        all
    }

    fn compare(&mut self) {
        let (effects, now) = (self.core.outstanding(&self.jobs, self.now()), self.now());
        let owed = self.owed(now.at);
        let is_due = |job: &&Job| {
            let is_open = matches!(job.phase, Phase::Validating | Phase::Running);
            let is_late = is_open && now.at >= job.deadline && (job.remaining() > 0 || job.planned.is_none());
            is_late || (job.written.is_some() && job.is_archived())
        };
        let due: BTreeSet<_> = self.jobs.jobs().filter(is_due).map(|job| job.id).collect();
        let (mut sent, mut appended) = (Vec::new(), BTreeSet::new());
        for effect in &effects {
            match effect {
                Effect::Send(send) => sent.push((send.job, send.chunk)),
                Effect::Append(job, _) => drop(appended.insert(*job)),
                Effect::Withdraw(job) => self.core.input(&self.jobs, Told::Withdrawn(*job), now),
                Effect::DeadLetter { job, until, .. } => {
                    self.core.input(&self.jobs, Told::DeadLettered(*job, *until), now);
                }
            }
        }
        assert_eq!(appended, due);
        let set = |of: &[(JobId, ChunkId)]| of.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!((set(&sent), sent.len()), (set(&owed), owed.len()));
        let (sent, owed) = (self.by_class(&sent), self.by_class(&owed));
        sent.iter().for_each(|(class, sent)| assert!(is_merge(sent, &owed[class]), "{class:?}"));
        for effect in effects {
            if let Effect::Send(send) = effect
                && self.random.pick(3) > 0
            {
                self.core.input(&self.jobs, schedule::Input::Sent(&send), now);
                self.out.insert((send.job, send.chunk));
            }
        }
    }
}

/// Whether it is two parts of the order, of which each keeps it: what can be in time, and what cannot.
fn is_merge(sent: &[(JobId, ChunkId)], order: &[(JobId, ChunkId)]) -> bool {
    let (mut ahead, mut behind) = (None, None);
    sent.iter().all(|key| {
        let place = order.iter().position(|other| other == key);
        let part = if place > ahead { &mut ahead } else { &mut behind };
        let fits = place > *part;
        *part = place;
        fits
    })
}

#[test]
fn decisions_are_those_of_a_look_at_all_jobs() {
    for seed in 0..8 {
        let mut case = Case::new(seed);
        for _ in 0..STEPS {
            case.step();
            case.compare();
        }
        assert!(case.seq > 150, "seed {seed} did nothing");
    }
}
