//! One run: steps by chance, then all goes well for as long as it takes, then a look at what is left.
use super::{
    archiver::Archiver,
    check::{self, Seen},
    choices::{Choices, Step},
    client::Clients,
    env::{Bug, Env, Rules, Wrong},
    intake::Intake,
    projector::Projector,
    scheduler::Scheduler,
    spec::POOLS,
    worker::{Temper, Worker},
};
use domain::command::Command;

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
    /// Whether workers are bad at times: where there are no other faults, those are the only ones beside poison.
    pub bad_workers: bool,
    /// WORK takes nothing of the first job, ever.
    pub refused: bool,
    /// In the end the store takes nothing any more, and all jobs are cancelled.
    pub store_lost: bool,
    /// Many requests a job, under the default policies, on engines that fail of poison alone: whatever befalls the rest,
    /// no good request is given up.
    pub judged: bool,
    pub bug: Option<Bug>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 1, steps: 600, jobs_max: 4, heads: 2, workers: 3, faults: true, ..Self::calm() }
    }
}

impl Setup {
    const fn calm() -> Self {
        Self {
            seed: 1,
            steps: 600,
            jobs_max: 4,
            heads: 2,
            workers: 3,
            faults: false,
            bad_workers: false,
            refused: false,
            store_lost: false,
            judged: false,
            bug: None,
        }
    }

    /// The world in which a mistake shows.
    pub const fn planted(bug: Bug) -> Self {
        let setup = Self { bug: Some(bug), ..Self::calm() };
        match bug {
            Bug::NoControl | Bug::NoWitnesses => Self { bad_workers: true, ..setup },
            Bug::RefusalStopsAll => Self { refused: true, ..setup },
            Bug::NoAbandon => Self { store_lost: true, ..setup },
            _ => Self { faults: true, ..setup },
        }
    }

    /// Every fault, and large jobs.
    pub fn judged(seed: u64) -> Self {
        Self { seed, steps: 16_000, jobs_max: 8, workers: 5, bad_workers: true, judged: true, ..Self::default() }
    }

