//! A worker: look, run, store the result, tell, ack, in that order. It may crash between any two of these.
use super::{
    answers::{Answers, Line, Said},
    env::{Bug, Env, Link, Number},
    log::{self, Id, millis},
    queue::{ACK_WAIT_MS, Work},
    spec::Nature,
};
use domain::{
    ChunkId, Event,
    event::{ChunkDone, ChunkFailed, FaultClass, Tally, Trust, Usage},
    health::{ASKS, Pauses, Record, Seen, Takes},
    life::{DEATHS_MAX, Life, Process},
    limits::DELIVERIES_MAX,
    schedule::{Moment, Now},
};

/// A look at the job that is older is taken again before its chunk begins.
const LOOK_AGE_MAX: u64 = 50;
const PLACES: usize = 2;
const FALLEN_MAX: usize = 32;

const PAUSES: Pauses = Pauses { first_ms: 1_000, longest_ms: 60_000 };

/// What is wrong with it, whatever it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    Good,
    /// It fails with everything, at once.
    Broken,
    /// It fails with every second request, by chance.
    Flapping,
    /// It takes chunks, and fails with them after a long time.
    BlackHole,
    /// Its process ends with whatever it is asked, and is started again.
    Dying,
    /// It passes its controls, and fails with every real request, at once.
    Sour,
    /// It passes its controls, and its process ends in the middle of every chunk.
    Mortal,
}

impl Temper {
    pub const ALL: [Self; 7] =
        [Self::Good, Self::Broken, Self::Flapping, Self::BlackHole, Self::Dying, Self::Sour, Self::Mortal];

    /// Whether its controls say nothing of it.
    pub const fn is_hidden(self) -> bool {
        matches!(self, Self::Sour | Self::Mortal)
    }

    /// Whether what every engine can answer fails there.
    fn fails(self, env: &mut Env) -> bool {
        match self {
            Self::Good | Self::Sour | Self::Mortal => false,
            Self::Broken | Self::BlackHole | Self::Dying => true,
            Self::Flapping => env.pick(2) == 1,
        }
    }
}

pub struct Worker {
    pub number: usize,
    pub pool: usize,
    pub temper: Temper,
    /// Its engine was asked something before it took anything.
    asked: bool,
    record: Record,
    /// What is known of those processes before it.
    life: Life,
    done: u32,
    /// What failed there with nothing beside it, since a chunk was done.
    fallen: Vec<(Number, ChunkId)>,
    runs: Vec<Run>,
}

struct Run {
    work: Work,
    looked: u64,
    stage: Stage,
}

enum Stage {
    Look,
    Find,
    Place,
    Running { started: u64, until: u64, run: u32 },
    Store(Answers),
    Taken(Answers),
    Tell(Answers),
    Fail(FaultClass),
    Ack,
}

enum Next {
    To(Stage),
    /// Nothing can be done now.
    Wait(Stage),
    /// Acknowledged or handed back.
    Over,
    EngineDied,
    Killed,
}

impl Worker {
    pub fn new(number: usize, pool: usize) -> Self {
        let record = Record::new(PAUSES, millis(0));
        let (asked, life, done) = (false, Life::default().next(process(number), false), 0);
        Self { number, pool, temper: Temper::Good, asked, record, life, done, fallen: Vec::new(), runs: Vec::new() }
    }

    /// Its processes that died at work, one after the other.
    pub const fn deaths(&self) -> u32 {
        self.life.deaths
    }

    /// Another process takes its place on the same machine.
    pub fn crash(&mut self) {
        let life = std::mem::take(&mut self.life).next(process(self.number), false);
        *self = Self { temper: self.temper, life, ..Self::new(self.number, self.pool) };
    }

    /// Begins as those before it ended.
    fn inherit(&mut self, env: &Env) {
        let (is_last, now) = (env.others(self.number, self.pool) == 0, Now { at: env.at(), moment: env.moment() });
        if self.life.deaths >= DEATHS_MAX {
            self.record.died(self.life.deaths, is_last, now);
        }
    }

