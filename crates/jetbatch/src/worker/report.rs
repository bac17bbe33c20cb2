//! The order that makes a crash safe: result, fact, ack. The first result stored wins, whoever's it is, and the fact
//! tells of that one.
use super::chunk::Error;
use crate::{
    bus::{Bus, PublishError, Raw},
    clock, spans, telemetry,
};
use domain::{
    ChunkId, Event, JobId,
    event::{ChunkDone, ChunkFailed, FaultClass, Trust},
    limits::REASON_CHARS_MAX,
};
use tracing::{Instrument, Span};
use uuid::Uuid;
use wire::{Message, Results, Subject, Work, envelope, parts};

/// The result that stands for a chunk, if there is one.
async fn stored(bus: &Bus, job: JobId, chunk: ChunkId) -> Result<Option<Results>, Error> {
    decode(bus.last_known(&Subject::Result { job, chunk }).await?)
}

/// The same for who only spares work by it: it may miss one that was stored a moment ago.
pub async fn stored_near(bus: &Bus, job: JobId, chunk: ChunkId) -> Result<Option<Results>, Error> {
    decode(bus.direct(&Subject::Result { job, chunk }).await?)
}

fn decode(raw: Option<Raw>) -> Result<Option<Results>, Error> {
    raw.map(|raw| envelope::decode("result", &raw.payload)).transpose().map_err(Error::Stored)
}

/// Stores a chunk's result. Gives the one that stands: this one, or the one that was first. May be repeated: a part
/// that is there is this attempt's own.
pub async fn store(bus: &Bus, work: &Work, parts: &[Message], results: &Results) -> Result<Results, Error> {
    async move {
        for part in parts {
            match bus.publish(part.clone()).await {
                Ok(_) | Err(PublishError::Taken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let subject = Subject::Result { job: work.job, chunk: work.chunk };
        let mut message = Message::new(subject, envelope::encode_about(results, encoded_bytes(results)));
        message = wire::trace::put(message, telemetry::context().as_deref());
        match bus.publish(message).await {
            Ok(_) => Ok(results.clone()),
            Err(PublishError::Taken { .. }) => {
                Ok(stored(bus, work.job, work.chunk).await?.unwrap_or_else(|| results.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }
    .instrument(if work.quiet { Span::none() } else { spans::store(results.lines.bytes().len()) })
    .await
}

/// Its lines, the size of each, and the rest.
fn encoded_bytes(results: &Results) -> usize {
    results.lines.bytes().len() + 5 * results.sizes.len() + 512
}

/// Lines too long for one message go out as parts before it. Their tag is this attempt's own.
pub fn cut(work: &Work, mut results: Results, room: usize) -> (Vec<Message>, Results) {
    let tag = Uuid::now_v7().as_u64_pair().1;
    let subject = |part| Subject::ResultPart { job: work.job, chunk: work.chunk, tag, part };
    let parts = parts::cut(results.lines.bytes_mut(), room, subject);
    if !parts.is_empty() {
        (results.tag, results.parts) = (tag, parts.len() as u32);
    }
    (parts, results)
}

/// The fact that a chunk's result is stored.
pub async fn done(bus: &Bus, work: &Work, results: &Results, delivered: u64) -> Result<(), Error> {
    let done = ChunkDone {
        at: clock::now(),
        chunk: work.chunk,
        // One that was lost before is not told of once more: who finds it later tells of it as its own.
        attempt: results.attempt.max(work.attempt),
        delivered: u32::try_from(delivered).unwrap_or(u32::MAX).max(1),
        worker: results.worker.clone(),
        started: results.started,
        tally: results.tally,
    };
    let id = format!("{}:{}:{}", work.job, work.chunk, done.attempt);
    fact(bus, work.job, &Event::ChunkDone(done), id).await
}

/// Why an attempt failed, and whether that speaks against what was attempted.
pub struct Failure {
    pub class: FaultClass,
    pub reason: String,
    pub trust: Trust,
    /// Workers that could have had it instead, where that matters.
    pub others: u32,
}

/// The fact that an attempt failed.
pub async fn failed(bus: &Bus, work: &Work, worker: &str, failure: Failure) -> Result<(), Error> {
    let failed = ChunkFailed {
        at: clock::now(),
        chunk: work.chunk,
        attempt: work.attempt,
        worker: worker.to_owned(),
        class: failure.class,
        reason: failure.reason.chars().take(REASON_CHARS_MAX).collect(),
        trust: Some(failure.trust),
        others: failure.others,
    };
    let id = format!("{}:{}:failed:{}", work.job, work.chunk, work.attempt);
    fact(bus, work.job, &Event::ChunkFailed(failed), id).await
}

async fn fact(bus: &Bus, job: JobId, event: &Event, id: String) -> Result<(), Error> {
    bus.publish(envelope::event(job, event, telemetry::context().as_deref()).id(id)).await?;
    Ok(())
}
