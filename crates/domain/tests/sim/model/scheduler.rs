//! A scheduler's room around the core's: its own fold, which may lag; one effect a step. It forgets all in a crash.
use super::{
    appending::{Appending, Turn},
    env::{Bug, Env},
    log::{Fold, millis},
    queue::{self, Heard, Work},
    spec::{POOLS, pool},
};
use domain::{
    Job, JobId, Timestamp,
    command::Command,
    job::Chunk,
    schedule::{self, Effect, Folded, Held, Input, Jobs, Moment, Now, Send},
};
use std::collections::VecDeque;

const RECONCILE_MS: u64 = 5_000;
const AHEAD_S: f64 = 5.0;

pub struct Scheduler {
    core: schedule::Scheduler,
    fold: Fold,
    /// The log was folded once as far as it went.
    open: bool,
    /// WORK as it was looked at, until the log is folded as far as it went then.
    held: Option<(Held, usize)>,
    ops: VecDeque<Op>,
    reconcile: u64,
}

enum Op {
    Append(Box<Appending>, JobId),
    Withdraw(JobId),
    Send(Send),
    DeadLetter(JobId, u64),
}

impl Jobs for Fold {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs().find(|job| job.id == id)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|folded| &folded.job)
    }
}

const fn now(env: &Env) -> Now {
    Now { at: env.at(), moment: Moment::new(env.now) }
}

impl Scheduler {
    pub fn new(pools: [bool; POOLS.len()]) -> Self {
        let pools = (0..POOLS.len()).filter(|at| pools[*at]).map(pool).collect();
        let core = schedule::Scheduler::new(pools, AHEAD_S);
        let (fold, ops) = Default::default();
        Self { core, fold, open: false, held: None, ops, reconcile: 0 }
    }

    /// It starts again with the pools that are configured then.
    pub fn crash(&mut self, env: &Env) {
        *self = Self::new(if env.has(Bug::OldPools) { [true; POOLS.len()] } else { env.pools });
    }

    /// When something is to be looked at that no event tells of.
    pub fn due(&self, now: u64) -> Option<u64> {
        let reconcile = (!self.core.is_idle()).then_some(self.reconcile);
        let due = schedule::next_due(self.fold.jobs(), millis(now)).map(Timestamp::get);
        let patience = self.core.is_patient().then_some(now + 1_000);
        let asides = self.core.asides().map(Moment::get);
        let due = due.into_iter().chain(reconcile).chain(patience).chain(asides);
        due.chain(self.core.rest().map(Moment::get)).filter(|at| *at > now).min()
    }

    pub fn step(&mut self, env: &mut Env) -> bool {
        if let Some(op) = self.ops.pop_front() {
            self.carry_out(env, op);
            return true;
        }
        if !self.open {
            self.open = self.fold.is_caught_up(&env.log);
            return self.open || self.fold(env);
        }
        if let Some((held, _)) = self.held.take_if(|(_, until)| self.fold.seq >= *until) {
            let lost = self.core.reconcile(&self.fold, &held).lost;
            env.tell(|| format!("a scheduler looks at WORK, and misses {lost} chunks"));
            self.gone(env, &held);
            return true;
        }
        if self.held.is_some() {
            return self.fold(env);
        }
        if self.reconcile <= env.now {
            self.look(env);
            return true;
        }
        // Decisions come between events, and not after each.
        if self.fold.is_caught_up(&env.log) || env.pick(3) == 1 {
            return self.act(env) || self.fold(env);
        }
        self.fold(env)
    }

    fn fold(&mut self, env: &mut Env) -> bool {
        let Some(entry) = self.fold.next_active(&env.log) else { return false };
        let (job, seq, stored) = (env.specs[entry.job].id, self.fold.seq as u64, millis(entry.at));
        let folded = Folded { job, event: &entry.event, seq, stored, trace: None };
        self.core.input(&self.fold, Input::Folded(folded), now(env));
        true
    }