    /// When one of its runs ends, or its engine is to be asked again.
    pub fn ends(&self) -> impl Iterator<Item = u64> + '_ {
        let runs = self.runs.iter().filter_map(|run| match &run.stage {
            Stage::Running { until, .. } => Some(*until),
            _ => None,
        });
        runs.chain(self.record.probe().map(Moment::get))
    }

    pub const fn works(&self) -> bool {
        self.record.state().word.works()
    }

    /// Asks its engine again, where that is due.
    pub fn probe(&mut self, env: &mut Env) -> bool {
        self.look_around(env);
        let is_due = self.record.probe().is_some_and(|at| at <= env.moment());
        if is_due {
            self.control(env);
        }
        is_due
    }

    /// False: its process ended with it.
    fn control(&mut self, env: &mut Env) -> bool {
        if self.temper == Temper::Dying {
            env.tell(|| format!("worker {} dies", self.number));
            self.crash();
            return false;
        }
        let failed = (0..ASKS).any(|_| self.temper.fails(env));
        self.note(env, if failed { Seen::Failed("no".into()) } else { Seen::Passed });
        true
    }

    /// Whether others have answered what failed here.
    fn look_around(&mut self, env: &mut Env) {
        let done = |key: &(Number, ChunkId)| env.results.get(key).map(|answers| answers.worker);
        let found: Vec<_> = self.fallen.iter().filter_map(|key| Some((*key, done(key)?))).collect();
        for (key, worker) in found {
            self.fallen.retain(|other| *other != key);
            if worker != self.number {
                self.note(env, Seen::Refuted);
            }
        }
        if self.record.hands_back() {
            self.fallen.clear();
        }
    }

    /// A chunk failed here though the control passed. Gives the workers that could have had it, where that speaks against it.
    fn fell(&mut self, env: &mut Env, at: usize) -> u32 {
        let (others, is_trusted) = (env.others(self.number, self.pool), self.record.trust() == Trust::Trusted);
        if self.record.hands_back() || others == 0 {
            return 0;
        }
        let Work { job, chunk, alone, .. } = self.runs[at].work;
        let is_single = self.record.takes() == Takes::One && self.runs.len() == 1;
        if is_trusted && (alone || is_single) && self.fallen.len() < FALLEN_MAX {
            self.fallen.push((job, chunk));
        }
        self.note(env, Seen::Fell);
        if is_trusted { others } else { 0 }
    }

    /// What is in the hands of a worker that is found to be bad goes back, but for what has failed there.
    fn note(&mut self, env: &mut Env, seen: Seen) {
        let now = Now { at: env.at(), moment: env.moment() };
        if let Some(news) = self.record.note(seen, now) {
            env.tell(|| format!("worker {}: {news:?}", self.number));
        }
        if self.record.hands_back() {
            for run in &mut self.runs {
                if matches!(run.stage, Stage::Look | Stage::Find | Stage::Place | Stage::Running { .. }) {
                    run.stage = Stage::Fail(FaultClass::HandedBack);
                }
            }
        }
    }

    /// Takes a chunk, if it may.
    pub fn take(&mut self, env: &mut Env) -> bool {
        if !env.pools[self.pool] {
            return false;
        }
        if !self.asked {
            self.asked = self.control(env);
            if self.asked {
                self.inherit(env);
            }
            return true;
        }
        let count = env.work.ready(self.pool, env.now).count();
        let most = match self.record.takes() {
            Takes::Nothing => 0,
            Takes::One => 1,
            Takes::All => PLACES + 1,
        };
        if self.runs.len() >= most || count == 0 {
            return false;
        }
        let nth = if env.faults { env.pick(count) } else { 0 };
        let Some(at) = env.work.ready(self.pool, env.now).nth(nth) else { return false };
        let work = env.work.deliver(at, env.now);
        env.tell(|| {
            let Work { job, chunk, attempt, delivered, .. } = &work;
            format!("worker {} takes job {job} chunk {chunk} attempt {attempt}, delivery {delivered}", self.number)
        });
        self.life.at_work = true;
        self.runs.push(Run { work, looked: 0, stage: Stage::Look });
        true
    }

    pub fn count(&self) -> usize {
        self.runs.len()
    }

    /// Brings one of its chunks a step further.
    pub fn step(&mut self, env: &mut Env, at: usize) -> bool {
        if at >= self.runs.len() {
            return false;
        }
        let stage = std::mem::replace(&mut self.runs[at].stage, Stage::Look);
        match self.next(env, at, stage) {
            Next::To(stage) => self.runs[at].stage = stage,
            Next::Wait(stage) => {
                self.runs[at].stage = stage;
                return false;
            }
            Next::Over => drop(self.runs.remove(at)),
            Next::EngineDied => self.engine_died(env, at),
            Next::Killed => {
                env.tell(|| format!("worker {} is killed by a request", self.number));
                self.crash();
            }
        }
        true
    }

    /// With what it held, and nothing that had not begun.
    fn engine_died(&mut self, env: &mut Env, at: usize) {
        env.tell(|| format!("the engine of worker {} dies", self.number));
        for (place, run) in self.runs.iter_mut().enumerate() {
            if place == at || matches!(run.stage, Stage::Running { .. }) {
                run.stage = Stage::Fail(FaultClass::EngineDied);
            }
        }
    }

    fn next(&mut self, env: &mut Env, at: usize, stage: Stage) -> Next {
        let job = self.runs[at].work.job;
        match stage {
            Stage::Look => {
                self.runs[at].looked = env.now;
                Next::To(if env.log.is_wanted(job) { Stage::Find } else { Stage::Ack })
            }
            Stage::Find => Next::To(self.find(env, at)),
            Stage::Place if !self.has_place(at) => {
                self.progress(env, at);
                Next::Wait(Stage::Place)
            }
            Stage::Place => Next::To(self.begin(env, at)),
            Stage::Running { started, until, run } => self.run(env, at, started, until, run),
            Stage::Store(answers) => self.store(env, at, answers),
            Stage::Taken(own) => {
                let key = (job, self.runs[at].work.chunk);
                Next::To(Stage::Tell(env.results.get(&key).cloned().unwrap_or(own)))
            }
            Stage::Tell(answers) => self.tell(env, at, answers),
            Stage::Fail(class) => self.fail(env, at, class),
            Stage::Ack => {
                if !env.strikes(16) {
                    env.work.ack(self.runs[at].work.seq);
                }
                Next::Over
            }
        }
    }

    fn find(&self, env: &Env, at: usize) -> Stage {
        let work = &self.runs[at].work;
        match env.results.get(&(work.job, work.chunk)) {
            Some(answers) => Stage::Tell(answers.clone()),
            None if work.delivered > DELIVERIES_MAX => Stage::Fail(FaultClass::WorkerLost),
            None => Stage::Place,
        }
    }

    fn has_place(&self, at: usize) -> bool {
        let is_running = |run: &&Run| matches!(run.stage, Stage::Running { .. });
        let running = self.runs.iter().filter(is_running);
        let alone = running.clone().any(|run| run.work.alone);
        let count = running.count();
        !alone && count < if self.runs[at].work.alone { 1 } else { PLACES }
    }

    fn begin(&mut self, env: &mut Env, at: usize) -> Stage {
        let Run { work, looked, .. } = &self.runs[at];
        let job = work.job;
        let is_old = env.now - looked > LOOK_AGE_MAX && !env.has(Bug::NoSecondLook);
        if is_old && !env.log.is_wanted(job) {
            return Stage::Ack;
        }
        let since = env.log.heads.get(&job).and_then(|head| head.unwanted);
        let late = since.is_some_and(|since| env.now - since > LOOK_AGE_MAX);
        env.expect(!late, "no chunk begins after a cancel or a pause", || format!("job {job} chunk {}", work.chunk));
        let until = match self.temper {
            Temper::Good | Temper::Flapping | Temper::Mortal => env.now + [40, 5, 300, 4_000, 45_000][env.pick(5)],
            Temper::Broken | Temper::Dying | Temper::Sour => env.now + 1,
            Temper::BlackHole => env.now + 60_000,
        };
        Stage::Running { started: env.now, until, run: env.nonce() }
    }

    fn progress(&self, env: &mut Env, at: usize) {
        let until = env.now + ACK_WAIT_MS;
        env.work.hide(self.runs[at].work.seq, until);
    }

    fn run(&mut self, env: &mut Env, at: usize, started: u64, until: u64, run: u32) -> Next {
        if env.now < until {
            self.progress(env, at);
            let stage = Stage::Running { started, until, run };
            let is_wanted = env.log.is_wanted(self.runs[at].work.job);
            return if is_wanted { Next::Wait(stage) } else { Next::To(Stage::Ack) };
        }
        let work = &self.runs[at].work;
        match answer(env, work, run, self.temper) {
            Err(Ruin::Killed) => Next::Killed,
            Err(Ruin::Fault(FaultClass::EngineDied)) => Next::EngineDied,
            Err(Ruin::Fault(class)) => Next::To(Stage::Fail(class)),
            Ok((lines, tally)) => {
                let (worker, attempt) = (self.number, work.attempt);
                self.fallen.clear();
                self.note(env, Seen::Done);
                self.done += 1;
                self.life = std::mem::take(&mut self.life).done(self.done);
                let answers = Answers { worker, attempt, run, started, tally, lines };
                Next::To(if env.has(Bug::TellBeforeStore) { Stage::Tell(answers) } else { Stage::Store(answers) })
            }
        }
    }

    fn store(&self, env: &mut Env, at: usize, answers: Answers) -> Next {
        let work = &self.runs[at].work;
        let (job, chunk) = (work.job, work.chunk);
        let link = env.link();
        let is_taken = env.results.contains_key(&(job, chunk)) && !env.has(Bug::LastResultWins);
        if link != Link::Lost && !is_taken {
            env.tell(|| format!("RESULTS takes job {job} chunk {chunk} of run {}", answers.run));
            env.results.insert((job, chunk), answers.clone());
            if env.log.job(job).is_some_and(|folded| folded.job.is_terminal()) {
                env.late.insert((job, chunk));
            }
        }
        match link {
            Link::Fine if env.has(Bug::TellBeforeStore) => Next::To(Stage::Ack),
            Link::Fine if is_taken => Next::To(Stage::Taken(answers)),
            Link::Fine => Next::To(Stage::Tell(answers)),
            _ if env.log.is_wanted(job) => Next::To(Stage::Store(answers)),
            _ => Next::To(Stage::Fail(FaultClass::Nats)),
        }
    }

    fn tell(&self, env: &mut Env, at: usize, answers: Answers) -> Next {
        let work = &self.runs[at].work;
        let done = ChunkDone {
            at: env.at(),
            chunk: work.chunk,
            attempt: answers.attempt.max(work.attempt),
            delivered: work.delivered,
            worker: answers.worker.to_string(),
            started: millis(answers.started),
            tally: answers.tally,
        };
        let attempt = done.attempt;
        let is_told = log::fact(env, work.job, Event::ChunkDone(done), Id::Done(work.chunk, attempt));
        Next::To(match is_told {
            true if env.has(Bug::TellBeforeStore) => Stage::Store(answers),
            true => Stage::Ack,
            false => Stage::Fail(FaultClass::Nats),
        })
    }

    fn fail(&mut self, env: &mut Env, at: usize, class: FaultClass) -> Next {
        let is_asked = class.is_doubtful() && !self.record.hands_back() && !env.has(Bug::NoControl);
        if is_asked && !self.control(env) {
            return Next::Killed;
        }
        let (worker, reason, trust) = (self.number.to_string(), String::new(), Some(self.record.trust()));
        let is_lost = class == FaultClass::WorkerLost;
        let suspect = if is_lost { env.suspect(self.pool) } else { None };
        let is_own = class.is_doubtful() && class != FaultClass::WorkerLost;
        let (worker, others) = match suspect {
            Some(number) if number == self.number => (worker, env.others(number, self.pool)),
            Some(number) => (number.to_string(), env.others(self.number, self.pool).max(1)),
            None if is_own => (worker, self.fell(env, at)),
            None => (worker, 0),
        };
        // Whom nobody asks anything is believed at once.
        let others = if env.has(Bug::NoWitnesses) || env.has(Bug::NoControl) { 0 } else { others };
        let work = &self.runs[at].work;
        let (chunk, attempt) = (work.chunk, work.attempt);
        let failed = ChunkFailed { at: env.at(), chunk, attempt, worker, class, reason, trust, others };
        env.tell(|| format!("job {} chunk {} fails: {}", work.job, work.chunk, class.as_str()));
        let id = Id::Failed(work.chunk, work.attempt);
        if log::fact(env, work.job, Event::ChunkFailed(failed), id) {
            return Next::To(Stage::Ack);
        }
        let until = env.now + 1_000;
        env.work.hide(work.seq, until);
        Next::Over
    }
}

