//! EVENTS as jobs: the fold that scheduler, archiver, projector and intake stand on. It only reads.
mod feed;
pub mod snapshot;

use crate::{
    bus::{Bus, Mark, Raw, ReadError, Reader},
    shared::Shared,
};
use bytes::Bytes;
use domain::{Event, Job, JobId, execute::Known, schedule::Jobs};
use feed::Cursor;
pub use feed::Feed;
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use snapshot::{Image, Snapshot};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};
use wire::{
    Filter, Subject,
    envelope::{self, DecodeError},
    stream::EVENTS,
};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    #[error("event {seq} of the log cannot be read")]
    Decode { seq: u64, source: DecodeError },
    #[error("message {seq} of the log has the subject '{subject}', which is none of an event")]
    Subject { seq: u64, subject: String },
    #[error(
        "the snapshot {path} is of event {seq}, but the log ends at {last}: EVENTS lost its end. Restore it; or, to go on \
         with this log, delete the snapshots and the bucket 'status'"
    )]
    Behind { path: String, seq: u64, last: u64 },
    #[error(
        "the snapshot {path} is of another log: EVENTS was deleted and made anew. Restore it; or, if this is the right \
         log, delete the snapshots, and the bucket 'status' unless it was restored with the log"
    )]
    Other { path: String },
}

impl LogError {
    /// Whether trying again, or waiting, cannot help: this log cannot be read, or must not be.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Decode { .. } | Self::Subject { .. } | Self::Behind { .. } | Self::Other { .. } => true,
            Self::Read(ReadError::NoStream { stream }) => stream == EVENTS.as_str(),
            Self::Read(_) => false,
        }
    }
}

/// One job as its events tell it, and how far they were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Folded {
    pub job: Job,
    /// The last sequence on `event.job.<job>`, which a lifecycle event is appended against.
    pub lifecycle_seq: u64,
    /// Its last event of either kind, up to its end.
    pub seq: u64,
}

impl Folded {
    /// What a command is decided by.
    pub const fn known(&self) -> Known<'_> {
        Known { job: &self.job, lifecycle_seq: self.lifecycle_seq }
    }
}

/// One event that was read.
#[derive(Debug)]
pub struct Change {
    pub job: JobId,
    pub seq: u64,
    pub event: Event,
    /// When it was stored.
    pub at_ms: u64,
    /// The trace context it was written with.
    pub trace: Option<String>,
    /// Events behind it when it was read.
    pending: u64,
    /// Of its message.
    bytes: usize,
}

/// Which jobs stay in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    #[default]
    All,
    /// A job that ended is dropped at once.
    Active,
}

/// The jobs of all events read so far.
pub struct Log {
    source: Source,
    /// Of the last event read.
    mark: Mark,
    /// Events behind that, as it was read.
    pending: u64,
    /// Where it may read with others.
    feed: Option<(Bus, Feed)>,
    keep: Keep,
    /// Shared with a snapshot while that is written: a job that changes meanwhile is copied once.
    jobs: HashMap<JobId, Arc<Folded>>,
    seq: u64,
    read: u64,
    resumed: Option<Resumed>,
}

/// Where a log's events come from: from a reader of its own until it has caught up, then from the one of all rooms.
enum Source {
    Own(Box<Reader>),
    Fed(Cursor),
    /// A reader of its own is opened again, behind the feed that it fell out of.
    Opening(BoxFuture<'static, Result<Reader, ReadError>>),
}

/// The snapshot that a log began from.
#[derive(Debug, Clone)]
pub struct Resumed {
    pub seq: u64,
    /// What its writer noted beside the jobs.
    pub notes: Bytes,
}

impl Log {
    /// All jobs, from the first event on.
    pub async fn open(bus: &Bus) -> Result<Self, LogError> {
        Self::open_with(bus, Keep::All).await
    }

    pub async fn open_with(bus: &Bus, keep: Keep) -> Result<Self, LogError> {
        let reader = bus.read(EVENTS, &Filter::Events, 1).await?;
        Ok(Self::new(reader, keep, HashMap::new(), 0, None))
    }

    /// From the newest snapshot on; from the first event where there is none. A log that ends before a snapshot, or is
    /// another than the snapshot's, is refused.
    pub async fn resume(shared: &Shared, keep: Keep) -> Result<Self, LogError> {
        let feed = Some((shared.bus.clone(), shared.feed.clone()));
        let Some(snapshot) = snapshot::newest(shared).await? else {
            return Ok(Self { feed, ..Self::open_with(&shared.bus, keep).await? });
        };
        let reader = shared.bus.read(EVENTS, &Filter::Events, snapshot.seq + 1).await?;
        if reader.born() != snapshot.log {
            return Err(LogError::Other { path: snapshot.path });
        }
        Ok(Self { feed, ..Self::from(reader, keep, snapshot) })
    }

