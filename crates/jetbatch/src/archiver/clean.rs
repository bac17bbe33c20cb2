//! Removes what nobody needs any more. Failing is harmless: what stays takes room and nothing else.
use crate::{
    bus::ReadError,
    shared::Shared,
    store::{StoreError, paths},
};
use domain::JobId;
use wire::{Filter, stream};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("RESULTS could not be purged")]
    Purge(#[from] ReadError),
}

/// What a job leaves beside its files: its parts, and results that came again after their segment was archived.
pub async fn job(shared: &Shared, job: JobId) {
    if let Err(error) = ended(shared, job).await {
        tracing::warn!(%job, error = &error as &dyn std::error::Error, "what the job left was not removed");
    }
}

/// A result that came after its segment was archived. Its fact tells of it, so it is stored by now.
pub async fn late(shared: &Shared, job: JobId, segment: u32) {
    tracing::debug!(%job, segment, "a result came too late");
    self::segment(shared, job, segment).await;
}

/// What an archived segment leaves in RESULTS.
pub async fn segment(shared: &Shared, job: JobId, segment: u32) {
    for filter in [Filter::SegmentResults(job, segment), Filter::SegmentInputs(job, segment)] {
        if let Err(error) = shared.bus.purge(stream::RESULTS, &filter.to_string()).await {
            tracing::warn!(%job, segment, %error, "results of an archived segment stay until the job's end");
        }
    }
}

async fn ended(shared: &Shared, job: JobId) -> Result<(), Error> {
    shared.store.delete_under(&paths::parts(job)).await?;
    for filter in [Filter::JobResults(job), Filter::JobInputs(job)] {
        shared.bus.purge(stream::RESULTS, &filter.to_string()).await?;
    }
    Ok(())
}
