//! The fold as one object of the store, so that a start reads what came after it and not the whole log.
//!
//! It is a cache: where there is none, or none that can be used, the log is read from its first event. But its name
//! says which log it is of and how far that was read, and so tells of a log that was lost.
use super::{Folded, LogError};
use crate::{
    bus::{self, StreamState},
    paths,
    shared::Shared,
};
use bytes::Bytes;
use domain::JobId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::HashMap, sync::Arc};
use store::{Store, StoreError};
use tokio::task::{JoinError, spawn_blocking};
use wire::stream::EVENTS;

/// Of the bytes. Whoever changes what a job, or a note of the projector, is encoded as counts it up; the golden
/// snapshot says when.
pub const VERSION: u16 = 4;
/// Of one without a chunk that failed where others could have had it: who does not know of those may read it.
const TENANTS: u16 = 3;
/// Nor a job of a tenant: who does not know of tenants may.
const COMMON: u16 = 2;
const MAGIC: &[u8; 6] = b"jbsnap";
/// Magic, version, and the hash of all that follows.
const PREFIX: usize = MAGIC.len() + 2 + blake3::OUT_LEN;
/// Snapshots of a log that are kept.
const KEPT: usize = 2;

/// A fold that is being written.
pub struct Image {
    /// When EVENTS was created.
    pub log: String,
    /// The last event in it.
    pub seq: u64,
    /// What the writer wants to find beside the jobs.
    pub notes: Bytes,
    pub jobs: Vec<Arc<Folded>>,
}

/// A fold that was read.
#[derive(Debug)]
pub struct Snapshot {
    pub path: String,
    pub log: String,
    pub seq: u64,
    pub notes: Bytes,
    pub jobs: HashMap<JobId, Arc<Folded>>,
}

/// The jobs follow it, one by one.
#[derive(Serialize, Deserialize)]
struct Head {
    log: String,
    seq: u64,
    jobs: u64,
    #[serde(with = "wire::blob")]
    notes: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it cannot be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("encoding it panicked")]
    Panic(#[from] JoinError),
}

/// Why a snapshot is passed over.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it is no snapshot")]
    Strange,
    #[error("it has version {0}; this jetbatch reads {VERSION}")]
    Version(u16),
    #[error("its bytes are not those that were written")]
    Damaged,
    #[error("its content cannot be read")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("events after it are gone from the log, which begins at {0}")]
    Gap(u64),
    #[error("reading it panicked")]
    Panic(#[from] JoinError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Image {
    /// Lets go of each job as soon as it is encoded: while the two share it, a change to it costs a copy.
    pub fn encode(self) -> Result<Bytes, rmp_serde::encode::Error> {
        let mut jobs = self.jobs;
        jobs.sort_unstable_by_key(|folded| folded.job.id);
        let version = version(&jobs);
        let head = Head { log: self.log, seq: self.seq, jobs: jobs.len() as u64, notes: self.notes };
        let mut bytes = vec![0; PREFIX];
        rmp_serde::encode::write_named(&mut bytes, &head)?;
        for folded in jobs {
            rmp_serde::encode::write_named(&mut bytes, &*folded)?;
        }
        let hash = blake3::hash(&bytes[PREFIX..]);
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..MAGIC.len() + 2].copy_from_slice(&version.to_be_bytes());
        bytes[MAGIC.len() + 2..PREFIX].copy_from_slice(hash.as_bytes());
        Ok(bytes.into())
    }
}

impl Snapshot {
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self, ReadError> {
        let (prefix, mut rest) = bytes.split_at_checked(PREFIX).ok_or(ReadError::Strange)?;
        let numbers = prefix.strip_prefix(MAGIC).ok_or(ReadError::Strange)?;
        match u16::from_be_bytes([numbers[0], numbers[1]]) {
            COMMON | TENANTS | VERSION => {}
            other => return Err(ReadError::Version(other)),
        }
        if blake3::hash(rest).as_bytes() != &numbers[2..] {
            return Err(ReadError::Damaged);
        }
        let Head { log, seq, jobs: count, notes } = one(&mut rest)?;
        let mut jobs = HashMap::new();
        for _ in 0..count {
            let folded: Folded = one(&mut rest)?;
            jobs.insert(folded.job.id, Arc::new(folded));
        }
        Ok(Self { path: path.to_owned(), log, seq, notes, jobs })
    }
}

/// The oldest that has all of it.
fn version(jobs: &[Arc<Folded>]) -> u16 {
    match jobs.iter().all(|folded| folded.job.submitted.is_common()) {
        _ if jobs.iter().any(|folded| folded.job.has_witnesses()) => VERSION,
        true => COMMON,
        false => TENANTS,
    }
}

