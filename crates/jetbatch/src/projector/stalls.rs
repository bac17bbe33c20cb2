//! Which jobs stand still, and what they wait for: what the rooms tell, and what is found by watching the jobs.
use super::run::Projector;
use crate::{
    clock,
    log::Folded,
    shared::Shared,
    troubles::{Board, Mirror},
};
use domain::{
    Event, Job, JobId, Pool, Timestamp,
    event::ChunkDone,
    forecast::Owed,
    schedule,
    stall::{self, PoolView, Progress, Stall, Still, World},
    trouble::{Kind, Scope, Trouble},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use wire::{Heartbeat, Lease, bucket};

/// A worker beats every five seconds, and may miss one.
const BEAT_WITHIN: Duration = Duration::from_secs(11);
/// A leader renews every second.
const LEASE_WITHIN: Duration = Duration::from_secs(5);
const SCHEDULER: &str = "scheduler";
/// Jobs that are told of one by one; the others have it in their status alone.
const TOLD_MAX: usize = 100;

pub struct Stalls {
    board: Board,
    workers: Mirror<Heartbeat>,
    leases: Mirror<Lease>,
    runs: BTreeMap<Pool, Run>,
    /// What each worker's engine has told of itself last.
    beats: HashMap<String, u64>,
    /// The most urgent job that each pool owes answers, and since when it is that.
    first: BTreeMap<Pool, (JobId, Timestamp)>,
    clear_since: Timestamp,
    validated: Timestamp,
    archived: Timestamp,
    /// That events are gone was told, here and not by the door.
    is_cut: bool,
}

/// What was seen of a pool's chunks.
#[derive(Default)]
struct Run {
    answered: Timestamp,
    moved: Timestamp,
    longest_ms: u64,
}

/// Where a job stood when it last came further.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    progress: Progress,
    pub since: Timestamp,
}

impl Stalls {
    pub fn new(shared: &Shared) -> Self {
        let bus = &shared.bus;
        let (workers, leases) = (bus.bucket(bucket::WORKERS), bus.bucket(bucket::LEASES));
        Self {
            board: Board::follow(bus),
            workers: Mirror::follow(workers),
            leases: Mirror::follow(leases),
            runs: BTreeMap::new(),
            beats: HashMap::new(),
            first: BTreeMap::new(),
            clear_since: clock::now(),
            validated: Timestamp::default(),
            archived: Timestamp::default(),
            is_cut: false,
        }
    }

    /// An event changed a job. `before`: what it was owed by the pool of the chunk that the event is about.
    pub fn see(&mut self, event: &Event, before: &Owed) {
        let now = clock::now();
        match event {
            Event::JobSubmitted(_) | Event::SegmentPlanned(_) | Event::JobPlanned(_) | Event::JobRejected(_) => {
                self.validated = now;
            }
            Event::SegmentArchived(_) | Event::OutputWritten(_) | Event::JobEnded(_) => self.archived = now,
            Event::ChunkDone(done) => before.iter().for_each(|(pool, _)| self.ran(pool, done, now)),
            Event::ChunkFailed(_)
            | Event::ChunkLost(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobClosing(_)
            | Event::JobDeleted(_) => {}
        }
    }

    fn ran(&mut self, pool: &Pool, done: &ChunkDone, now: Timestamp) {
        let run = self.runs.entry(pool.clone()).or_default();
        // A long one is forgotten after some dozen short ones.
        run.longest_ms = done.at.since(done.started).max(run.longest_ms - run.longest_ms / 16);
        run.answered = now;
    }

    /// Which engines have gone on since the last look.
    fn feel(&mut self, now: Timestamp) {
        let beats = self.workers.within(BEAT_WITHIN);
        for (key, beat) in &beats {
            if self.beats.get(key).is_some_and(|before| beat.beats > *before) {
                self.runs.entry(beat.pool.clone()).or_default().moved = now;
            }
        }
        self.beats = beats.into_iter().map(|(key, beat)| (key, beat.beats)).collect();
    }

    /// Who would run a chunk that is sent now, by pool. That a pool has nobody is known when all have had time to beat.
    pub fn workers<'a>(&self, owed: impl Iterator<Item = &'a Pool>, now: Timestamp) -> BTreeMap<Pool, u64> {
        let is_clear = u128::from(now.since(self.clear_since)) >= BEAT_WITHIN.as_millis();
        let mut workers = BTreeMap::new();
        for pool in owed.filter(|_| is_clear) {
            if !workers.contains_key(pool) {
                workers.insert(pool.clone(), 0);
            }
        }
        for (_, beat) in self.workers.within(BEAT_WITHIN) {
            *workers.entry(beat.pool).or_default() += u64::from(beat.state.works() && !beat.draining);
        }
        workers
    }

    fn world(&self, shared: &Shared, now: Timestamp) -> World {
        let mut pools: BTreeMap<Pool, PoolView> = BTreeMap::new();
        for pool in shared.config.pools.keys() {
            pools.entry(pool.clone()).or_default().is_configured = true;
        }
        for (_, beat) in self.workers.within(BEAT_WITHIN).into_iter().filter(|(_, beat)| !beat.draining) {
            let view = pools.entry(beat.pool.clone()).or_default();
            (view.workers, view.is_busy) = (view.workers + 1, view.is_busy || beat.busy > 0);
        }
        for (pool, run) in &self.runs {
            let view = pools.entry(pool.clone()).or_default();
            (view.answered, view.moved, view.longest_ms) = (run.answered, run.moved, run.longest_ms);
        }
        let is_scheduled = self.leases.within(LEASE_WITHIN).iter().any(|(key, _)| key == SCHEDULER);
        let Self { clear_since, validated, archived, .. } = *self;
        World { now, clear_since, pools, validated, archived, is_scheduled }
    }
}

