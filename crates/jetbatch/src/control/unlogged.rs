//! A command for a job that the log does not know, and its status does: the log was cut above its beginning. Nothing but
//! a cancel is of use to it, and that is its end. It is folded from nothing, so that whoever reads the log from there on
//! finds a job that was cancelled, and its key taken.
use crate::{
    bus::ReadError,
    clock,
    command::{self, bury},
    shared::Shared,
};
use domain::{JobId, decide::Denied};
use wire::{StoredStatus, bucket, stream};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the job's status could not be read")]
    Read(#[from] ReadError),
    #[error("the job's status cannot be read; it may be of a newer jetbatch")]
    Strange(#[from] serde_json::Error),
    #[error("the job's status knows of event {seq}, and the log ends at {last}")]
    Behind { seq: u64, last: u64 },
    #[error(transparent)]
    Command(#[from] command::Error),
}

/// What its status says; None: it never was.
pub async fn find(shared: &Shared, job: JobId) -> Result<Option<StoredStatus>, Error> {
    let Some((value, _)) = shared.bus.bucket(bucket::STATUS).get(&job.to_string()).await? else { return Ok(None) };
    let stored: StoredStatus = serde_json::from_slice(&value)?;
    let (seq, last) = (stored.seq, shared.bus.last_seq(stream::EVENTS).await?);
    // Such a log has lost its end: the rooms stop at it, and nothing is to be added to it.
    if seq > last { Err(Error::Behind { seq, last }) } else { Ok(Some(stored)) }
}

/// False: another event came first.
pub async fn cancel(shared: &Shared, stored: &StoredStatus) -> Result<bool, Error> {
    let event = domain::decide::bury(&stored.status, clock::now()).map_err(command::Error::Denied)?;
    Ok(bury(&shared.bus, stored.status.id, event).await?)
}

/// Why another command is refused.
pub fn refusal(stored: &StoredStatus) -> String {
    match stored.status.state {
        state if state.is_terminal() => Denied::Ended(state).to_string(),
        _ => "the job's events are gone from the log; cancel it, and submit it anew".to_owned(),
    }
}