    const fn rules(self) -> Rules {
        Rules { faults: self.faults, judged: self.judged }
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
    #[allow(dead_code)] // by the test
    pub requests: Requests,
    pub digest: u64,
}

/// What became of the requests of jobs that ended.
#[derive(Debug, Default, Clone, Copy)]
#[allow(dead_code)] // by the test
pub struct Requests {
    pub all: u64,
    pub answered: u64,
    /// Among those, before the faults ended.
    pub answered_under_faults: u64,
    /// Poison.
    pub given_up: u64,
    /// Good ones among those.
    pub good_given_up: u64,
    /// Left by a cancel, or by a deadline that a client moved or let pass.
    pub unanswered: u64,
}

impl Requests {
    #[allow(dead_code)] // by the example
    pub const fn add(&mut self, other: &Self) {
        self.all += other.all;
        self.answered += other.answered;
        self.answered_under_faults += other.answered_under_faults;
        self.given_up += other.given_up;
        self.good_given_up += other.good_given_up;
        self.unanswered += other.unanswered;
    }
}

/// After the last deadline and with no fault, a job has so long to end.
const END_WITHIN_MS: u64 = 300_000;
const BURSTS: [usize; 4] = [1, 2, 5, 12];
const PASSES_MS: [u64; 8] = [1, 20, 60, 250, 1_000, 5_000, 31_000, 130_000];

pub(super) struct World {
    setup: Setup,
    pub env: Env,
    pub clients: Clients,
    pub intakes: Vec<Intake>,
    pub schedulers: Vec<Scheduler>,
    pub workers: Vec<Worker>,
    pub archivers: Vec<Archiver>,
    pub projector: Projector,
    pub seen: Seen,
    pub struck: u64,
    /// When faults ended.
    began: u64,
    answered: u64,
    /// The clients gave up what cannot go on.
    given_up: bool,
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
        world.step();
        if world.env.log.entries.len() % 128 == 127 {
            check::folds(&mut world.env, None);
        }
    }
    world.settle();
    let World { env, struck, answered, .. } = world;
    Report {
        requests: Requests { answered_under_faults: answered, ..check::requests(&env) },
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
            env: Env::new(choices, setup.bug, setup.rules(), traced),
            setup,
            clients: Clients::default(),
            intakes: heads.clone().map(|_| Intake::default()).collect(),
            schedulers: heads.clone().map(|_| Scheduler::new([true; POOLS.len()])).collect(),
            workers: (0..setup.workers).map(|number| Worker::new(number, number % 2)).collect(),
            archivers: heads.map(|_| Archiver::default()).collect(),
            projector: Projector::default(),
            seen: Seen::default(),
            struck: 0,
            began: 0,
            given_up: false,
            answered: 0,
        }
    }

    /// One actor goes some steps on, or something befalls it.
    fn step(&mut self) {
        self.env.now += 1;
        match self.env.pick(32) {
            0..=2 => self.pass(),
            3 => self.submit(),
            4 => drop(self.clients.command(&mut self.env)),
            5..=6 => self.burst(Actor::Client),
            7..=10 => self.burst(Actor::Intake),
            11..=16 => self.burst(Actor::Scheduler),
            17..=23 => self.burst(Actor::Worker),
            24..=28 => self.burst(Actor::Archiver),
            29 => self.burst(Actor::Projector),
            30 => self.keep(),
            // A large job needs time between them.
            _ if self.setup.judged && self.env.pick(4) > 0 => self.burst(Actor::Worker),
            _ if self.env.faults => self.strike(),
            _ if self.setup.bad_workers => {
                self.struck += 1;
                self.sour();
                self.did(true);
            }
            _ => self.pass(),
        }
    }

    fn submit(&mut self) {
        self.clients.submit(&mut self.env, self.setup.jobs_max);
        if self.setup.refused {
            self.env.refused.insert(0);
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
        env.crew.clear();
        let working = self.workers.iter().filter(|worker| worker.works());
        env.crew.extend(working.map(|worker| (worker.number, worker.pool)));
        env.deaths.clear();
        env.deaths.extend(self.workers.iter().map(|worker| (worker.number, worker.pool, worker.deaths())));
        let did = match actor {
            Actor::Client => self.clients.step(env),
            Actor::Intake => self.intakes[which].step(env),
            Actor::Scheduler => self.schedulers[which].step(env),
            Actor::Worker => {
                let worker = &mut self.workers[which];
                let runs = worker.count();
                let at = env.pick(runs + 1);
                let first = at < runs && worker.step(env, at);
                worker.probe(env) || first || worker.take(env) || (0..runs).any(|at| worker.step(env, at))
            }
            Actor::Archiver => self.archivers[which].step(env),
            Actor::Projector => self.projector.step(env),
        };
        self.did(did)
    }

    pub fn did(&mut self, did: bool) -> bool {
        self.env.steps += u64::from(did);
        self.seen.look(&mut self.env);
        did
    }

    /// Nothing fails any more but poison. Every job must come to its end, and leave nothing.
    fn settle(&mut self) {
        let faults = std::mem::replace(&mut self.env.faults, false);
        self.began = self.env.now;
        self.answered = check::requests(&self.env).answered;
        self.workers.iter_mut().for_each(|worker| worker.temper = Temper::Good);
        self.env.tell(|| "from here on all goes well".into());
        self.mend();
        while self.env.wrong.is_none() && (self.round() || self.wait() || self.give_up()) {}
        if self.env.wrong.is_none() {
            self.last_look(faults);
        }
    }

    fn mend(&mut self) {
        if !self.setup.refused {
            self.env.refused.clear();
        }
        self.env.store_until = if self.setup.store_lost { u64::MAX } else { 0 };
        if self.setup.store_lost {
            self.give_up();
        }
        if self.setup.judged {
            let at = self.env.at();
            self.clients.want(&mut self.env, &Command::Resume { at });
        }
        if self.env.pools.contains(&false) {
            self.env.pools = [true; POOLS.len()];
            self.restart_schedulers();
        }
    }

    /// Where the log lost its end after a job's files were put together, that job cannot be told from its log any more:
    /// a client cancels what does not go on, once.
    fn give_up(&mut self) -> bool {
        let may = self.setup.store_lost || self.env.is_cut;
        if !may || std::mem::replace(&mut self.given_up, true) {
            return false;
        }
        self.began = self.env.now;
        let at = self.env.at();
        self.clients.want(&mut self.env, &Command::Cancel { at })
    }

    fn last_look(&mut self, faults: bool) {
        check::folds(&mut self.env, Some(&self.projector));
        check::rest(&mut self.env);
        if !faults || self.setup.judged {
            check::neighbours(&mut self.env);
            check::in_time(&mut self.env);
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
