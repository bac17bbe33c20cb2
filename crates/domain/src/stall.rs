//! Jobs that stand still, and what they wait for. Pure: what is known of pools and workers comes from outside.
use crate::{
    ChunkId, Job, Pool, Timestamp,
    forecast::Owed,
    job::{Chunk, Phase},
    status::State,
    trouble::{Kind, Trouble},
};
use std::collections::BTreeMap;

/// A job that came no further for so long waits for something; told within ten seconds.
pub const STILL_MS: u64 = 8_000;
/// A pool without a worker is told of so long after its last answer: longer than from one heartbeat to the next.
const UNSERVED_MS: u64 = 6_000;
/// How many times as long as its longest run a pool may take for the next.
const RUNS: u64 = 3;
/// An output of so many bytes may take a second more.
const WRITTEN_BYTES_PER_S: u64 = 8 << 20;

/// How far a job has come. A failed attempt brings it no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    state: State,
    answered: u64,
    planned: usize,
    archived: u32,
    is_written: bool,
    deadline: Timestamp,
}

impl Progress {
    pub fn of(job: &Job) -> Self {
        Self {
            state: State::of(job),
            answered: job.tally.requests(),
            planned: if matches!(job.phase, Phase::Validating) { job.open.len() } else { 0 },
            archived: job.archived,
            is_written: job.written.is_some(),
            deadline: job.deadline,
        }
    }
}

/// What is known of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolView {
    pub is_configured: bool,
    /// Workers that were heard of lately.
    pub workers: u32,
    /// Whether one of them has work in hand.
    pub is_busy: bool,
    /// When a chunk was answered last.
    pub answered: Timestamp,
    /// When an engine was last seen to go on with what it has.
    pub moved: Timestamp,
    /// The longest run of a chunk that was seen lately.
    pub longest_ms: u64,
}

/// What is known beside the log.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub now: Timestamp,
    /// Since when all this is known without a gap: who looks cannot tell of a time before.
    pub clear_since: Timestamp,
    pub pools: BTreeMap<Pool, PoolView>,
    /// When an input was last seen to be validated, or begun.
    pub validated: Timestamp,
    /// When a segment, or an output, was last seen to be written.
    pub archived: Timestamp,
    /// Whether a head leads as scheduler.
    pub is_scheduled: bool,
}

/// A job that came no further since `since`.
#[derive(Debug, Clone, Copy)]
pub struct Still<'a> {
    pub job: &'a Job,
    pub owed: &'a Owed,
    pub since: Timestamp,
}

/// What a job waits for; where it is a pool that keeps all its jobs waiting, that pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    pub pool: Option<Pool>,
    pub trouble: Trouble,
}

/// What a job that stands still waits for. `turns`: the pools in which no more urgent job is owed answers, and since when. A
/// job that waits only for its turn is not stalled, nor is one that is held on purpose.
pub fn stall(still: &Still<'_>, world: &World, turns: &BTreeMap<Pool, Timestamp>) -> Option<Stall> {
    match State::of(still.job) {
        State::Validating => still.validation(world).map(Stall::of_job),
        State::InProgress => still.pools(world, turns),
        State::Finalizing | State::Cancelling => still.results(world).map(Stall::of_job),
        State::Failed | State::Paused | State::Completed | State::Expired | State::Cancelled => None,
    }
}

impl Stall {
    const fn of_job(trouble: Trouble) -> Self {
        Self { pool: None, trouble }
    }

    fn of_pool(pool: &Pool, trouble: Trouble) -> Self {
        Self { pool: Some(pool.clone()), trouble }
    }
}