    /// What is to be done by the fold as it stands. Nothing is folded until it is done.
    fn act(&mut self, env: &mut Env) -> bool {
        self.core.input(&self.fold, Input::Tried, now(env));
        for effect in self.core.outstanding(&self.fold, now(env)) {
            let op = match effect {
                Effect::DeadLetter { job, until, .. } => Op::DeadLetter(job, until),
                Effect::Withdraw(job) => Op::Withdraw(job),
                Effect::Send(send) => Op::Send(send),
                Effect::Append(_, Command::Abandon { .. }) if env.has(Bug::NoAbandon) => continue,
                Effect::Append(job, command) => {
                    let number = env.number(job);
                    let (appending, turn) = Appending::known(number, command, &self.fold.jobs[&number]);
                    match turn {
                        Turn::More => Op::Append(Box::new(appending), job),
                        Turn::Done(_) | Turn::Refused(_) | Turn::Unknown => continue,
                    }
                }
            };
            self.ops.push_back(op);
        }
        !self.ops.is_empty()
    }

    /// What waits for a pool that is not configured is told of.
    fn gone(&self, env: &mut Env, held: &Held) {
        let told: Vec<_> = self.core.unknown_pools().cloned().collect();
        let gone = (0..POOLS.len()).filter(|at| !env.pools[*at]).map(pool);
        for pool in gone.filter(|pool| !told.contains(pool)).collect::<Vec<_>>() {
            let waits =
                |job: &&Job| job.sendable(&pool, held.at).any(|(chunk, _)| !held.chunks.contains_key(&(job.id, chunk)));
            let waiting = self.fold.jobs().find(waits).map(|job| job.id);
            env.expect(waiting.is_none(), "a job whose pool is gone is told of", || format!("job {waiting:?}"));
        }
    }

    fn carry_out(&mut self, env: &mut Env, op: Op) {
        let heard = match op {
            Op::Append(appending, job) => self.append(env, appending, job),
            Op::Withdraw(job) => {
                let number = env.number(job);
                env.tell(|| format!("WORK is purged of job {number}"));
                env.work.purge(number);
                Some(Input::Withdrawn(job))
            }
            Op::DeadLetter(job, until) => Some(Input::DeadLettered(job, until)),
            Op::Send(send) => return self.send(env, &send),
        };
        if let Some(Input::Failed) = heard {
            self.ops.clear();
        }
        if let Some(heard) = heard {
            self.core.input(&self.fold, heard, now(env));
        }
    }

    fn append(&mut self, env: &mut Env, mut appending: Box<Appending>, job: JobId) -> Option<Input<'static>> {
        match appending.step(env) {
            Turn::More => {
                self.ops.push_front(Op::Append(appending, job));
                None
            }
            Turn::Done(true) => Some(Input::Appended(job)),
            Turn::Done(false) | Turn::Refused(_) => None,
            Turn::Unknown => Some(Input::Failed),
        }
    }

    fn send(&mut self, env: &mut Env, send: &Send) {
        let Some(work) = self.work(env, send) else { return };
        let epoch = self.fold.jobs[&work.job].job.epoch;
        let id = (work.job, work.chunk, work.attempt, epoch, send.generation);
        let heard = match queue::publish(env, work, id) {
            Heard::Taken => Input::Sent(send),
            Heard::Refused if !env.has(Bug::RefusalStopsAll) => Input::Unreadable(send.job),
            Heard::Nothing | Heard::Refused => Input::Failed,
        };
        if matches!(heard, Input::Failed) {
            self.ops.clear();
        }
        self.core.input(&self.fold, heard, now(env));
    }

    fn work(&self, env: &Env, send: &Send) -> Option<Work> {
        let (job, chunk) = (Jobs::job(&self.fold, send.job)?, send.chunk);
        let Some(Chunk::Owed { failures, .. }) = job.chunk(chunk) else { return None };
        let plan = &job.open[&chunk.segment].plan;
        let numbers = plan.chunks[chunk.index as usize].indices().map(|index| plan.first + u64::from(index)).collect();
        let pool = POOLS.iter().position(|pool| *pool == send.pool.as_str())?;
        let (job, attempt, alone) = (env.number(send.job), failures.tries + 1, failures.alone);
        Some(Work { seq: 0, job, pool, chunk, attempt, alone, numbers, delivered: 0, hidden: 0 })
    }

    fn look(&mut self, env: &Env) {
        self.reconcile = env.now + RECONCILE_MS;
        let chunks = env.work.held.iter().map(|work| ((env.specs[work.job].id, work.chunk), pool(work.pool)));
        let held = Held { chunks: chunks.collect(), at: env.at(), looked: Moment::new(env.now) };
        self.held = Some((held, env.log.entries.len()));
    }
}