/// What all fails of on a bad worker.
const BAD: [FaultClass; 4] =
    [FaultClass::Internal, FaultClass::OutOfMemory, FaultClass::Timeout, FaultClass::EngineDied];

enum Ruin {
    Fault(FaultClass),
    Killed,
}

/// What the engine makes of a chunk: the first fault ends the run.
fn answer(env: &mut Env, work: &Work, run: u32, temper: Temper) -> Result<(Vec<Line>, Tally), Ruin> {
    if !env.judged && env.strikes(10) {
        return Err(Ruin::Fault(FaultClass::ALL[2 + env.pick(FaultClass::ALL.len() - 2)]));
    }
    if matches!(temper, Temper::Dying | Temper::Mortal) {
        return Err(Ruin::Killed);
    }
    if temper == Temper::Sour || work.numbers.iter().any(|_| temper.fails(env)) {
        return Err(Ruin::Fault(BAD[env.pick(BAD.len())]));
    }
    let spec = &env.specs[work.job];
    let mut lines = Vec::with_capacity(work.numbers.len());
    let mut tally = Tally::default();
    for &number in &work.numbers {
        let said = match spec.natures[number as usize] {
            Nature::Good => Said::Good,
            Nature::Refused if spec.is_answer(FaultClass::Refused) => Said::Refused,
            Nature::Refused => return Err(Ruin::Fault(FaultClass::Refused)),
            Nature::Fails => return Err(Ruin::Fault(FaultClass::Internal)),
            Nature::Hangs => return Err(Ruin::Fault(FaultClass::Timeout)),
            Nature::Dies => return Err(Ruin::Fault(FaultClass::EngineDied)),
            Nature::Kills => return Err(Ruin::Killed),
        };
        let line = Line { number, said, run };
        let usage = Usage { prompt: 1, completion: line.bytes(), cached: 0 };
        let (completed, failed) = (u64::from(!line.is_error()), u64::from(line.is_error()));
        tally += Tally { completed, failed, unanswered: 0, usage };
        lines.push(line);
    }
    Ok((lines, tally))
}

fn process(number: usize) -> Process {
    Process { host: "box".into(), space: String::new(), pid: number as u32, started: millis(0) }
}