    fn new(reader: Reader, keep: Keep, jobs: HashMap<JobId, Arc<Folded>>, seq: u64, resumed: Option<Resumed>) -> Self {
        let mark = Mark::new(reader.born(), seq);
        Self { source: Source::Own(Box::new(reader)), mark, pending: 0, feed: None, keep, jobs, seq, read: 0, resumed }
    }

    fn from(reader: Reader, keep: Keep, snapshot: Snapshot) -> Self {
        let Snapshot { seq, notes, mut jobs, path, .. } = snapshot;
        tracing::info!(path, seq, jobs = jobs.len(), events = reader.pending(), "the log is read on from a snapshot");
        if keep == Keep::Active {
            jobs.retain(|_, folded| !folded.job.is_terminal());
        }
        Self::new(reader, keep, jobs, seq, Some(Resumed { seq, notes }))
    }

    /// Folds the next event, waiting for it as long as it takes. May be dropped and called again: what was read is
    /// folded before anything else is waited for.
    pub async fn next(&mut self) -> Result<Arc<Change>, LogError> {
        let change = self.read().await?;
        self.fold(&change);
        Ok(change)
    }

    /// Reads the next event without folding it, for who must see the job before and after. [`Log::fold`] it next.
    pub async fn read(&mut self) -> Result<Arc<Change>, LogError> {
        let change = self.coming().await?;
        self.read += 1;
        self.mark.pass(change.seq, change.at_ms);
        self.pending = change.pending;
        Ok(change)
    }

    async fn coming(&mut self) -> Result<Arc<Change>, LogError> {
        loop {
            self.join();
            match &mut self.source {
                Source::Own(reader) => return Ok(Arc::new(change(&reader.next().await?)?)),
                Source::Fed(cursor) => match cursor.next().await {
                    Some(change) => return Ok(change),
                    None => self.source = self.alone(),
                },
                Source::Opening(opening) => match opening.await {
                    Ok(reader) => self.source = Source::Own(Box::new(reader)),
                    Err(error) => {
                        self.source = self.alone();
                        return Err(error.into());
                    }
                },
            }
        }
    }

    fn join(&mut self) {
        let (Source::Own(reader), Some((bus, feed))) = (&self.source, &self.feed) else { return };
        if let Some(cursor) = feed.join(bus, &self.mark, !reader.caught_up()) {
            self.source = Source::Fed(cursor);
        }
    }

    fn alone(&self) -> Source {
        let (mark, bus) = (self.mark.clone(), self.feed.as_ref().map(|(bus, _)| bus.clone()));
        let bus = bus.expect("only who has a feed falls out of it");
        Source::Opening(async move { bus.read_on(EVENTS, &Filter::Events, mark).await }.boxed())
    }

    pub fn fold(&mut self, change: &Change) {
        self.seq = change.seq;
        fold(&mut self.jobs, change.job, &change.event, change.seq);
        if self.keep == Keep::Active && self.job(&change.job).is_some_and(|folded| folded.job.is_terminal()) {
            self.forget(&change.job);
        }
    }

    pub fn job(&self, id: &JobId) -> Option<&Folded> {
        self.jobs.get(id).map(Arc::as_ref)
    }

