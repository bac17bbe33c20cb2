//! What a worker takes.
use crate::Lines;
use domain::{ChunkId, JobId, Pool, Timestamp, event::FaultClass, limits::CHUNK_REQUESTS_MAX};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// A chunk to run, self-contained: a worker needs nothing but NATS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub job: JobId,
    pub pool: Pool,
    pub chunk: ChunkId,
    /// 1-based: failed attempts so far, and this one.
    pub attempt: u32,
    /// When the scheduler sent it.
    pub sent: Timestamp,
    pub deadline: Timestamp,
    /// For lines without `url` and for those without `body.model`.
    pub endpoint: Option<String>,
    pub model: Option<String>,
    /// It is to run with nothing beside it.
    #[serde(default)]
    pub alone: bool,
    /// Of the faults that are a request's own, those that fail the attempt instead of being its answer.
    #[serde(default)]
    pub retried: Vec<FaultClass>,
    /// Its spans are sent only where something is odd: the job has too many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// The requests' numbers within the segment, as runs `(first, count)`.
    #[serde(deserialize_with = "runs")]
    pub runs: Vec<(u32, u32)>,
    /// The 0-based number of the segment's first request in the job.
    pub first: u64,
    /// The input lines, each with its line end. Empty when `parts` is not zero.
    pub lines: Lines,
    /// Messages on `input.<job>.<segment>.<chunk>.<part>.<pool>` that make up the lines instead.
    pub parts: u32,
}

impl Work {
    /// The requests' numbers within the segment, ascending.
    pub fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|&(first, count)| first..first + count)
    }
}

/// Refuses what a worker could not count to the end.
fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(u32, u32)>, D::Error> {
    let runs = Vec::<(u32, u32)>::deserialize(deserializer)?;
    let requests: u64 = runs.iter().map(|&(_, count)| u64::from(count)).sum();
    if requests > u64::from(CHUNK_REQUESTS_MAX) || runs.iter().any(|&(first, count)| first.checked_add(count).is_none())
    {
        return Err(D::Error::custom(format!("runs of more than {CHUNK_REQUESTS_MAX} requests, or without end")));
    }
    Ok(runs)
}
