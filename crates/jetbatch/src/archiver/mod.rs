//! The archiver: RESULTS to output files, in input order. A segment whose chunks are all in is written, told of, and
//! its results are removed, in that order; when all segments are written, the output is put together. It owns the
//! files of a job, and removes them again: when the job is deleted, and what nobody needs any more. It never decides a
//! job's end. Several may run: see `ownership`.
mod answers;
mod cleaner;
mod cleanup;
mod compose;
mod expire;
mod merge;
mod orphan;
mod ownership;
mod scan;
mod segment;
mod upload_refs;

use crate::{
    bus::{PublishError, ReadError},
    lease::Members,
    log::{self, Change, Keep, Log, LogError},
    shared::Shared,
    store::StoreError,
};
use cleaner::Cleaner;
use domain::{Event, Job, JobId, job::Phase};
use futures::FutureExt;
use ownership::Ownership;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::{
    task::{self, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use wire::Filter;

/// Events folded before the next look at what is owed.
const EVENTS_AT_ONCE: usize = 512;
/// What failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the archiver cannot read the log")]
    Log(#[from] LogError),
}

/// What may pass: it is tried again.
#[derive(Debug, thiserror::Error)]
enum Transient {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("NATS could not be read")]
    Read(#[from] ReadError),
    #[error("a result could not be read")]
    Decode(#[from] wire::envelope::DecodeError),
    #[error("a fact could not be stored")]
    Publish(#[from] PublishError),
    #[error("the result of chunk {0} is not in RESULTS, though the log says it was stored")]
    Missing(domain::ChunkId),
    #[error("archiving panicked")]
    Panic(#[from] task::JoinError),
    #[error("the answers of segment {0} do not fit its plan")]
    Misfit(u32),
    #[error(
        "the parts hold {found} bytes, and the archived segments {archived}; another archiver may be removing them"
    )]
    Parts { found: u64, archived: u64 },
}

/// A piece of work: one segment of a job, or (none) its output.
type Piece = (JobId, Option<u32>);

const ROLE: &str = "archiver";

/// `name` tells archivers apart.
pub async fn run(shared: Shared, name: &str, stop: CancellationToken) -> Result<(), Error> {
    let Some(members) = stop.run_until_cancelled(Members::join(&shared, ROLE, name)).await else { return Ok(()) };
    let mut archiver = Archiver::open(shared, members).await?;
    let done = stop.run_until_cancelled(archiver.work()).await;
    archiver.members.leave().await;
    done.unwrap_or(Ok(()))
}

struct Archiver {
    shared: Shared,
    log: Log,
    tasks: JoinSet<Result<(), Transient>>,
    pieces: HashMap<task::Id, Piece>,
    busy: HashSet<Piece>,
    /// What failed, and when it may be tried again.
    again: HashMap<Piece, Instant>,
    members: Members,
    ownership: Ownership,
    cleaner: Cleaner,
    /// The log was read up to its end once.
    is_live: bool,
}

impl Archiver {
    async fn open(shared: Shared, members: Members) -> Result<Self, Error> {
        let log = Log::resume(&shared, Keep::Active).await?;
        let (tasks, pieces, busy, again, ownership) = Default::default();
        let cleaner = Cleaner::new(shared.clone());
        Ok(Self { shared, log, tasks, pieces, busy, again, members, ownership, cleaner, is_live: false })
    }

    async fn work(&mut self) -> Result<(), Error> {
        self.recall().await?;
        while !self.log.caught_up() {
            let change = self.log.next().await?;
            self.note(change);
        }
        self.is_live = true;
        loop {
            self.begin();
            self.cleaner.begin(&self.log);
            tokio::select! {
                change = self.log.next() => {
                    let change = change?;
                    self.note(change);
                    self.fold_ready()?;
                }
                Some(done) = self.tasks.join_next_with_id() => {
                    let (id, result) = done.map_or_else(|error| (error.id(), Err(error.into())), |(id, done)| (id, done));
                    if let Some(piece) = self.pieces.remove(&id) {
                        self.finish(piece, result);
                    }
                }
                () = self.cleaner.wait() => {}
                () = self.members.changed() => {}
                () = tokio::time::sleep(AGAIN), if !self.again.is_empty() || self.ownership.is_waiting() => {}
            }
        }
    }

    /// What may be removed follows from all jobs there ever were, and a snapshot holds the active ones alone. So the
    /// lifecycle of all is read again, which is a few events a job; the facts are not.
    async fn recall(&mut self) -> Result<(), Error> {
        let Some(last) = self.log.resumed().map(|from| from.seq) else { return Ok(()) };
        let bus = self.shared.bus.clone();
        Ok(log::replay(&bus, Filter::JobEvents, 0, last, |change| self.note(change)).await?)
    }

    fn fold_ready(&mut self) -> Result<(), Error> {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(change) = self.log.next().now_or_never() else { break };
            let change = change?;
            self.note(change);
        }
        Ok(())
    }

    fn note(&mut self, change: Change) {
        let job = change.job;
        let active = self.log.job(&job).map(|folded| &folded.job);
        self.cleaner.note(&change, active, self.is_live);
        match change.event {
            // The piece is settled only when its fact is folded, so that it is not begun twice.
            Event::SegmentArchived(archived) => self.settle((job, Some(archived.segment))),
            Event::OutputWritten(_) => self.settle((job, None)),
            Event::JobEnded(_) => {
                self.ownership.forget_job(job);
                self.again.retain(|(id, _), _| *id != job);
            }
            Event::JobSubmitted(_)
            | Event::JobRejected(_)
            | Event::JobPlanned(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobDeleted(_)
            | Event::JobClosing(_)
            | Event::SegmentPlanned(_)
            | Event::ChunkDone(_)
            | Event::ChunkFailed(_) => {}
        }
    }

    fn settle(&mut self, piece: Piece) {
        self.busy.remove(&piece);
        self.again.remove(&piece);
        self.ownership.settled(&piece);
    }

    /// Begins what is owed, as far as there is room.
    fn begin(&mut self) {
        let most = self.shared.config.archiver.segments_at_once.max(1);
        let now = Instant::now();
        let mut begun = Vec::new();
        for job in self.log.jobs().map(|folded| &folded.job) {
            for piece in owed(job) {
                if self.tasks.len() + begun.len() >= most {
                    break;
                }
                if self.busy.contains(&piece) || self.again.get(&piece).is_some_and(|at| *at > now) {
                    continue;
                }
                let is_own = self.members.owns(&ownership::name(piece));
                if self.ownership.may_begin(piece, is_own, now.into_std()) {
                    begun.push((piece, snapshot(job, piece.1)));
                }
            }
        }
        for (piece, job) in begun {
            self.again.remove(&piece);
            self.busy.insert(piece);
            let shared = self.shared.clone();
            let task = self.tasks.spawn(async move {
                match piece.1 {
                    Some(number) => segment::archive(&shared, &job, number).await,
                    None => compose::compose(&shared, &job).await,
                }
            });
            self.pieces.insert(task.id(), piece);
        }
    }

    fn finish(&mut self, piece: Piece, result: Result<(), Transient>) {
        if self.log.job(&piece.0).is_none() {
            self.settle(piece);
            self.cleaner.wrote_late(piece.0);
            return;
        }
        let Err(error) = result else { return };
        tracing::warn!(job = %piece.0, segment = piece.1, error = &error as &dyn std::error::Error, "archiving is tried again");
        self.busy.remove(&piece);
        self.again.insert(piece, Instant::now() + AGAIN);
    }
}

/// Segments that owe nothing, then, when all are archived, the output.
fn owed(job: &Job) -> impl Iterator<Item = Piece> + '_ {
    let active = matches!(job.phase, Phase::Running | Phase::Closing(_));
    let output = (active && job.is_archived() && job.written.is_none()).then_some((job.id, None));
    job.archivable().map(|segment| (job.id, Some(segment.plan.segment))).chain(output)
}

/// What a task needs of a job: all but the other segments.
fn snapshot(job: &Job, segment: Option<u32>) -> Job {
    let open = segment.and_then(|number| Some((number, job.open.get(&number)?.clone())));
    Job { open: open.into_iter().collect(), ..job.clone_head() }
}