    /// The same to keep: what is folded while it is held costs a copy of the job.
    pub fn share(&self, id: &JobId) -> Option<Arc<Folded>> {
        self.jobs.get(id).cloned()
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Folded> {
        self.jobs.values().map(Arc::as_ref)
    }

    /// Drops a job that nobody asks for any more. What is written of it later is not folded: a job begins once.
    pub fn forget(&mut self, id: &JobId) {
        self.jobs.remove(id);
    }

    /// The fold as it stands, for a snapshot. Costs next to nothing.
    pub fn image(&self, notes: Bytes) -> Image {
        let jobs = self.jobs.values().cloned().collect();
        Image { log: self.mark.born().to_owned(), seq: self.seq, notes, jobs }
    }

    /// Where it began, if not at the first event.
    pub fn resumed(&self) -> Option<&Resumed> {
        self.resumed.as_ref()
    }

    /// Events read by this log itself.
    pub fn events_read(&self) -> u64 {
        self.read
    }

    /// The last event read.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether every event that stood when the newest one was read is folded; also of a log without events.
    pub fn caught_up(&self) -> bool {
        match &self.source {
            Source::Own(reader) => reader.caught_up(),
            Source::Fed(cursor) => self.pending == 0 || cursor.is_at_end(),
            Source::Opening(_) => self.pending == 0,
        }
    }
}

impl Jobs for Log {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.job(&id).map(|folded| &folded.job)
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs().map(|folded| &folded.job)
    }
}

/// One job as its events up to now tell it. Intake and whoever decides start from it.
///
/// A reader may be served by a replica that is behind, and be caught up with that one. So the stream's leader is asked
/// for the last event first: whatever was acknowledged before is folded.
pub async fn job(bus: &Bus, id: JobId) -> Result<Option<Folded>, LogError> {
    let filter = Filter::EventsOf(id);
    let Some(last) = bus.last_of(EVENTS, &filter).await? else { return Ok(None) };
    let mut reader = bus.read(EVENTS, &filter, 1).await?;
    let (mut jobs, mut seq) = (HashMap::with_capacity(1), 0);
    while !reader.caught_up() || seq < last.seq {
        let raw = reader.next().await?;
        seq = raw.seq;
        let (job, event) = decode(&raw)?;
        fold(&mut jobs, job, &event, raw.seq);
    }
    Ok(jobs.remove(&id).map(Arc::unwrap_or_clone))
}

/// Whether a job's tombstone stands: it is a job's last lifecycle event. The stream's leader says so.
pub async fn is_deleted(bus: &Bus, id: JobId) -> Result<bool, ReadError> {
    last_is(bus, id, &["JobDeleted"]).await
}

/// The same of its end.
pub async fn has_ended(bus: &Bus, id: JobId) -> Result<bool, ReadError> {
    last_is(bus, id, &["JobEnded", "JobRejected", "JobDeleted"]).await
}

async fn last_is(bus: &Bus, id: JobId, names: &[&str]) -> Result<bool, ReadError> {
    let last = bus.last(&Subject::JobEvent(id)).await?;
    Ok(last.is_some_and(|raw| raw.header(envelope::TYPE).is_some_and(|name| names.contains(&name))))
}

/// Gives the events that match, from those stored at `since_ms` up to `last`. For who begins at a snapshot and does more
/// about an event than to fold it: whoever was to do it may have died before.
pub async fn replay(
    bus: &Bus,
    filter: Filter,
    since_ms: u64,
    last: u64,
    mut note: impl FnMut(Change),
) -> Result<(), LogError> {
    let mut reader = bus.read_since(EVENTS, &filter, since_ms).await?;
    while !reader.caught_up() {
        match change(&reader.next().await?)? {
            change if change.seq > last => break,
            change => note(change),
        }
    }
    Ok(())
}

fn change(raw: &Raw) -> Result<Change, LogError> {
    let (job, event) = decode(raw)?;
    let trace = wire::trace::read(|name| raw.header(name));
    let bytes = raw.payload.len();
    Ok(Change { job, seq: raw.seq, event, at_ms: raw.time_ms, trace, pending: raw.pending, bytes })
}

/// An event and the job it is of.
pub fn decode(raw: &Raw) -> Result<(JobId, Event), LogError> {
    let job = match raw.subject.parse() {
        Ok(Subject::JobEvent(job) | Subject::ChunkEvent(job)) => job,
        Ok(_) | Err(_) => return Err(LogError::Subject { seq: raw.seq, subject: raw.subject.clone() }),
    };
    let event = envelope::read_event(raw.header(envelope::VERSION), &raw.payload);
    Ok((job, event.map_err(|source| LogError::Decode { seq: raw.seq, source })?))
}

/// Facts of a job that was not begun, or was forgotten, are not folded: the compare-and-set on a job's first event
/// lets there be one beginning only.
fn fold(jobs: &mut HashMap<JobId, Arc<Folded>>, id: JobId, event: &Event, seq: u64) {
    match jobs.entry(id) {
        Entry::Occupied(entry) => evolve(Arc::make_mut(entry.into_mut()), event, seq),
        Entry::Vacant(entry) => {
            if let Some(job) = Job::begin(id, event) {
                entry.insert(Arc::new(Folded { job, lifecycle_seq: seq, seq }));
            }
        }
    }
}

/// What comes after a job's end changes nothing of its status, not even how far it was read: who drops ended jobs and
/// who keeps them must come to the same.
fn evolve(folded: &mut Folded, event: &Event, seq: u64) {
    if !folded.job.is_terminal() {
        folded.seq = seq;
    }
    folded.job.evolve(event);
    if event.is_lifecycle() {
        folded.lifecycle_seq = seq;
    }
}
