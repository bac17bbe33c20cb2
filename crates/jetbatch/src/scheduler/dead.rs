//! The dead-letter message of a chunk that was given up, with its history from the log.
use super::{Passing, lines::Segments};
use crate::{bus::Bus, log};
use domain::{
    Event, Job,
    event::{ChunkFailed, ChunkPlan},
    job::Segment,
    limits::PART_BYTES_MAX,
};
use wire::{Message, Subject, envelope, work::DeadChunk};

/// None if the segment is archived already, or the chunk's requests cannot be read.
pub async fn message(
    bus: &Bus,
    segments: &mut Segments,
    job: &Job,
    failed: &ChunkFailed,
) -> Result<Option<Message>, Passing> {
    let chunk = failed.chunk;
    let Some(segment) = job.open.get(&chunk.segment) else { return Ok(None) };
    let Some(plan) = segment.plan.chunks.get(chunk.index as usize) else { return Ok(None) };
    let lines = segments.of(job, segment, plan).await?.unwrap_or_default();
    let lines = lines.slice(..lines.len().min(PART_BYTES_MAX));
    let pool = segment.plan.pools[usize::from(plan.pool)].clone();
    let facts = log::facts(bus, job.id).await?;
    let history = facts.into_iter().filter_map(|event| failure(event, segment, plan)).collect();
    let dead = DeadChunk { job: job.id, chunk, class: failed.class, reason: failed.reason.clone(), history, lines };
    let subject = Subject::Dead { pool, reason: failed.class, job: job.id, chunk };
    Ok(Some(Message::new(subject, envelope::encode(&dead)).id(format!("{}:{chunk}:dead", job.id))))
}

/// A failure of the chunk, or of one that it was split from: that holds the chunk's first request too.
fn failure(event: Event, segment: &Segment, plan: &ChunkPlan) -> Option<ChunkFailed> {
    let Event::ChunkFailed(failed) = event else { return None };
    let other = segment.plan.chunks.get(failed.chunk.index as usize)?;
    let first = plan.indices().next()?;
    (failed.chunk.segment == segment.plan.segment && other.indices().any(|index| index == first)).then_some(failed)
}