impl Stand {
    /// Where a job stands after an event; `since` stays where it came no further.
    pub fn after(before: Option<Self>, job: &Job, now: Timestamp) -> Self {
        let progress = Progress::of(job);
        let since = before.filter(|stand| stand.progress == progress).map_or(now, |stand| stand.since);
        Self { progress, since }
    }
}

/// What a room tells that keeps this job waiting. What troubles the whole installation counts for a job that stands still.
fn of_room(still: &Still<'_>, is_still: bool, told: &HashMap<Scope, Trouble>) -> Option<Trouble> {
    let of_job = told.get(&Scope::Job(still.job.id)).filter(|_| !still.job.is_terminal());
    let mut of_pools = still.owed.iter().filter_map(|(pool, _)| told.get(&Scope::Pool(pool.clone())));
    let of_all = || told.get(&Scope::Installation).filter(|_| is_still);
    of_job.or_else(|| of_pools.next()).or_else(of_all).cloned()
}

/// What is known when one looks: the world, and what the rooms tell.
struct View {
    world: World,
    told: HashMap<Scope, Trouble>,
}

/// What a job waits for, and whose trouble that is where no room tells of it.
struct Found {
    job: JobId,
    trouble: Trouble,
    scope: Option<Scope>,
}

impl View {
    fn of(&self, still: &Still<'_>, turns: &BTreeMap<Pool, Timestamp>) -> Option<Found> {
        let stall = stall::stall(still, &self.world, turns);
        let job = still.job.id;
        if let Some(trouble) = of_room(still, stall.is_some(), &self.told) {
            return Some(Found { job, trouble, scope: None });
        }
        let Stall { pool, trouble } = stall?;
        Some(Found { job, trouble, scope: Some(pool.map_or(Scope::Job(job), Scope::Pool)) })
    }
}

impl Projector {
    /// Finds anew what each job waits for, and tells of it.
    pub fn watch(&mut self) {
        let now = clock::now();
        if !self.shared.bus.is_connected() {
            self.stalls.clear_since = now;
        }
        self.stalls.feel(now);
        let told = self.stalls.board.worst().into_iter().map(|(scope, told)| (scope, told.trouble)).collect();
        let found = self.stalled(&View { world: self.stalls.world(&self.shared, now), told });
        self.shared.metrics.stalled(found.len());
        self.tell_of_log(now);
        self.shared.troubles.found(untold(&found));
        self.table.iter_mut().for_each(|(_, entry)| entry.stalled = None);
        for Found { job, trouble, .. } in found {
            self.table.entry(job).stalled = Some(trouble);
        }
    }

    /// A running job whose own events are gone takes no command and has no end: what follows is appended after them.
    fn tell_of_log(&mut self, now: Timestamp) {
        let first = self.health.first_seq();
        let is_cut = |folded: &&Folded| !folded.job.is_terminal() && folded.lifecycle_seq < first;
        let cut = self.log.jobs().filter(is_cut).count();
        let was_cut = std::mem::replace(&mut self.stalls.is_cut, cut > 0);
        if cut == 0 {
            if was_cut {
                self.shared.troubles.clear(&Scope::Installation, Kind::Log);
            }
            return;
        }
        let cause = format!(
            "EVENTS begins at event {first} now, and jobs that run ({cut}) stand on older ones: it was purged, or forgets too soon"
        );
        let mend = "restore EVENTS from a backup and start jetbatch again, or cancel these jobs and submit them anew; let EVENTS deny purges and keep a year (jetbatch streams apply)";
        self.shared.troubles.tell(Scope::Installation, Trouble::new(Kind::Log, cause, mend, now));
    }

    /// Who waits for whom follows the order in which they are sent.
    fn stalled(&mut self, view: &View) -> Vec<Found> {
        let (mut found, mut first) = (Vec::new(), BTreeMap::new());
        let others = self.log.jobs().map(|folded| &folded.job).filter(|job| !job.is_terminal() && !job.is_wanted());
        for job in schedule::order(self.log.jobs().map(|folded| &folded.job)).into_iter().chain(others) {
            let Some(entry) = self.table.peek(&job.id) else { continue };
            let since = entry.stand.map_or(view.world.clear_since, |stand| stand.since);
            let mut turns = BTreeMap::new();
            for (pool, _) in entry.owed.iter().filter(|(pool, _)| !first.contains_key(*pool)) {
                let known = self.stalls.first.get(pool).filter(|(id, _)| *id == job.id);
                turns.insert(pool.clone(), known.map_or(view.world.now, |(_, since)| *since));
            }
            first.extend(turns.iter().map(|(pool, since)| (pool.clone(), (job.id, *since))));
            found.extend(view.of(&Still { job, owed: &entry.owed, since }, &turns));
        }
        self.stalls.first = first;
        found
    }
}

/// What no room tells of, once each, and of single jobs not more than can be read.
fn untold(found: &[Found]) -> Vec<(Scope, Trouble)> {
    let mut untold = BTreeMap::new();
    for Found { trouble, scope, .. } in found {
        let Some(scope) = scope else { continue };
        if !matches!(scope, Scope::Job(_)) || untold.len() < TOLD_MAX {
            untold.entry((scope.clone(), trouble.what)).or_insert_with(|| trouble.clone());
        }
    }
    untold.into_iter().map(|((scope, _), trouble)| (scope, trouble)).collect()
}
