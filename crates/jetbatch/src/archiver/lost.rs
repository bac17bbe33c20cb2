//! Results that are gone though the log says that they were stored: purged by hand, or the tail of a stream that a
//! server lost. The log is told, and their chunks run again.
use super::{Transient, answers};
use crate::{clock, log, shared::Shared};
use domain::{ChunkId, Event, Job, JobId, event::Tally, job::Chunk, loss::Told};
use futures::{StreamExt, TryStreamExt};
use wire::{Filter, Subject, envelope, stream};

/// Results looked at at a time; each may hold one chunk's lines in memory.
const LOOKS_AT_ONCE: usize = 8;

/// Looks for the results of a segment, and tells the log of those that are not there; how many. First the results, then
/// the log: if another archiver has removed them, its fact is in the log by then.
pub async fn tell(shared: &Shared, job: &Job, number: u32) -> Result<usize, Transient> {
    let Some(segment) = job.open.get(&number) else { return Ok(0) };
    let done = segment.chunks.iter().zip(0..).filter(|(chunk, _)| **chunk == Chunk::Done);
    let done: Vec<u32> = done.map(|(_, index)| index).collect();
    let looks = done.into_iter().map(|index| async move {
        Ok::<_, Transient>((index, found(shared, job, ChunkId::new(number, index)).await?))
    });
    let found: Vec<_> = futures::stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE).try_collect().await?;
    let told = told(shared, job.id, number).await?;
    // Who ended it took its results away, too.
    if log::has_ended(&shared.bus, job.id).await? {
        return Ok(0);
    }
    let lost: Vec<_> = found.into_iter().filter_map(|(index, found)| told.lost(index, found, clock::now())).collect();
    for fact in &lost {
        let id = format!("{}:{}:lost:{}", job.id, fact.chunk, fact.attempt);
        shared.bus.publish(envelope::event(job.id, &Event::ChunkLost(*fact), None).id(id)).await?;
    }
    shared.metrics.results_lost(lost.len() as u64);
    Ok(lost.len())
}

/// What the chunk's result comes to, as the stream's leader has it. One without all its parts is removed, or it would
/// stand in the way of the next.
async fn found(shared: &Shared, job: &Job, chunk: ChunkId) -> Result<Option<Tally>, Transient> {
    let Some(raw) = shared.bus.last(&Subject::Result { job: job.id, chunk }).await? else { return Ok(None) };
    let whole = match envelope::decode("result", &raw.payload) {
        Ok(results) => answers::whole(shared, job, chunk, results).await,
        Err(error) => Err(error.into()),
    };
    match whole {
        Ok(results) => Ok(Some(results.tally)),
        Err(Transient::Missing(_) | Transient::Misfit(_) | Transient::Decode(_)) => {
            shared.bus.delete(stream::RESULTS, raw.seq).await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The job's facts up to now.
async fn told(shared: &Shared, job: JobId, segment: u32) -> Result<Told, Transient> {
    let last = shared.bus.last_seq(stream::EVENTS).await?;
    let mut told = Told::of(segment);
    log::replay(&shared.bus, Filter::FactsOf(job), 0, last, |change| told.note(&change.event)).await?;
    Ok(told)
}
