//! The archiver: RESULTS to output files, in input order. A segment whose chunks are all in is written, told of, and
//! its results are removed, in that order; when all segments are written, the output is put together. It owns the
//! files of a job, and removes them again: when the job is deleted, and what nobody needs any more. It never decides a
//! job's end. What is begun when, [`domain::archive`] says. Several may run: see `ownership`.
mod answers;
mod cleaner;
mod cleanup;
mod compose;
mod expire;
mod lost;
mod merge;
mod orphan;
mod ownership;
mod scan;
mod segment;
mod upload_refs;

use crate::{
    bus::{PublishError, ReadError},
    chain::chain,
    clock::{self, Uptime},
    lease::Members,
    log::{self, Change, Keep, Log, LogError},
    shared::Shared,
};
use cleaner::Cleaner;
use domain::{
    Event, Job,
    archive::{self, Finish, Piece},
    trouble::{Kind, Scope, Trouble},
};
use futures::FutureExt;
use ownership::Ownership;
use std::{collections::HashMap, time::Duration};
use store::StoreError;
use tokio::{
    task::{self, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use wire::Filter;

/// Events folded before the next look at what is owed.
const EVENTS_AT_ONCE: usize = 512;
/// How often time alone is asked whether something may be begun.
const TICK: Duration = Duration::from_secs(1);

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
    #[error("the log could not be read")]
    Log(#[from] LogError),
    #[error("results of {0} chunks are gone from RESULTS; these chunks run again")]
    Lost(usize),
    #[error("archiving panicked")]
    Panic(#[from] task::JoinError),
    #[error("the answers of segment {0} do not fit its plan")]
    Misfit(u32),
    #[error(
        "the parts hold {found} bytes, and the archived segments {archived}; another archiver may be removing them"
    )]
    Parts { found: u64, archived: u64 },
}

impl Transient {
    /// What they are told as.
    const KINDS: [Kind; 3] = [Kind::Store, Kind::Log, Kind::Results];

    fn trouble(&self) -> Trouble {
        let (kind, mend) = match self {
            Self::Store(_) => {
                (Kind::Store, "Give the store room, rights or its connection back; it is tried again by itself.")
            }
            Self::Read(ReadError::NoStream { .. }) => {
                (Kind::Log, "Run `jetbatch streams apply`; what was lost runs again by itself.")
            }
            Self::Read(_) | Self::Publish(_) | Self::Log(_) => {
                (Kind::Log, "See `jetbatch doctor`; it is tried again by itself.")
            }
            Self::Lost(_) => {
                (Kind::Results, "Nothing: what is gone runs again. If nobody purged RESULTS, see `jetbatch doctor`.")
            }
            Self::Missing(_) | Self::Decode(_) | Self::Misfit(_) | Self::Parts { .. } | Self::Panic(_) => (
                Kind::Results,
                "It is tried again by itself; if it lasts, see the log of the archiver, or cancel the job.",
            ),
        };
        Trouble::new(kind, chain(self), mend, clock::now())
    }
}

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
    core: archive::Archiver,
    log: Log,
    tasks: JoinSet<Result<(), Transient>>,
    pieces: HashMap<task::Id, Piece>,
    members: Members,
    ownership: Ownership,
    cleaner: Cleaner,
    uptime: Uptime,
    /// The log was read up to its end once.
    is_live: bool,
}

impl Archiver {
    async fn open(shared: Shared, members: Members) -> Result<Self, Error> {
        let log = Log::resume(&shared, Keep::Active).await?;
        let mut core = archive::Archiver::new(shared.config.archiver.segments_at_once);
        log.jobs().for_each(|folded| core.look(&folded.job));
        let (tasks, pieces, ownership) = Default::default();
        let (cleaner, uptime) = (Cleaner::new(shared.clone()), Uptime::default());
        Ok(Self { shared, core, log, tasks, pieces, members, ownership, cleaner, uptime, is_live: false })
    }

