//! A chunk's answers, as they come from RESULTS.
use super::Transient;
use crate::{parts, shared::Shared};
use domain::{
    ChunkId, Job,
    event::{Cause, FaultClass},
    job::{Chunk, Phase},
};
use wire::{Results, Subject, envelope};

/// What is known of a chunk when its segment is archived.
pub enum Answers {
    Lines(Results),
    /// Its requests get error lines instead.
    None(Why),
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Expired,
    Cancelled,
    /// Its chunk failed too often.
    GivenUp(FaultClass),
}

impl Why {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "batch_expired",
            Self::Cancelled => "batch_cancelled",
            Self::GivenUp(_) => "engine_failed",
        }
    }

    pub fn message(self) -> String {
        match self {
            Self::Expired => "This request could not be executed before the completion window expired.".to_owned(),
            Self::Cancelled => "This request was not executed because the job was cancelled.".to_owned(),
            Self::GivenUp(class) => {
                format!("This request's chunk failed too often; the last failure was '{}'.", class.as_str())
            }
        }
    }
}

/// A chunk's answers, parts put together. The log decides which chunks have any, so that every archiver comes to the
/// same; a result that is stored but not told of when the job closes counts for nothing.
pub async fn of(shared: &Shared, job: &Job, id: ChunkId) -> Result<Answers, Transient> {
    match job.chunk(id) {
        Some(Chunk::GivenUp(class)) => return Ok(Answers::None(Why::GivenUp(class))),
        Some(Chunk::Unanswered) => return closing(job).map(Answers::None).ok_or(Transient::Missing(id)),
        Some(Chunk::Owed { .. } | Chunk::Split) | None => return Err(Transient::Misfit(id.segment)),
        Some(Chunk::Done) => {}
    }
    let subject = Subject::Result { job: job.id, chunk: id };
    let raw = shared.bus.direct(&subject).await?.ok_or(Transient::Missing(id))?;
    let results = envelope::decode("result", &raw.payload)?;
    Ok(Answers::Lines(whole(shared, job, id, results).await?))
}

const fn closing(job: &Job) -> Option<Why> {
    match &job.phase {
        Phase::Closing(closing) => Some(match closing.cause {
            Cause::Expired => Why::Expired,
            Cause::Cancelled => Why::Cancelled,
        }),
        Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => None,
    }
}

async fn whole(shared: &Shared, job: &Job, chunk: ChunkId, mut results: Results) -> Result<Results, Transient> {
    if results.parts == 0 {
        return Ok(results);
    }
    let (id, tag) = (job.id, results.tag);
    let read = |part| async move {
        let subject = Subject::ResultPart { job: id, chunk, tag, part };
        Ok(shared.bus.direct(&subject).await?)
    };
    results.lines = parts::join(results.parts, read, |_| Transient::Missing(chunk)).await?;
    Ok(results)
}
