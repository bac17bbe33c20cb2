//! Removes what nobody needs any more. Each may be done again, by any archiver, at any time.
use super::orphan::Chore;
use crate::{bus::ReadError, paths, shared::Shared};
use bus::Stream;
use domain::JobId;
use store::StoreError;
use wire::{Filter, stream};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("a stream could not be purged")]
    Purge(#[from] ReadError),
}

pub async fn perform(shared: &Shared, chore: Chore) -> Result<(), Error> {
    match chore {
        Chore::Job(job) => deleted(shared, job).await,
        Chore::Upload(upload) => Ok(shared.store.delete(&paths::upload(upload)).await?),
        Chore::Rest(job) => rest(shared, job).await,
        Chore::Results(job) => purge(shared, stream::RESULTS, Filter::JobResults(job)).await,
        Chore::Segment(job, segment) => self::segment(shared, job, segment).await,
    }
}

async fn deleted(shared: &Shared, job: JobId) -> Result<(), Error> {
    rest(shared, job).await?;
    purge(shared, stream::WORK, Filter::JobWork(job)).await?;
    purge(shared, stream::DEAD, Filter::JobDead(job)).await?;
    Ok(shared.store.delete_under(&paths::job(job)).await?)
}

async fn rest(shared: &Shared, job: JobId) -> Result<(), Error> {
    shared.store.delete_under(&paths::parts(job)).await?;
    purge(shared, stream::RESULTS, Filter::JobResults(job)).await?;
    purge(shared, stream::RESULTS, Filter::JobInputs(job)).await
}

async fn segment(shared: &Shared, job: JobId, segment: u32) -> Result<(), Error> {
    purge(shared, stream::RESULTS, Filter::SegmentResults(job, segment)).await?;
    purge(shared, stream::RESULTS, Filter::SegmentInputs(job, segment)).await
}

/// A stream that is gone holds nothing.
async fn purge(shared: &Shared, stream: Stream, filter: Filter) -> Result<(), Error> {
    match shared.bus.purge(stream, &filter).await {
        Ok(_) | Err(ReadError::NoStream { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