    async fn work(&mut self) -> Result<(), Error> {
        self.recall().await?;
        while !self.log.caught_up() {
            let change = self.log.next().await?;
            self.note(&change);
        }
        self.is_live = true;
        loop {
            self.begin();
            self.cleaner.begin(&self.log);
            tokio::select! {
                change = self.log.next() => {
                    let change = change?;
                    self.note(&change);
                    self.fold_ready()?;
                }
                Some(done) = self.tasks.join_next_with_id() => {
                    let (id, result) = done.map_or_else(|error| (error.id(), Err(error.into())), |(id, done)| (id, done));
                    if let Some(piece) = self.pieces.remove(&id) {
                        self.finish(piece, &result);
                    }
                }
                () = self.cleaner.wait() => {}
                () = self.members.changed() => {}
                () = tokio::time::sleep(TICK), if self.core.next_rested().is_some() || self.ownership.is_waiting() => {}
            }
        }
    }

    /// What may be removed follows from all jobs there ever were, and a snapshot holds the active ones alone. So the
    /// lifecycle of all is read again, which is a few events a job; the facts are not.
    async fn recall(&mut self) -> Result<(), Error> {
        let Some(last) = self.log.resumed().map(|from| from.seq) else { return Ok(()) };
        let bus = self.shared.bus.clone();
        Ok(log::replay(&bus, Filter::JobEvents, 0, last, |change| self.note(&change)).await?)
    }

    fn fold_ready(&mut self) -> Result<(), Error> {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(change) = self.log.next().now_or_never() else { break };
            let change = change?;
            self.note(&change);
        }
        Ok(())
    }

    fn note(&mut self, change: &Change) {
        let job = change.job;
        let active = self.log.job(&job).map(|folded| &folded.job);
        let leftover = self.core.leftover(job, &change.event, active);
        self.cleaner.note(change, active, leftover, self.is_live);
        self.core.folded(job, &change.event, active);
        match &change.event {
            Event::SegmentArchived(archived) => self.ownership.settled(&Piece { job, segment: Some(archived.segment) }),
            Event::OutputWritten(_) => self.ownership.settled(&Piece { job, segment: None }),
            Event::JobEnded(_) => self.ownership.forget_job(job),
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
            | Event::ChunkFailed(_)
            | Event::ChunkLost(_) => {}
        }
    }

    /// Begins what is owed, as far as there is room.
    fn begin(&mut self) {
        let (members, ownership, now) = (&self.members, &mut self.ownership, Instant::now().into_std());
        let may = |piece| ownership.may_begin(piece, members.owns(&ownership::name(piece)), now);
        for piece in self.core.begin(self.uptime.moment(), may) {
            let Some(job) = self.log.job(&piece.job).map(|folded| piece.of(&folded.job)) else {
                self.core.finish(piece, true, None, self.uptime.moment());
                continue;
            };
            let task = self.tasks.spawn(write(self.shared.clone(), piece, job));
            self.pieces.insert(task.id(), piece);
        }
    }

    fn finish(&mut self, piece: Piece, result: &Result<(), Transient>) {
        let active = self.log.job(&piece.job).map(|folded| &folded.job);
        match (self.core.finish(piece, result.is_err(), active, self.uptime.moment()), result) {
            (Finish::Late, _) => {
                self.ownership.settled(&piece);
                self.cleaner.wrote_late(piece.job);
            }
            (_, Err(error)) => {
                self.shared.troubles.tell(Scope::Job(piece.job), error.trouble());
                let error = error as &dyn std::error::Error;
                tracing::warn!(job = %piece.job, segment = piece.segment, error, "archiving is tried again");
            }
            (_, Ok(())) => {
                Transient::KINDS.iter().for_each(|kind| self.shared.troubles.clear(&Scope::Job(piece.job), *kind))
            }
        }
    }
}

async fn write(shared: Shared, piece: Piece, job: Job) -> Result<(), Transient> {
    match piece.segment {
        Some(number) => segment::archive(&shared, &job, number).await,
        None => compose::compose(&shared, &job).await,
    }
}
