//! Jobs that ended long ago are deleted as `DELETE /jobs/<id>` would: a fact first, and what follows from it.
use crate::{
    bus::{Bus, ReadError},
    clock,
    command::{self, execute},
    config::Age,
    shared::Shared,
};
use domain::{JobId, Timestamp, command::Command};
use futures::StreamExt;
use serde::Deserialize;
use wire::{bucket, stream};

/// Deletions on their way at a time: each folds one job.
const AT_ONCE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the statuses could not be read")]
    Read(#[from] ReadError),
    #[error(
        "the status of job {job} stands at event {seq}, and the log ends at {last}: the log was lost or made anew, and \
         what it does not know is kept"
    )]
    Behind { job: JobId, seq: u64, last: u64 },
}

/// What is read of a `StoredStatus`.
#[derive(Deserialize)]
struct Stored {
    seq: u64,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    id: JobId,
    ended_at: Option<Timestamp>,
}

/// Appends the deletions that are due. Refuses where the log is behind the statuses.
pub async fn delete_old(shared: &Shared, age: Age) -> Result<(), Error> {
    let now = clock::now();
    let before = age.before(now);
    let due = due(&shared.bus, |ended| before.is_some_and(|before| ended <= before)).await?;
    let deletions = due.into_iter().map(|job| delete(&shared.bus, job, now));
    let deleted = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
    let deleted = deleted.filter(|done| std::future::ready(*done)).count().await;
    if deleted > 0 {
        tracing::info!(jobs = deleted, "jobs that ended long ago were deleted (retention.jobs)");
    }
    Ok(())
}

async fn due(bus: &Bus, is_old: impl Fn(Timestamp) -> bool) -> Result<Vec<JobId>, Error> {
    let mut statuses = bus.bucket(bucket::STATUS).watch(">").await?;
    let (mut due, mut newest) = (Vec::new(), None);
    while !statuses.caught_up() {
        // A key that was deleted, or a status that a newer jetbatch wrote.
        let Ok(Stored { seq, status }) = serde_json::from_slice(&statuses.next().await?.value) else { continue };
        newest = newest.max(Some((seq, status.id)));
        if status.ended_at.is_some_and(&is_old) {
            due.push(status.id);
        }
    }
    let last = bus.last_seq(stream::EVENTS).await?;
    match newest {
        Some((seq, job)) if seq > last => Err(Error::Behind { job, seq, last }),
        Some(_) | None => Ok(due),
    }
}

/// Whether it was not deleted before. What fails is the next sweep's.
async fn delete(bus: &Bus, job: JobId, at: Timestamp) -> bool {
    match execute(bus, job, None, Command::Delete { at }, None).await {
        Ok(done) => done,
        Err(command::Error::Denied(refusal)) => {
            tracing::debug!(%job, %refusal, "an old job is not deleted");
            false
        }
        Err(error) => {
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "an old job is not deleted yet");
            false
        }
    }
}
