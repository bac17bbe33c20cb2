//! Looks at the store and the streams for what jobs have left. It removes no job's own.
use super::orphan::Found;
use crate::{
    bus::{Bus, Entry, Op, ReadError},
    clock,
    paths::{self, Place},
    shared::Shared,
};
use domain::Timestamp;
use futures::{StreamExt, pin_mut};
use std::time::{Duration, UNIX_EPOCH};
use store::{Store, StoreError};
use uuid::Uuid;
use wire::{FileRecord, Filter, Subject, bucket, stream};

/// Whose objects are looked at.
const FOLDERS: [&str; 2] = [paths::UPLOADS, paths::JOBS];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store could not be looked at")]
    Store(#[from] StoreError),
    #[error("the streams could not be looked at")]
    Read(#[from] ReadError),
}

/// The end of the log is asked for last: what is found is judged by all that was known when it was seen.
pub async fn look(shared: &Shared) -> Result<Found, Error> {
    let mut found = Found { at: clock::now(), ..Found::default() };
    let since = began(&shared.bus).await?;
    store(&shared.store, since, &mut found).await?;
    streams(&shared.bus, &mut found).await?;
    files(&shared.bus, &mut found).await?;
    if let Some(before) = shared.config.retention.unfinished.before(found.at) {
        tidy(&shared.store, before).await?;
    }
    found.until = shared.bus.last_seq(stream::EVENTS).await?;
    Ok(found)
}

async fn tidy(store: &Store, before: Timestamp) -> Result<(), StoreError> {
    let files = store.tidy(&FOLDERS, UNIX_EPOCH + Duration::from_millis(before.get())).await?;
    if files > 0 {
        tracing::info!(files, "writes that were never finished were removed");
    }
    Ok(())
}

/// When the log began. It tells nothing of what is older: a log that was lost and made anew must not cost the files.
async fn began(bus: &Bus) -> Result<Timestamp, ReadError> {
    let created = bus.state(stream::EVENTS).await?.created;
    let created: Option<jiff::Timestamp> = created.parse().ok();
    Ok(Timestamp::new(created.and_then(|at| u64::try_from(at.as_millisecond()).ok()).unwrap_or(u64::MAX)))
}

async fn store(store: &Store, since: Timestamp, found: &mut Found) -> Result<(), StoreError> {
    for folder in FOLDERS {
        let objects = store.walk(folder)?;
        pin_mut!(objects);
        while let Some(object) = objects.next().await {
            let (path, written) = object?;
            let written = clock::timestamp(written);
            match paths::place(&path).filter(|_| written >= since) {
                Some(Place::Upload(upload)) => drop(found.uploads.insert(upload, written)),
                Some(Place::Part(job)) => found.of(job).parts = true,
                Some(Place::Own(job)) => drop(found.of(job)),
                None => {}
            }
        }
    }
    Ok(())
}

/// Uploads that were deleted, or kept for a time that is over.
async fn files(bus: &Bus, found: &mut Found) -> Result<(), ReadError> {
    let mut files = match bus.bucket(bucket::FILES).watch(">").await {
        // An installation from before there was one.
        Err(ReadError::NoStream { .. }) => return Ok(()),
        files => files?,
    };
    while !files.caught_up() {
        let Entry { key, op, value, .. } = files.next().await?;
        let Ok(upload) = Uuid::try_parse(&key) else { continue };
        let expires = serde_json::from_slice(&value).ok().and_then(|record: FileRecord| record.expires);
        if op == Op::Delete || expires.is_some_and(|expires| expires <= found.at) {
            found.unwanted.insert(upload);
        }
    }
    Ok(())
}

/// WORK is the scheduler's: it compares what it owes with what stands there every few seconds.
async fn streams(bus: &Bus, found: &mut Found) -> Result<(), ReadError> {
    for (stream, filter) in
        [(stream::RESULTS, Filter::Results), (stream::RESULTS, Filter::Inputs), (stream::DEAD, Filter::AllDead)]
    {
        for subject in bus.subjects(stream, &filter).await?.into_keys() {
            match subject.parse() {
                Ok(Subject::Result { job, chunk } | Subject::ResultPart { job, chunk, .. }) => {
                    found.of(job).segments.insert(chunk.segment);
                }
                Ok(Subject::InputPart { job, chunk, .. } | Subject::OldInputPart { job, chunk, .. }) => {
                    found.of(job).segments.insert(chunk.segment);
                }
                Ok(Subject::Dead { job, .. } | Subject::DeadPart { job, .. }) => drop(found.of(job)),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(())
}
