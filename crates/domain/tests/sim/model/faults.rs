//! What befalls the actors and what they stand on. Zero is always the mildest.
use super::{
    env::{Bug, Env},
    queue::Work,
    spec::POOLS,
    worker::Temper,
    world::World,
};

/// Of the log's end, at most.
const TAIL_MAX: usize = 40;
const JUDGED_RARE: usize = 8;
const STORE_MS: [u64; 3] = [2_000, 20_000, 200_000];

impl World {
    pub fn strike(&mut self) {
        self.struck += 1;
        match self.env.pick(15) {
            0 => self.kill("worker", self.workers.len(), |world, at| world.workers[at].crash()),
            1 => self.kill("scheduler", self.schedulers.len(), |world, at| world.schedulers[at].crash(&world.env)),
            2 => self.kill("archiver", self.archivers.len(), |world, at| world.archivers[at].crash()),
            3 => self.kill("intake", self.intakes.len(), |world, at| world.intakes[at].crash()),
            4 => {
                self.env.tell(|| "FAULT: EVENTS forgets its message ids".into());
                self.env.log.forget_ids();
            }
            5 => {
                self.env.tell(|| "FAULT: WORK forgets its message ids".into());
                self.env.work.forget_ids();
            }
            6 => {
                self.env.tell(|| "FAULT: WORK is deleted".into());
                self.env.work.held.clear();
                self.env.work.forget_ids();
            }
            7 => lose_result(&mut self.env),
            8 => tamper(&mut self.env, true),
            9 => tamper(&mut self.env, false),
            10 => self.sour(),
            11 => self.configure(),
            12 => refuse(&mut self.env),
            13 => stop_store(&mut self.env),
            _ => self.lose_tail(),
        }
        self.did(true);
    }

    fn kill(&mut self, what: &str, count: usize, crash: impl FnOnce(&mut Self, usize)) {
        let at = self.env.pick(count);
        self.env.tell(|| format!("FAULT: {what} {at} is killed"));
        crash(self, at);
    }

    /// A worker turns bad, or good again.
    pub fn sour(&mut self) {
        let (at, temper) = (self.env.pick(self.workers.len()), Temper::ALL[self.env.pick(Temper::ALL.len())]);
        if !self.may_turn(at, temper) {
            return;
        }
        self.env.tell(|| format!("FAULT: worker {at} is {temper:?}"));
        self.workers[at].temper = temper;
    }

    /// Who passes its controls and answers nothing is found out by a good one beside it alone, which stays.
    fn may_turn(&self, at: usize, temper: Temper) -> bool {
        let pool = self.workers[at].pool;
        let mut crew = self.workers.iter().filter(|worker| worker.pool == pool && worker.number != at);
        let is_hidden = temper.is_hidden() || crew.clone().any(|worker| worker.temper.is_hidden());
        temper == Temper::Good || !is_hidden || crew.any(|worker| worker.temper == Temper::Good && worker.works())
    }

    /// A pool is taken out of the configuration, or put back: heads and its workers start again.
    fn configure(&mut self) {
        let at = self.env.pick(POOLS.len());
        self.env.pools[at] = !self.env.pools[at];
        let is_there = self.env.pools[at];
        self.env.tell(|| format!("FAULT: pool {} is {}", POOLS[at], if is_there { "back" } else { "gone" }));
        self.workers.iter_mut().filter(|worker| worker.pool == at).for_each(|worker| worker.crash());
        self.restart_schedulers();
    }

    pub fn restart_schedulers(&mut self) {
        self.schedulers.iter_mut().for_each(|scheduler| scheduler.crash(&self.env));
    }

    /// EVENTS is an older copy of itself. Every room that folded it ends; what is younger in WORK, RESULTS and the store
    /// stays.
    fn lose_tail(&mut self) {
        let len = self.env.log.entries.len();
        // Not so often that nothing of a large job lasts.
        if len == 0 || self.env.judged && self.env.pick(JUDGED_RARE) > 0 {
            return;
        }
        let kept = len - 1 - self.env.pick(len.min(TAIL_MAX));
        self.env.tell(|| format!("FAULT: EVENTS ends at {kept}, not at {len}"));
        self.env.log.cut(kept, self.env.now);
        self.env.is_cut = true;
        self.restart_schedulers();
        self.archivers.iter_mut().for_each(|archiver| archiver.crash());
        self.intakes.iter_mut().for_each(|intake| intake.crash());
        self.clients.crash();
        if !self.env.has(Bug::SnapshotAhead) {
            self.projector.cut(kept);
        }
        self.seen.cut(&self.env);
    }
}

/// What lies in RESULTS is lost, of one chunk.
fn lose_result(env: &mut Env) {
    if env.results.is_empty() {
        return;
    }
    let at = env.pick(env.results.len());
    let Some(key) = env.results.keys().nth(at).copied() else { return };
    env.tell(|| format!("FAULT: RESULTS loses job {} chunk {}", key.0, key.1));
    env.results.remove(&key);
    env.lost.insert(key);
}

/// One message of WORK is lost or doubled.
fn tamper(env: &mut Env, loses: bool) {
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
        env.work.push(Work { delivered: 0, hidden: 0, ..work });
    }
}

/// WORK takes no message of one job, or takes them again.
fn refuse(env: &mut Env) {
    if env.specs.is_empty() {
        return;
    }
    let job = env.pick(env.specs.len());
    let is_new = env.refused.insert(job);
    if !is_new {
        env.refused.remove(&job);
    }
    env.tell(|| format!("FAULT: WORK {} messages of job {job}", if is_new { "refuses" } else { "takes" }));
}

fn stop_store(env: &mut Env) {
    let ms = STORE_MS[env.pick(STORE_MS.len())];
    env.store_until = env.now + ms;
    env.tell(|| format!("FAULT: the store takes nothing for {ms} ms"));
}
