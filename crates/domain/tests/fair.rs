//! Who is served how much: the scheduler before a queue that is worked off in order, with heads that come and go.
#![allow(clippy::unwrap_used)]
use domain::{
    ChunkId, Event, Job, JobId, Pool, Tenant, Timestamp,
    event::*,
    schedule::{Effect, Folded, Held, Input as Told, Jobs, Moment, Now, SMALL, Scheduler, Send, Weights},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const HOUR: u64 = 3_600_000;
/// The pool answers so many requests a second.
const SPEED: u64 = 1_000;
/// Events that a head that begins is told of again.
const RECALLED: usize = 50;

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

struct World {
    jobs: All,
    core: Scheduler,
    weights: Weights,
    work: VecDeque<Send>,
    log: Vec<(JobId, Event, Timestamp)>,
    ms: u64,
    served: BTreeMap<JobId, u64>,
}

fn pool() -> Pool {
    "tiny".parse().unwrap()
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn core(weights: &Weights) -> Scheduler {
    Scheduler::new(vec![pool()], 0.2).weighing(weights.clone())
}

impl World {
    fn new(weights: &[(&str, f64)]) -> Self {
        let weights = Weights::new(weights.iter().map(|(name, weight)| (tenant(name), *weight)));
        let (jobs, core) = (All::default(), core(&weights));
        Self { jobs, core, weights, work: VecDeque::new(), log: vec![], ms: 1_000, served: BTreeMap::new() }
    }

    fn now(&self) -> Now {
        Now { at: Timestamp::new(self.ms), moment: Moment::new(self.ms) }
    }

    fn fold(&mut self, id: JobId, event: Event) {
        match self.jobs.0.get_mut(&id) {
            Some(job) => job.evolve(&event),
            None => self.jobs.0.extend(Job::begin(id, &event).map(|job| (id, job))),
        }
        let stored = Timestamp::new(self.ms);
        let folded = Folded { job: id, event: &event, seq: self.log.len() as u64, stored, trace: None };
        self.core.input(&self.jobs, Told::Folded(folded), self.now());
        self.log.push((id, event, stored));
    }

    fn submit(&mut self, name: &str, priority: Priority, window_ms: u64, chunks: &[u32]) -> JobId {
        let (id, at) = (JobId::keyed("fair", &self.log.len().to_string()), Timestamp::new(self.ms));
        let submitted = Submitted { priority, tenant: tenant(name), ..Submitted::new(at, Input::Inline, window_ms) };
        self.fold(id, Event::JobSubmitted(submitted));
        let requests = chunks.iter().sum();
        let starts = chunks.iter().scan(0, |from, n| Some(std::mem::replace(from, *from + n)));
        let plans =
            starts.zip(chunks).map(|(from, n)| ChunkPlan { pool: 0, runs: vec![(from, *n)], bytes: 9, load: None });
        let (pools, chunks) = (vec![pool()], plans.collect());
        let plan = SegmentPlan { segment: 0, offset: 0, bytes: 9, first: 0, requests, pools, chunks };
        self.fold(id, Event::SegmentPlanned(plan));
        let (input, requests) = ("in".to_owned(), requests.into());
        self.fold(id, Event::JobPlanned(Planned { at, input, requests, segments: 1, bytes: 9, warnings: vec![] }));
        id
    }

    /// Sends what is to be sent, and expires who is late.
    fn send(&mut self) {
        for effect in self.core.outstanding(&self.jobs, self.now()) {
            match effect {
                Effect::Send(send) => {
                    self.core.input(&self.jobs, Told::Sent(&send), self.now());
                    self.work.push_back(send);
                }
                Effect::Append(id, _) => {
                    let at = Timestamp::new(self.ms);
                    self.fold(id, Event::JobClosing(Closing { at, cause: Cause::Expired, late: false, reason: None }));
                    self.work.retain(|send| send.job != id);
                }
                Effect::Withdraw(_) | Effect::DeadLetter { .. } => {}
            }
        }
    }

    /// The next chunk is answered.
    fn work(&mut self) -> Option<JobId> {
        self.send();
        let Send { job, chunk, requests, .. } = self.work.pop_front()?;
        let started = Timestamp::new(self.ms);
        self.ms += u64::from(requests) * 1_000 / SPEED;
        let (at, worker) = (Timestamp::new(self.ms), "w".to_owned());
        let tally = Tally { completed: requests.into(), ..Tally::default() };
        *self.served.entry(job).or_default() += u64::from(requests);
        self.fold(job, Event::ChunkDone(ChunkDone { at, chunk, attempt: 1, delivered: 1, worker, started, tally }));
        Some(job)
    }

    fn work_off(&mut self, requests: u64) {
        let until = self.all() + requests;
        while self.all() < until && self.work().is_some() {}
    }

    fn all(&self) -> u64 {
        self.served.values().sum()
    }

    /// Another head takes over: it knows the fold, the end of the log, and what WORK holds.
    fn restart(&mut self) {
        self.core = core(&self.weights);
        self.core.resume(&self.jobs);
        let from = self.log.len().saturating_sub(RECALLED);
        for ((job, event, stored), seq) in self.log[from..].iter().zip(0..) {
            let folded = Folded { job: *job, event, seq, stored: *stored, trace: None };
            self.core.input(&self.jobs, Told::Folded(folded), self.now());
        }
        let chunks = self.work.iter().map(|send| ((send.job, send.chunk), send.pool.clone())).collect();
        self.core.reconcile(&self.jobs, &Held { chunks, at: Timestamp::new(self.ms), looked: Moment::new(self.ms) });
    }

    fn share(&self, job: JobId) -> f64 {
        self.served.get(&job).copied().unwrap_or(0) as f64 / self.all() as f64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes of the chunks, and however often the head is another.
    #[test]
    fn tenants_share_by_weight(
        weights in prop::collection::vec(prop::sample::select(vec![0.5, 1.0, 2.0, 4.0]), 2..5),
        sizes in prop::collection::vec(prop::collection::vec(1_u32..64, 2_000), 4),
        restarts in prop::sample::select(vec![7_u32, 100, u32::MAX]),
    ) {
        let names = ["a", "b", "c", "d"];
        let weights: Vec<_> = names.into_iter().zip(weights).collect();
        let mut world = World::new(&weights);
        let jobs: Vec<_> = weights.iter().zip(&sizes).map(|((name, weight), sizes)| {
            (world.submit(name, Priority::Normal, 24 * HOUR, sizes), *weight)
        }).collect();
        let mut steps = 0_u32;
        while world.all() < 30_000 {
            world.work();
            steps += 1;
            if steps.is_multiple_of(restarts) {
                world.restart();
            }
        }
        let sum: f64 = jobs.iter().map(|(_, weight)| weight).sum();
        for (job, weight) in jobs {
            let (share, due) = (world.share(job), weight / sum);
            prop_assert!((share / due - 1.0).abs() < 0.1, "{share} of {due}, steps {steps}");
        }
    }

    /// Of every class and tenant, whoever else has work; of jobs in one queue the first.
    #[test]
    fn nobody_starves(seed in prop::collection::vec((0_usize..3, 0_usize..3, prop::bool::ANY), 2..6)) {
        let mut world = World::new(&[("b", 3.0)]);
        let jobs: Vec<_> = seed.iter().map(|(class, name, is_late)| {
            let class = [Priority::High, Priority::Normal, Priority::Low][*class];
            let window = if *is_late { 100_000 } else { 48 * HOUR };
            world.submit(["a", "b", "c"][*name], class, window, &[50; 3_000])
        }).collect();
        world.work_off(60_000);
        for (n, job) in jobs.iter().enumerate() {
            let alike = (0..seed.len()).any(|m| m != n && seed[m].0 == seed[n].0 && seed[m].1 == seed[n].1);
            prop_assert!(alike || world.share(*job) > 0.0, "{n} of {seed:?}: {:?}", world.served);
        }
    }
}

#[test]
fn what_an_idle_tenant_leaves_is_the_others_and_is_not_owed_to_it() {
    let mut world = World::new(&[]);
    let first = world.submit("a", Priority::Normal, 24 * HOUR, &[10; 5_000]);
    world.work_off(10_000);
    assert!(world.share(first) == 1.0);
    let second = world.submit("b", Priority::Normal, 24 * HOUR, &[10; 5_000]);
    world.served.clear();
    world.work_off(4_000);
    let share = world.share(second);
    assert!((0.4..0.55).contains(&share), "{share}");
}

#[test]
fn an_urgent_job_is_next_and_leaves_a_small_share() {
    let mut world = World::new(&[]);
    let large = world.submit("a", Priority::Normal, 24 * HOUR, &[10; 20_000]);
    world.work_off(2_000);
    let urgent = world.submit("b", Priority::High, 24 * HOUR, &[10; 5_000]);
    let before = world.work.len();
    for _ in 0..=before {
        world.work();
    }
    assert_eq!(world.served.get(&urgent), Some(&10), "what was sent before it, and then its own");
    world.served.clear();
    world.work_off(40_000);
    let share = world.share(large);
    assert!((0.5..2.0).contains(&(share * SMALL)), "{share}");
}

/// 100 s of work that have 60 s, and 40 s of work that have 70 s: by deadline alone, both would be late.
#[test]
fn who_can_be_in_time_is_not_dragged_down() {
    let mut world = World::new(&[]);
    // So that the pool's speed is known.
    world.submit("a", Priority::Normal, 24 * HOUR, &[10; 2_000]);
    world.work_off(20_000);
    let hopeless = world.submit("a", Priority::Normal, 60_000, &[10; 10_000]);
    let good = world.submit("a", Priority::Normal, 70_000, &[10; 4_000]);
    world.served.clear();
    let began = world.ms;
    while world.served.get(&good).is_none_or(|served| *served < 40_000) && world.work().is_some() {}
    assert_eq!(world.served[&good], 40_000);
    assert!(world.ms - began < 50_000, "{} ms", world.ms - began);
    assert!(world.served[&hopeless] > 500, "it gets a little all the same");
    assert!(world.jobs.0[&hopeless].chunk(ChunkId::new(0, 0)).is_some());
}

/// Told the whole log, another head sends the same.
#[test]
fn a_head_that_folds_the_log_goes_on_alike() {
    let mut world = World::new(&[("b", 2.0)]);
    for (name, class) in [("a", Priority::Normal), ("b", Priority::Normal), ("b", Priority::Low), ("c", Priority::High)]
    {
        world.submit(name, class, 24 * HOUR, &[7; 600]);
    }
    world.work_off(700);
    let mut sent = Vec::new();
    for restarts in [false, true] {
        let mut other = World::new(&[("b", 2.0)]);
        for (job, event, at) in world.log.clone() {
            other.ms = at.get();
            other.fold(job, event);
        }
        other.work.clone_from(&world.work);
        if restarts {
            other.restart();
        } else {
            let chunks = other.work.iter().map(|send| ((send.job, send.chunk), send.pool.clone())).collect();
            let held = Held { chunks, at: Timestamp::new(other.ms), looked: Moment::new(other.ms) };
            other.core.reconcile(&other.jobs, &held);
        }
        other.served.clear();
        other.work_off(2_000);
        sent.push(other.served.clone());
    }
    world.served.clear();
    world.work_off(2_000);
    for other in sent {
        for (job, served) in &world.served {
            let off = other.get(job).copied().unwrap_or(0).abs_diff(*served);
            assert!(off <= 21, "{other:?} and not {:?}", world.served);
        }
    }
}
