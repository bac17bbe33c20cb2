//! An archiver's room around the core's: its own fold, tasks beside one another, and what it cleans. It forgets all in a
//! crash.
use super::{
    env::{Bug, Env, Number},
    log::Fold,
    write::{self, Now, Task},
};
use domain::{
    archive::{self, Finish, Leftover, Piece},
    schedule::Moment,
};
use std::collections::VecDeque;

const TASKS_MAX: usize = 2;
const CLEAN_MS: u64 = 3_600_000;

pub struct Archiver {
    core: archive::Archiver,
    fold: Fold,
    tasks: Vec<Task>,
    cleans: VecDeque<(Number, Leftover)>,
}

impl Default for Archiver {
    fn default() -> Self {
        let (fold, tasks, cleans) = Default::default();
        Self { core: archive::Archiver::new(TASKS_MAX), fold, tasks, cleans }
    }
}

impl Archiver {
    pub fn crash(&mut self) {
        *self = Self::default();
    }

    pub fn due(&self, now: u64) -> Option<u64> {
        self.core.next_rested().map(Moment::get).filter(|at| *at > now)
    }

    /// One of: clean, fold, begin, or bring a piece further.
    pub fn step(&mut self, env: &mut Env) -> bool {
        let first = env.pick(4);
        for turn in 0..4 {
            let did = match (first + turn) % 4 {
                0 => self.fold(env),
                1 => self.begin(env),
                2 => self.work(env),
                _ => self.clean(env),
            };
            if did {
                return true;
            }
        }
        false
    }

    fn fold(&mut self, env: &Env) -> bool {
        let Some(entry) = self.fold.next_active(&env.log) else { return false };
        let job = self.fold.job(entry.job);
        let id = env.specs[entry.job].id;
        let leftover = self.core.leftover(id, &entry.event, job).filter(|_| env.now - entry.at < CLEAN_MS);
        self.core.folded(id, &entry.event, job);
        self.cleans.extend(leftover.map(|leftover| (entry.job, leftover)));
        true
    }

    fn begin(&mut self, env: &mut Env) -> bool {
        let pieces = self.core.begin(env.moment(), |_| true);
        for piece in &pieces {
            let number = env.number(piece.job);
            let Some(job) = self.fold.job(number) else { continue };
            self.tasks.push(Task::new(number, *piece, job));
            env.tell(|| format!("an archiver begins job {number} segment {:?}", piece.segment));
        }
        !pieces.is_empty()
    }

    fn work(&mut self, env: &mut Env) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let at = env.pick(self.tasks.len());
        let now = self.tasks[at].step(env);
        if let Now::Done | Now::Failed = now {
            let Task { number, piece, .. } = self.tasks.swap_remove(at);
            self.finish(env, number, piece, matches!(now, Now::Failed));
        }
        true
    }

    fn finish(&mut self, env: &Env, number: Number, piece: Piece, has_failed: bool) {
        let finish = self.core.finish(piece, has_failed, self.fold.job(number), env.moment());
        if finish == Finish::Late && !env.has(Bug::NoSecondCleaning) {
            self.cleans.push_back((number, Leftover::Rest));
        }
    }

    fn clean(&mut self, env: &mut Env) -> bool {
        let Some((job, leftover)) = self.cleans.pop_front() else { return false };
        match leftover {
            Leftover::Segment(segment) => write::purge(env, job, segment),
            Leftover::Results => env.results.retain(|(number, _), _| *number != job),
            Leftover::Rest => {
                env.files.parts.retain(|(number, ..), _| *number != job);
                env.results.retain(|(number, _), _| *number != job);
            }
        }
        env.tell(|| format!("an archiver cleans up job {job}: {leftover:?}"));
        true
    }
}
