//! One run: steps by chance, then all goes well for as long as it takes, then a look at what is left.
use super::{
    archiver::Archiver,
    check::{self, Seen},
    choices::{Choices, Step},
    client::Clients,
    env::{Bug, Env, Wrong},
    intake::Intake,
    projector::Projector,
    scheduler::Scheduler,
    worker::Worker,
};

#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub seed: u64,
    /// Steps by chance.
    pub steps: usize,
    pub jobs_max: usize,
    /// Of schedulers, archivers and intakes, each.
    pub heads: usize,
    pub workers: usize,
    pub faults: bool,
    pub bug: Option<Bug>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 1, steps: 600, jobs_max: 4, heads: 2, workers: 3, faults: true, bug: None }
    }
}

/// What came of a run.
pub struct Report {
    pub wrong: Option<Wrong>,
    pub choices: Vec<Step>,
    pub trace: Vec<String>,
    /// Steps that did something.
    pub steps: u64,
    pub events: u64,
    pub jobs: u64,
    pub faults: u64,
    /// Results that came after their job's end and that nobody has removed.
    pub late: u64,
    pub digest: u64,
}

/// After the last deadline and with no fault, a job has so long to end.
const END_WITHIN_MS: u64 = 300_000;
const BURSTS: [usize; 4] = [1, 2, 5, 12];
const PASSES_MS: [u64; 8] = [1, 20, 60, 250, 1_000, 5_000, 31_000, 130_000];

struct World {
    env: Env,
    clients: Clients,
    intakes: Vec<Intake>,
    schedulers: Vec<Scheduler>,
    workers: Vec<Worker>,
    archivers: Vec<Archiver>,
    projector: Projector,
    seen: Seen,
    struck: u64,
    /// When faults ended.
    began: u64,
}

pub fn run(setup: Setup) -> Report {
    go(setup, Choices::drawn(setup.seed, setup.steps), false)
}

pub fn replay(setup: Setup, steps: Vec<Step>, traced: bool) -> Report {
    go(setup, Choices::replayed(steps), traced)
}

fn go(setup: Setup, choices: Choices, traced: bool) -> Report {
    let mut world = World::new(setup, choices, traced);
    while world.env.wrong.is_none() && world.env.choices.advance() {
        world.step(setup.jobs_max);
        if world.env.log.entries.len() % 128 == 127 {
            check::folds(&mut world.env, None);
        }
    }
    world.settle();
    let World { env, struck, .. } = world;
    Report {
        digest: check::digest(&env, setup.seed),
        wrong: env.wrong,
        choices: env.choices.into_steps(),
        trace: env.trace.unwrap_or_default(),
        steps: env.steps,
        events: env.log.entries.len() as u64,
        jobs: env.specs.len() as u64,
        faults: struck,
        late: env.late.iter().filter(|key| env.results.contains_key(key)).count() as u64,
    }
}

impl World {
    fn new(setup: Setup, choices: Choices, traced: bool) -> Self {
        let heads = 0..setup.heads;
        Self {
            env: Env::new(choices, setup.bug, setup.faults, traced),
            clients: Clients::default(),
            intakes: heads.clone().map(|_| Intake::default()).collect(),
            schedulers: heads.clone().map(|_| Scheduler::default()).collect(),
            workers: (0..setup.workers).map(|number| Worker::new(number, number % 2)).collect(),
            archivers: heads.map(|_| Archiver::default()).collect(),
            projector: Projector::default(),
            seen: Seen::default(),
            struck: 0,
            began: 0,
        }
    }

    /// One actor goes some steps on, or something befalls it.
    fn step(&mut self, jobs_max: usize) {
        self.env.now += 1;
        match self.env.pick(32) {
            0..=2 => self.pass(),
            3 => drop(self.clients.submit(&mut self.env, jobs_max)),
            4 => drop(self.clients.order(&mut self.env)),
            5..=6 => self.burst(Actor::Client),
            7..=10 => self.burst(Actor::Intake),
            11..=16 => self.burst(Actor::Scheduler),
            17..=23 => self.burst(Actor::Worker),
            24..=28 => self.burst(Actor::Archiver),
            29 => self.burst(Actor::Projector),
            30 => self.keep(),
            _ if self.env.faults => self.strike(),
            _ => self.pass(),
        }
    }

    fn pass(&mut self) {
        // Nobody stands still for so long that a delivery comes again.
        let passes = if self.env.faults { PASSES_MS.len() } else { PASSES_MS.len() - 3 };
        let ms = PASSES_MS[self.env.pick(passes)];
        self.env.now += ms;
        self.did(true);
    }

    fn keep(&mut self) {
        match self.env.pick(2) {
            0 => self.projector.save(&mut self.env),
            _ => self.projector.restart(&mut self.env),
        }
        self.did(true);
    }

    /// The same one for the whole burst.
    fn burst(&mut self, actor: Actor) {
        let which = self.env.pick(self.count(actor));
        let turns = BURSTS[self.env.pick(BURSTS.len())];
        for _ in 0..turns {
            if !self.turn(actor, which) || self.env.wrong.is_some() {
                return;
            }
        }
    }

