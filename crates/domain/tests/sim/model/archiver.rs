//! An archiver: its own fold, pieces of work under way beside one another, and what it cleans. It forgets all in a
//! crash.
use super::{
    env::{Bug, Env, Number},
    log::Fold,
    write::{self, Now, Piece, Task},
};
use domain::{Event, Job, job::Phase};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const TASKS_MAX: usize = 2;
const AGAIN_MS: u64 = 1_000;
const CLEAN_MS: u64 = 3_600_000;

#[derive(Default)]
pub struct Archiver {
    fold: Fold,
    tasks: Vec<Task>,
    /// Begun, and not settled until its fact is folded.
    busy: BTreeSet<Piece>,
    again: BTreeMap<Piece, u64>,
    cleans: VecDeque<Piece>,
}

impl Archiver {
    pub fn crash(&mut self) {
        *self = Self::default();
    }

    pub fn due(&self, now: u64) -> Option<u64> {
        self.again.values().filter(|at| **at > now).min().copied()
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
        let (job, is_new) = (entry.job, env.now - entry.at < CLEAN_MS);
        match &entry.event {
            Event::SegmentArchived(archived) => self.settled((job, Some(archived.segment))),
            Event::OutputWritten(_) => self.settled((job, None)),
            Event::JobEnded(_) if is_new => self.cleans.push_back((job, None)),
            Event::ChunkDone(done) if is_new && self.is_late(job, done.chunk.segment) => {
                self.cleans.push_back((job, Some(done.chunk.segment)));
            }
            _ => {}
        }
        true
    }

    fn settled(&mut self, piece: Piece) {
        self.busy.remove(&piece);
        self.again.remove(&piece);
    }

    fn is_late(&self, job: Number, segment: u32) -> bool {
        let Some(job) = self.fold.job(job) else { return true };
        job.planned.is_some() && !job.open.contains_key(&segment)
    }

    fn begin(&mut self, env: &mut Env) -> bool {
        if self.tasks.len() >= TASKS_MAX {
            return false;
        }
        let is_free =
            |piece: &Piece| !self.busy.contains(piece) && self.again.get(piece).is_none_or(|at| *at <= env.now);
        let mut jobs = self.fold.jobs.iter();
        let found = jobs.find_map(|(number, folded)| Some((owed(*number, &folded.job).find(is_free)?, &folded.job)));
        let Some((piece, job)) = found else { return false };
        self.tasks.push(Task::new(piece, job));
        self.again.remove(&piece);
        self.busy.insert(piece);
        env.tell(|| format!("an archiver begins job {} segment {:?}", piece.0, piece.1));
        true
    }

    fn work(&mut self, env: &mut Env) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let at = env.pick(self.tasks.len());
        let now = self.tasks[at].step(env);
        if let Now::Done | Now::Failed = now {
            let Task { piece, .. } = self.tasks.swap_remove(at);
            self.finish(env, piece, matches!(now, Now::Failed));
        }
        true
    }

    fn finish(&mut self, env: &Env, piece: Piece, has_failed: bool) {
        // The job ended meanwhile, by another archiver's work: what this one wrote came after the cleaning.
        if self.fold.job(piece.0).is_none() && !env.has(Bug::NoSecondCleaning) {
            self.cleans.push_back((piece.0, None));
        }
        if has_failed {
            self.busy.remove(&piece);
            self.again.insert(piece, env.now + AGAIN_MS);
        }
    }

    fn clean(&mut self, env: &mut Env) -> bool {
        let Some((job, segment)) = self.cleans.pop_front() else { return false };
        match segment {
            Some(segment) => write::purge(env, job, segment),
            None => {
                env.files.parts.retain(|(number, _, _), _| *number != job);
                env.results.retain(|(number, _), _| *number != job);
            }
        }
        env.tell(|| format!("an archiver cleans up job {job} segment {segment:?}"));
        true
    }
}

/// Segments that owe nothing, then, when all are archived, the output.
fn owed(number: Number, job: &Job) -> impl Iterator<Item = Piece> + '_ {
    let active = matches!(job.phase, Phase::Running | Phase::Closing(_));
    let output = (active && job.is_archived() && job.written.is_none()).then_some((number, None));
    job.archivable().map(move |segment| (number, Some(segment.plan.segment))).chain(output)
}
