//! A chunk's answers, as they come from RESULTS.
use super::Transient;
use crate::{bus::Raw, parts, shared::Shared};
use domain::{
    ChunkId, Job,
    event::{Cause, Closing, FaultClass},
    job::{Chunk, Phase},
};
use wire::{Lines, Results, Subject, envelope, line};

/// What is known of a chunk when its segment is archived.
pub enum Answers {
    Lines(Box<Results>),
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

    pub fn message(self, job: &Job) -> String {
        const EXPIRED: &str = "This request could not be executed before the completion window expired.";
        match self {
            Self::Expired => match &job.phase {
                Phase::Closing(Closing { reason: Some(reason), .. }) => format!("{EXPIRED} It waited: {reason}."),
                _ => EXPIRED.to_owned(),
            },
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
    let raw = read(shared, &subject).await?.ok_or(Transient::Missing(id))?;
    let results = envelope::decode("result", &raw.payload)?;
    Ok(Answers::Lines(Box::new(whole(shared, job, id, results).await?)))
}

/// A replica that lost messages, or lags, is not believed that there is none.
async fn read(shared: &Shared, subject: &Subject) -> Result<Option<Raw>, Transient> {
    match shared.bus.direct(subject).await? {
        None => Ok(shared.bus.last(subject).await?),
        found => Ok(found),
    }
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

/// With its parts, unpacked.
pub async fn whole(shared: &Shared, job: &Job, chunk: ChunkId, mut results: Results) -> Result<Results, Transient> {
    if results.parts > 0 {
        let (id, tag) = (job.id, results.tag);
        let read = |part| async move {
            let subject = Subject::ResultPart { job: id, chunk, tag, part };
            read(shared, &subject).await
        };
        *results.lines.bytes_mut() = parts::join(results.parts, read, |_| Transient::Missing(chunk)).await?;
    }
    let lines = results.lines.unpack().map_err(|_| Transient::Misfit(chunk.segment))?;
    results.lines = Lines::Plain(lines);
    if is_of(job, chunk, &results) { Ok(results) } else { Err(Transient::Misfit(chunk.segment)) }
}

/// A log that lost its end may give a chunk's name to other requests than before, and the results of then are there.
fn is_of(job: &Job, chunk: ChunkId, results: &Results) -> bool {
    let Some(plan) = job.open.get(&chunk.segment).map(|segment| &segment.plan) else { return false };
    let Some(requests) = plan.chunks.get(chunk.index as usize) else { return false };
    let ends = results.sizes.iter().scan(0, |end, size| {
        *end += *size as usize;
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let line = |place: usize| {
        let from = place.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        results.lines.bytes().get(from..*ends.get(place)?)
    };
    requests.is_answered_by(plan.first, |place| line::number(line(place)?, job.id))
}
