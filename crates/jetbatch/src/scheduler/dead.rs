//! The dead-letter message of a chunk that was given up, with its history from the log.
use super::lines;
use crate::{
    bus::PublishError,
    log::{self, LogError},
    shared::Shared,
    store::StoreError,
};
use domain::{
    Event, Job, Pool,
    event::{ChunkFailed, ChunkPlan},
    job::Segment,
    limits::PART_BYTES_MAX,
};
use wire::{Message, Subject, envelope, work::DeadChunk};

/// Failures that an entry tells of, the last ones: a chunk whose workers are lost over and over has more.
const HISTORY_MAX: usize = 100;
/// Ids that an entry names.
const CUSTOM_IDS_MAX: usize = 5;

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
    let facts = log::facts(&shared.bus, job.id).await?;
    let mut history: Vec<_> = facts.into_iter().filter_map(|event| failure(event, segment, plan)).collect();
    history.drain(..history.len().saturating_sub(HISTORY_MAX));
    let submitted = &job.submitted;
    let dead = DeadChunk {
        job: job.id,
        chunk,
        class: failed.class,
        reason: failed.reason.clone(),
        history,
        endpoint: submitted.endpoint.clone(),
        model: submitted.model.clone(),
        requests: plan.requests(),
        custom_ids: custom_ids(&lines),
        lines,
        parts: 0,
    };
    publish(shared, dead, segment.plan.pools[usize::from(plan.pool)].clone()).await
}

/// A request is kept whole, or it could not be replayed: one too large for the entry goes before it, in parts.
async fn publish(shared: &Shared, mut dead: DeadChunk, pool: Pool) -> Result<(), Error> {
    let (job, chunk, reason) = (dead.job, dead.chunk, dead.class);
    let id = format!("{job}:{chunk}:dead");
    if dead.lines.len() > PART_BYTES_MAX {
        let lines = std::mem::take(&mut dead.lines);
        for (bytes, part) in lines.chunks(PART_BYTES_MAX).zip(0..) {
            let subject = Subject::DeadPart { pool: pool.clone(), reason, job, chunk, part };
            shared.bus.publish(Message::new(subject, lines.slice_ref(bytes)).id(format!("{id}:{part}"))).await?;
            dead.parts = part + 1;
        }
    }
    let subject = Subject::Dead { pool, reason, job, chunk };
    shared.bus.publish(Message::new(subject, envelope::encode(&dead)).id(id)).await?;
    Ok(())
}

fn custom_ids(lines: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        custom_id: String,
    }
    let lines = lines.split(|b| *b == b'\n').take(CUSTOM_IDS_MAX);
    lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()).map(|line| line.custom_id).collect()
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
