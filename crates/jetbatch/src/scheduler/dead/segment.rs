//! The entries of one segment: one read of its input, and one pass over its failures.
use super::{Error, Found};
use crate::{bus::PublishError, scheduler::lines::SegmentLines, shared::Shared};
use bytes::Bytes;
use domain::{
    Job, Pool,
    event::{ChunkFailed, ChunkPlan},
    job::Segment,
};
use futures::future::try_join_all;
use std::collections::HashMap;
use wire::{DeadChunk, Message, Owner, Subject, envelope, parts};

/// Failures that an entry tells of, the last ones: a chunk whose workers are lost over and over has more.
const HISTORY_MAX: usize = 100;
/// Ids that an entry names.
const CUSTOM_IDS_MAX: usize = 5;
/// Entries on their way at a time; each holds one chunk's requests in memory.
const ENTRIES_AT_ONCE: usize = 16;

pub async fn tell(shared: &Shared, job: &Job, found: &Found) -> Result<(), Error> {
    let number = found.failures[0].chunk.segment;
    let (Some(segment), Some(planned)) = (job.open.get(&number), &job.planned) else { return Ok(()) };
    let lines = SegmentLines::read(&shared.store, &planned.input, &segment.plan).await?;
    let histories = histories(segment, found);
    let entry = |&at: &usize| {
        let failed = &found.failures[at];
        let plan = segment.plan.chunks.get(failed.chunk.index as usize)?;
        let history = histories.get(&plan.indices().next()?).into_iter().flatten().filter(|other| **other <= at);
        let history = history.map(|other| &found.failures[*other]).collect();
        Some(publish(shared, job, segment, failed, history, lines.join(plan).unwrap_or_default()))
    };
    for some in found.last.chunks(ENTRIES_AT_ONCE) {
        try_join_all(some.iter().filter_map(entry)).await?;
    }
    Ok(())
}

/// The failures of the chunks that held a request, by the first requests of those that were given up.
fn histories(segment: &Segment, found: &Found) -> HashMap<u32, Vec<usize>> {
    let plan = |failed: &ChunkFailed| segment.plan.chunks.get(failed.chunk.index as usize);
    let firsts = found.last.iter().filter_map(|&at| plan(&found.failures[at])?.indices().next());
    let mut histories: HashMap<u32, Vec<usize>> = firsts.map(|first| (first, Vec::new())).collect();
    for (at, failed) in found.failures.iter().enumerate() {
        for index in plan(failed).into_iter().flat_map(ChunkPlan::indices) {
            if let Some(history) = histories.get_mut(&index) {
                history.push(at);
            }
        }
    }
    histories
}

async fn publish(
    shared: &Shared,
    job: &Job,
    segment: &Segment,
    failed: &ChunkFailed,
    history: Vec<&ChunkFailed>,
    lines: Bytes,
) -> Result<(), PublishError> {
    let chunk = failed.chunk;
    tracing::warn!(job = %job.id, %chunk, class = failed.class.as_str(), "a chunk is given up");
    let plan = &segment.plan.chunks[chunk.index as usize];
    let older = history.len().saturating_sub(HISTORY_MAX);
    let dead = DeadChunk {
        job: job.id,
        chunk,
        class: failed.class,
        reason: failed.reason.clone(),
        history: history[older..].iter().map(|failed| (*failed).clone()).collect(),
        endpoint: job.submitted.endpoint.clone(),
        model: job.submitted.model.clone(),
        requests: plan.requests(),
        custom_ids: custom_ids(&lines),
        lines,
        parts: 0,
    };
    let owner = Owner { tenant: job.submitted.tenant, pools: job.submitted.pools.clone() };
    store(shared, dead, segment.plan.pools[usize::from(plan.pool)].clone(), &owner).await
}

/// A request is kept whole, or it could not be replayed: one too large for the entry goes before it, in parts.
async fn store(shared: &Shared, mut dead: DeadChunk, pool: Pool, owner: &Owner) -> Result<(), PublishError> {
    let (job, chunk, reason) = (dead.job, dead.chunk, dead.class);
    let id = format!("{job}:{chunk}:dead");
    let subject = |part| Subject::DeadPart { pool: pool.clone(), reason, job, chunk, part };
    for (part, number) in parts::cut(&mut dead.lines, shared.bus.room(), subject).into_iter().zip(0..) {
        shared.bus.publish(part.id(format!("{id}:{number}"))).await?;
        dead.parts = number + 1;
    }
    let subject = Subject::Dead { pool, reason, job, chunk };
    shared.bus.publish(owner.put(Message::new(subject, envelope::encode(&dead))).id(id)).await?;
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