fn one<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, rmp_serde::decode::Error> {
    T::deserialize(&mut rmp_serde::Deserializer::new(bytes))
}

/// Writes it and removes older ones of the same log. Whoever reads sees all of it or nothing.
pub async fn write(store: &Store, image: Image) -> Result<(), WriteError> {
    let (log, seq, jobs) = (word(&image.log), image.seq, image.jobs.len());
    let bytes = spawn_blocking(|| image.encode()).await??;
    let size = bytes.len();
    store.put(&paths::snapshot(&log, seq), bytes).await?;
    tracing::debug!(seq, jobs, bytes = size, "a snapshot of the log is written");
    prune(store, &log).await.map_err(WriteError::from)
}

async fn prune(store: &Store, log: &str) -> Result<(), StoreError> {
    let found = list(store).await?;
    for old in found.iter().filter(|found| found.log == log).skip(KEPT) {
        store.delete(&old.path).await?;
    }
    Ok(())
}

/// Whether there are to be snapshots. A log in memory ends with its server, and one after it is no loss.
pub fn are_kept(shared: &Shared) -> bool {
    shared.config.nats.storage == bus::Storage::File
}

/// Whether the log is the one that the snapshots are of, and ends not before them. A store that is away tells nothing.
pub async fn is_known(shared: &Shared) -> Result<(), LogError> {
    if !are_kept(shared) {
        return Ok(());
    }
    let Ok(found) = list(&shared.store).await else { return Ok(()) };
    let most = found.iter().map(|found| found.seq).max().unwrap_or(0);
    check(&shared.store, &found, &shared.bus.settled(EVENTS, most, None).await?)
}

/// The newest snapshot of this log that can be used.
pub async fn newest(shared: &Shared) -> Result<Option<Snapshot>, LogError> {
    if !are_kept(shared) {
        return Ok(None);
    }
    // Before the log is looked at: what is written meanwhile would seem to be ahead of it.
    let found = match list(&shared.store).await {
        Ok(found) => found,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "snapshots cannot be read; the log is read from its first event");
            return Ok(None);
        }
    };
    let most = found.iter().map(|found| found.seq).max().unwrap_or(0);
    let state = shared.bus.settled(EVENTS, most, None).await?;
    check(&shared.store, &found, &state)?;
    for Found { path, size, .. } in found {
        match read(&shared.store, &path, size, &state).await {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(error) => {
                tracing::warn!(path, error = &error as &dyn std::error::Error, "a snapshot is passed over");
            }
        }
    }
    Ok(None)
}

struct Found {
    path: String,
    log: String,
    seq: u64,
    size: u64,
}

/// Newest first.
async fn list(store: &Store) -> Result<Vec<Found>, StoreError> {
    let found = store.list(paths::SNAPSHOTS).await?.into_iter().filter_map(|(path, size)| {
        let (log, seq) = paths::parse_snapshot(&path).map(|(log, seq)| (log.to_owned(), seq))?;
        Some(Found { path, log, seq, size })
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable_by_key(|found| std::cmp::Reverse(found.seq));
    Ok(found)
}

/// Names alone tell of a log that was lost: also that of a snapshot which nobody can read any more.
fn check(store: &Store, found: &[Found], state: &StreamState) -> Result<(), LogError> {
    let path = |found: &Found| match store.local_path(&found.path) {
        Some(path) => path.display().to_string(),
        None => found.path.clone(),
    };
    let (log, last) = (word(&state.created), state.last_seq);
    if let Some(other) = found.iter().find(|found| found.log != log) {
        return Err(LogError::Other { path: path(other) });
    }
    match found.iter().find(|found| found.seq > last) {
        Some(ahead) => Err(LogError::Behind { path: path(ahead), seq: ahead.seq, last }),
        None => Ok(()),
    }
}

async fn read(store: &Store, path: &str, size: u64, state: &StreamState) -> Result<Snapshot, ReadError> {
    let bytes = store.range(path, 0..size).await?;
    let name = path.to_owned();
    let snapshot = spawn_blocking(move || Snapshot::decode(&name, &bytes)).await??;
    match paths::parse_snapshot(path) {
        Some((log, seq)) if log == word(&snapshot.log) && seq == snapshot.seq => {}
        Some(_) | None => return Err(ReadError::Damaged),
    }
    if state.first_seq > snapshot.seq + 1 { Err(ReadError::Gap(state.first_seq)) } else { Ok(snapshot) }
}

/// A log by the time of its creation, as a name of a file.
fn word(created: &str) -> String {
    blake3::hash(created.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests;