    const fn count(&self, actor: Actor) -> usize {
        match actor {
            Actor::Client | Actor::Projector => 1,
            Actor::Intake => self.intakes.len(),
            Actor::Scheduler => self.schedulers.len(),
            Actor::Worker => self.workers.len(),
            Actor::Archiver => self.archivers.len(),
        }
    }

    fn turn(&mut self, actor: Actor, which: usize) -> bool {
        let env = &mut self.env;
        let did = match actor {
            Actor::Client => self.clients.step(env),
            Actor::Intake => self.intakes[which].step(env),
            Actor::Scheduler => self.schedulers[which].step(env),
            Actor::Worker => {
                let worker = &mut self.workers[which];
                let runs = worker.count();
                let at = env.pick(runs + 1);
                let first = at < runs && worker.step(env, at);
                first || worker.take(env) || (0..runs).any(|at| worker.step(env, at))
            }
            Actor::Archiver => self.archivers[which].step(env),
            Actor::Projector => self.projector.step(env),
        };
        self.did(did)
    }

    fn did(&mut self, did: bool) -> bool {
        self.env.steps += u64::from(did);
        self.seen.look(&mut self.env);
        did
    }

    fn strike(&mut self) {
        let env = &mut self.env;
        self.struck += 1;
        match env.pick(9) {
            0 => {
                let at = env.pick(self.workers.len());
                env.tell(|| format!("FAULT: worker {at} is killed"));
                self.workers[at].crash();
            }
            1 => {
                let at = env.pick(self.schedulers.len());
                env.tell(|| format!("FAULT: scheduler {at} is killed"));
                self.schedulers[at].crash();
            }
            2 => {
                let at = env.pick(self.archivers.len());
                env.tell(|| format!("FAULT: archiver {at} is killed"));
                self.archivers[at].crash();
            }
            3 => {
                let at = env.pick(self.intakes.len());
                env.tell(|| format!("FAULT: intake {at} is killed"));
                self.intakes[at].crash();
            }
            4 => {
                env.tell(|| "FAULT: EVENTS forgets its message ids".into());
                env.log.forget_ids();
            }
            5 => {
                env.tell(|| "FAULT: WORK forgets its message ids".into());
                env.work.forget_ids();
            }
            6 => {
                env.tell(|| "FAULT: WORK is deleted".into());
                env.work.held.clear();
                env.work.forget_ids();
            }
            other => self.tamper(other == 7),
        }
        self.did(true);
    }

    /// One message of WORK is lost or doubled.
    fn tamper(&mut self, loses: bool) {
        let env = &mut self.env;
        if env.work.held.is_empty() {
            return;
        }
        let at = env.pick(env.work.held.len());
        let work = env.work.held[at].clone();
        env.tell(|| {
            format!("FAULT: WORK {} job {} chunk {}", if loses { "loses" } else { "doubles" }, work.job, work.chunk)
        });
        if loses {
            env.work.ack(work.seq);
        } else {
            env.work.push(super::queue::Work { delivered: 0, hidden: 0, ..work });
        }
    }

    /// Nothing fails any more but poison. Every job must come to its end, and leave nothing.
    fn settle(&mut self) {
        let faults = std::mem::replace(&mut self.env.faults, false);
        self.began = self.env.now;
        self.env.tell(|| "from here on all goes well".into());
        while self.env.wrong.is_none() && (self.round() || self.wait()) {}
        if self.env.wrong.is_none() {
            self.last_look(faults);
        }
    }

    fn last_look(&mut self, faults: bool) {
        check::folds(&mut self.env, Some(&self.projector));
        check::rest(&mut self.env);
        if !faults {
            check::neighbours(&mut self.env);
        }
    }

    fn round(&mut self) -> bool {
        let mut did = false;
        for actor in Actor::ALL {
            for which in 0..self.count(actor) {
                for _ in 0..64 {
                    if !self.turn(actor, which) {
                        break;
                    }
                    did = true;
                }
            }
        }
        did
    }

    /// Lets time pass until something is due. False: nothing is, or all should have ended.
    fn wait(&mut self) -> bool {
        let env = &self.env;
        let deadlines = env.log.heads.values().map(|head| head.folded.job.deadline.get());
        let limit = deadlines.max().unwrap_or(0).max(self.began) + END_WITHIN_MS;
        let hidden = env.work.held.iter().map(|work| work.hidden);
        let hidden = hidden.chain(env.submits.iter().map(|submit| submit.hidden));
        let ends = self.workers.iter().flat_map(Worker::ends);
        let due = self.schedulers.iter().filter_map(|scheduler| scheduler.due(env.now));
        let again = self.archivers.iter().filter_map(|archiver| archiver.due(env.now));
        let next = hidden.chain(ends).chain(due).chain(again).filter(|at| *at > env.now && *at < limit).min();
        if let Some(next) = next {
            self.env.now = next;
        }
        next.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Client,
    Intake,
    Scheduler,
    Worker,
    Archiver,
    Projector,
}

impl Actor {
    const ALL: [Self; 6] = [Self::Client, Self::Intake, Self::Scheduler, Self::Worker, Self::Archiver, Self::Projector];
}