impl Still<'_> {
    fn is_over(&self, world: &World, allowed_ms: u64) -> bool {
        world.now.since(self.since.max(world.clear_since)) >= allowed_ms
    }

    fn validation(&self, world: &World) -> Option<Trouble> {
        let is_others_turn = world.now.since(world.validated) < STILL_MS;
        (self.is_over(world, STILL_MS) && !is_others_turn).then(|| {
            let cause = "its input is not being validated";
            let mend = "see whether a head with the role intake runs, and whether the store answers (jetbatch doctor)";
            Trouble::new(Kind::Validation, cause, mend, self.since)
        })
    }

    fn pools(&self, world: &World, turns: &BTreeMap<Pool, Timestamp>) -> Option<Stall> {
        let none = PoolView::default();
        let mut pools = self.owed.iter().map(|(pool, _)| (pool, world.pools.get(pool).unwrap_or(&none)));
        pools.find_map(|(pool, view)| self.pool(pool, view, world, turns.get(pool).copied()))
    }

    fn pool(&self, pool: &Pool, view: &PoolView, world: &World, turn: Option<Timestamp>) -> Option<Stall> {
        // What is answered now was on its way before the last worker went.
        let quiet = world.now.since(view.answered.max(self.since).max(world.clear_since));
        if view.workers == 0 {
            return (quiet >= UNSERVED_MS).then(|| Stall::of_pool(pool, unserved(pool, view, self.since)));
        }
        if !self.is_over(world, STILL_MS) {
            return None;
        }
        if !world.is_scheduled {
            let mend = "start a head with the role scheduler, or see why the lease is not taken";
            return Some(Stall::of_job(Trouble::new(Kind::Queue, "no head leads as scheduler", mend, self.since)));
        }
        if let Some(retry) = self.retry(pool, world.now) {
            return Some(Stall::of_job(retry));
        }
        let allowed = allowed(view);
        // Nobody knows yet how long a chunk takes here. It is not long as long as tokens come.
        let moves = view.longest_ms == 0 && world.now.since(view.moved) < STILL_MS;
        if moves {
            return None;
        }
        if quiet >= allowed {
            return Some(Stall::of_pool(pool, self.silent(pool, view)));
        }
        let had_its_turn = turn.is_some_and(|since| world.now.since(since) >= allowed);
        (had_its_turn && self.is_over(world, allowed)).then(|| Stall::of_job(self.chunk(pool)))
    }

    fn silent(&self, pool: &Pool, view: &PoolView) -> Trouble {
        let since = view.answered.max(self.since);
        if !view.is_busy {
            let cause = format!("the workers of pool '{pool}' have nothing to do, and chunks are owed");
            let mend = "see the scheduler's log and whether WORK takes messages (jetbatch doctor)";
            return Trouble::new(Kind::Queue, cause, mend, since);
        }
        let cause = format!("the workers of pool '{pool}' have chunks in hand, and none answers");
        let mend = "see the workers' logs; a chunk whose worker is lost is sent again by itself";
        Trouble::new(Kind::Worker, cause, mend, since)
    }

    fn chunk(&self, pool: &Pool) -> Trouble {
        let cause = match self.owed(pool).next() {
            None => format!("chunks of pool '{pool}' are owed, and no worker answers them"),
            Some((id, 0, _)) => format!("chunk {id} of pool '{pool}' is owed, and no worker answers it"),
            Some((id, tries, _)) => format!("chunk {id} of pool '{pool}' failed {tries} times, and is tried again"),
        };
        let mend = "see the workers' logs; a chunk whose worker is lost is sent again by itself";
        Trouble::new(Kind::Chunk, cause, mend, self.since)
    }

    /// Where all that is owed failed, and waits to be tried again, or was to be sent a moment ago.
    fn retry(&self, pool: &Pool, now: Timestamp) -> Option<Trouble> {
        if self.owed(pool).any(|(_, tries, not_before)| tries == 0 || not_before.plus(STILL_MS) <= now) {
            return None;
        }
        let (id, tries, _) = self.owed(pool).min_by_key(|(_, _, not_before)| *not_before)?;
        let cause = format!("chunk {id} of pool '{pool}' failed {tries} times, and waits to be tried again");
        let mend = format!("see why it failed (jetbatch why {}); no order is needed", self.job.id);
        Some(Trouble::new(Kind::Chunk, cause, mend, self.since))
    }

    /// The pool's chunks that are owed: each with its failures, and when it is tried again.
    fn owed<'j>(&'j self, pool: &'j Pool) -> impl Iterator<Item = (ChunkId, u32, Timestamp)> + 'j {
        let open = self.job.open.values().filter(|segment| segment.left > 0);
        let chunks = open.flat_map(|segment| {
            let plans = segment.chunks.iter().zip(&segment.plan.chunks).zip(0..);
            plans.map(move |((chunk, plan), index)| (segment, chunk, plan, index))
        });
        chunks.filter_map(move |(segment, chunk, plan, index)| match chunk {
            Chunk::Owed { failures, not_before } if segment.plan.pools[usize::from(plan.pool)] == *pool => {
                Some((ChunkId::new(segment.plan.segment, index), failures.tries, *not_before))
            }
            Chunk::Owed { .. } | Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
        })
    }

    fn results(&self, world: &World) -> Option<Trouble> {
        let bytes = self.job.output_bytes + self.job.error_bytes;
        let allowed = STILL_MS + 1_000 * (bytes / WRITTEN_BYTES_PER_S);
        let is_others_turn = world.now.since(world.archived) < STILL_MS && world.now.since(self.since) < 60_000;
        (self.is_over(world, allowed) && !is_others_turn).then(|| {
            let cause = match self.job.open.keys().next() {
                Some(segment) => format!("the results of segment {segment} are not archived"),
                None => "its output is not written".to_owned(),
            };
            let mend = "see whether a head with the role archiver runs, and whether the store and RESULTS answer \
                        (jetbatch doctor)";
            Trouble::new(Kind::Results, cause, mend, self.since)
        })
    }
}

fn unserved(pool: &Pool, view: &PoolView, since: Timestamp) -> Trouble {
    if view.is_configured {
        let mend = format!(
            "start a worker that serves it (jetbatch serve --roles worker, worker.pools), or cancel \
                            the jobs that ask for '{pool}'"
        );
        return Trouble::new(Kind::Worker, format!("no worker serves pool '{pool}'"), mend, since);
    }
    let mend = format!(
        "put [pools.{pool}] back into the configuration and start jetbatch again, or cancel the jobs \
                        that ask for it"
    );
    Trouble::new(Kind::Pool, format!("pool '{pool}' is not configured, and no worker serves it"), mend, since)
}

/// How long a pool may answer nothing.
fn allowed(view: &PoolView) -> u64 {
    match (view.is_busy, view.longest_ms) {
        (true, longest) => STILL_MS.max(RUNS.saturating_mul(longest)),
        (false, _) => STILL_MS,
    }
}

#[cfg(test)]
#[path = "stall_tests.rs"]
mod tests;
