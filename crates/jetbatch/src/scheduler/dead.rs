//! The dead-letter message of a chunk that was given up, with its history from the log.
use super::lines;
use crate::{
    bus::PublishError,
    log::{self, LogError},
    shared::Shared,
    store::StoreError,
};
use domain::{
    Event, Job,
    event::{ChunkFailed, ChunkPlan},
    job::Segment,
    limits::PART_BYTES_MAX,
};
use wire::{Message, Subject, envelope, work::DeadChunk};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("its failures could not be read")]
    Log(#[from] LogError),
    #[error("its requests could not be read")]
    Store(#[from] StoreError),
    #[error("the entry could not be stored")]
    Publish(#[from] PublishError),
}

/// `job` holds the chunk's segment.
pub async fn bury(shared: Shared, job: Job, failed: ChunkFailed) {
    tracing::warn!(job = %job.id, chunk = %failed.chunk, class = failed.class.as_str(), "a chunk is given up");
    if let Err(error) = store(&shared, &job, &failed).await {
        tracing::error!(job = %job.id, chunk = %failed.chunk, error = &error as &dyn std::error::Error, "a given-up chunk has no entry in DEAD");
    }
}

async fn store(shared: &Shared, job: &Job, failed: &ChunkFailed) -> Result<(), Error> {
    let chunk = failed.chunk;
    let Some(segment) = job.open.get(&chunk.segment) else { return Ok(()) };
    let Some(plan) = segment.plan.chunks.get(chunk.index as usize) else { return Ok(()) };
    let lines = lines::once(&shared.store, job, segment, plan).await?.unwrap_or_default();
    let lines = lines.slice(..lines.len().min(PART_BYTES_MAX));
    let facts = log::facts(&shared.bus, job.id).await?;
    let history = facts.into_iter().filter_map(|event| failure(event, segment, plan)).collect();
    let dead = DeadChunk { job: job.id, chunk, class: failed.class, reason: failed.reason.clone(), history, lines };
    let pool = segment.plan.pools[usize::from(plan.pool)].clone();
    let subject = Subject::Dead { pool, reason: failed.class, job: job.id, chunk };
    let message = Message::new(subject, envelope::encode(&dead)).id(format!("{}:{chunk}:dead", job.id));
    shared.bus.publish(message).await?;
    Ok(())
}

/// A failure of the chunk, or of one that it was split from: that holds the chunk's first request too.
fn failure(event: Event, segment: &Segment, plan: &ChunkPlan) -> Option<ChunkFailed> {
    let Event::ChunkFailed(failed) = event else { return None };
    if failed.chunk.segment != segment.plan.segment {
        return None;
    }
    let other = segment.plan.chunks.get(failed.chunk.index as usize)?;
    let first = plan.indices().next()?;
    other.indices().any(|index| index == first).then_some(failed)
}
