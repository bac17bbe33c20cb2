//! A scheduler: its own fold, which may lag; what it has sent; one operation a step. It forgets all in a crash.
use super::{
    env::{Env, Number},
    log::{Fold, millis},
    order::{Order, Turn},
    queue::{self, Work},
    sent::{Out, Sent},
    spec::{POOLS, pool},
};
use domain::{
    ChunkId, Event, Job,
    decide::Command,
    job::{Chunk, Phase},
    rate::Rate,
    schedule::{self, Room, Urgency},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const RECONCILE_MS: u64 = 5_000;
const TICK_MS: u64 = 200;
const AHEAD_S: f64 = 5.0;
const WORKERS: u64 = 1;

#[derive(Default)]
pub struct Scheduler {
    fold: Fold,
    sent: Sent,
    rates: [Rate; POOLS.len()],
    unwanted: BTreeSet<Number>,
    /// Jobs whose end was stored and is not folded yet.
    ending: BTreeSet<Number>,
    /// The log was folded once as far as it went.
    open: bool,
    /// WORK as it was looked at, until the log is folded as far as it went then.
    held: Option<Held>,
    ops: VecDeque<Op>,
    reconcile: u64,
    rest: u64,
}

struct Held {
    chunks: BTreeMap<(Number, ChunkId), usize>,
    at: u64,
    until: usize,
}

enum Op {
    End(Box<Order>, bool),
    Purge(Number),
    Send(Number, ChunkId),
}

impl Scheduler {
    pub fn crash(&mut self) {
        *self = Self::default();
    }

    /// When something is to be looked at that no event tells of.
    pub fn due(&self, now: u64) -> Option<u64> {
        let reconcile = (!self.sent.is_empty()).then_some(self.reconcile);
        let jobs = self.fold.jobs.values().map(|folded| &folded.job);
        let retries = jobs.clone().filter(|job| job.is_wanted()).filter_map(|job| job.next_retry(millis(now)));
        let deadlines = jobs.filter(|job| !matches!(job.phase, Phase::Closing(_))).map(|job| job.deadline);
        let rest = (self.rest > now).then_some(self.rest);
        let times = retries.chain(deadlines).map(domain::Millis::get);
        times.chain(reconcile).chain(rest).filter(|at| *at > now).min()
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
        if let Some(held) = self.held.take_if(|held| self.fold.seq >= held.until) {
            self.settle(env, &held);
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
        let is_ready = self.rest <= env.now;
        if self.fold.is_caught_up(&env.log) || (is_ready && env.pick(3) == 1) {
            return is_ready && self.act(env);
        }
        self.fold(env)
    }

    fn fold(&mut self, env: &mut Env) -> bool {
        let Some(entry) = self.fold.next_active(&env.log) else { return false };
        let job = entry.job;
        match &entry.event {
            Event::ChunkDone(done) => {
                if let Some(out) = self.sent.remove(job, done.chunk) {
                    self.rates[out.pool].add(millis(entry.at), done.tally.requests());
                }
            }
            Event::ChunkFailed(failed) => drop(self.sent.remove(job, failed.chunk)),
            Event::JobPaused(_) | Event::JobClosing(_) | Event::JobEnded(_) | Event::JobRejected(_) => {
                self.ending.remove(&job);
                if self.sent.drop_job(job) {
                    self.unwanted.insert(job);
                }
            }
            _ => {}
        }
        for (pool, rate) in self.rates.iter_mut().enumerate() {
            if self.sent.room(pool).chunks == 0 {
                rate.sleep();
            }
        }
        true
    }

    /// What is to be done by the fold as it stands. Nothing is folded until it is done.
    fn act(&mut self, env: &mut Env) -> bool {
        let now = env.at();
        for (&number, folded) in &self.fold.jobs {
            let Some(command) = closing(&folded.job, now).filter(|_| !self.ending.contains(&number)) else { continue };
            let ends = matches!(command, Command::End { .. });
            if let (order, Turn::More) = Order::known(number, command, folded) {
                self.ops.push_back(Op::End(Box::new(order), ends));
            }
        }
        let fold = &self.fold;
        self.unwanted.retain(|number| !fold.job(*number).is_some_and(Job::is_wanted));
        self.ops.extend(self.unwanted.iter().map(|number| Op::Purge(*number)));
        let mut jobs: Vec<_> = fold.jobs.values().map(|f| &f.job).filter(|job| job.is_wanted()).collect();
        jobs.sort_unstable_by_key(|job| Urgency::of(job));
        for at in 0..POOLS.len() {
            let speed = self.rates[at].speed().map_or(0.0, |speed| speed.mean);
            let room = Room::ahead(speed, AHEAD_S, WORKERS, self.sent.room(at));
            let out = |job, chunk| self.sent.has(env.number(job), chunk);
            let sends = schedule::next(jobs.iter().copied(), &pool(at), room, out, now);
            if !sends.is_empty() {
                self.rates[at].wake(now);
            }
            self.ops.extend(sends.into_iter().map(|send| Op::Send(env.number(send.job), send.chunk)));
        }
        !self.ops.is_empty()
    }

    fn carry_out(&mut self, env: &mut Env, op: Op) {
        let is_done = match op {
            Op::End(mut order, ends) => match order.step(env) {
                Turn::More => {
                    self.ops.push_front(Op::End(order, ends));
                    true
                }
                Turn::Done(true) if ends => {
                    self.ending.insert(order.job);
                    true
                }
                Turn::Done(_) | Turn::Refused(_) => true,
                Turn::Unknown => false,
            },
            Op::Purge(job) => {
                env.tell(|| format!("WORK is purged of job {job}"));
                env.work.purge(job);
                self.unwanted.remove(&job);
                true
            }
            Op::Send(job, chunk) => self.send(env, job, chunk),
        };
        if !is_done {
            self.ops.clear();
            self.rest = env.now + TICK_MS;
        }
    }

    fn send(&mut self, env: &mut Env, number: Number, chunk: ChunkId) -> bool {
        let Some(job) = self.fold.job(number) else { return true };
        let Some(Chunk::Owed { failures, .. }) = job.chunk(chunk) else { return true };
        let plan = &job.open[&chunk.segment].plan;
        let chunk_plan = &plan.chunks[chunk.index as usize];
        let name = plan.pools[usize::from(chunk_plan.pool)].as_str();
        let pool = POOLS.iter().position(|pool| *pool == name).unwrap_or(0);
        let (attempt, requests) = (failures.tries + 1, chunk_plan.requests());
        let numbers = chunk_plan.indices().map(|index| plan.first + u64::from(index)).collect();
        let id = (number, chunk, attempt, job.epoch, self.sent.generation(number, chunk));
        let alone = failures.alone;
        let work = Work { seq: 0, job: number, pool, chunk, attempt, alone, numbers, delivered: 0, hidden: 0 };
        if !queue::publish(env, work, id) {
            return false;
        }
        self.sent.insert(number, chunk, Out { pool, requests, at: env.now });
        true
    }

    fn look(&mut self, env: &Env) {
        self.reconcile = env.now + RECONCILE_MS;
        let chunks = env.work.held.iter().map(|work| ((work.job, work.chunk), work.pool)).collect();
        self.held = Some(Held { chunks, at: env.now, until: env.log.entries.len() });
    }

    fn settle(&mut self, env: &mut Env, held: &Held) {
        let keys = held.chunks.keys().copied().collect();
        for (job, chunk) in self.sent.lost(&keys, held.at) {
            env.tell(|| format!("the scheduler misses job {job} chunk {chunk} in WORK"));
            self.sent.resend(job, chunk);
        }
        for (&(number, chunk), &pool) in &held.chunks {
            let Some(job) = self.fold.job(number).filter(|job| job.is_wanted()) else {
                self.unwanted.insert(number);
                continue;
            };
            let Some(Chunk::Owed { not_before, .. }) = job.chunk(chunk) else { continue };
            if !self.sent.has(number, chunk) && not_before <= millis(held.at) {
                let requests = job.open[&chunk.segment].plan.chunks[chunk.index as usize].requests();
                self.sent.insert(number, chunk, Out { pool, requests, at: held.at });
                self.rates[pool].wake(millis(held.at));
            }
        }
    }
}

/// What is due for a job as a whole.
fn closing(job: &Job, now: domain::Millis) -> Option<Command> {
    match &job.phase {
        Phase::Validating | Phase::Running if now >= job.deadline && (job.remaining() > 0 || job.planned.is_none()) => {
            Some(Command::Expire { at: now })
        }
        Phase::Running | Phase::Closing(_) if job.written.is_some() && job.is_archived() => {
            Some(Command::End { at: now })
        }
        _ => None,
    }
}
