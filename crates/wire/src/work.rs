//! What a worker takes and what it gives back.
use bytes::Bytes;
use domain::{
    ChunkId, JobId, Millis, Pool,
    event::{ChunkFailed, FaultClass, Tally},
    limits::CHUNK_REQUESTS_MAX,
};
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
    pub sent: Millis,
    pub deadline: Millis,
    /// For lines without `url` and for those without `body.model`.
    pub endpoint: Option<String>,
    pub model: Option<String>,
    /// It is to run with nothing beside it.
    #[serde(default)]
    pub alone: bool,
    /// Of the faults that are a request's own, those that fail the attempt instead of being its answer.
    #[serde(default)]
    pub retried: Vec<FaultClass>,
    /// The requests' numbers within the segment, as runs `(first, count)`.
    #[serde(deserialize_with = "runs")]
    pub runs: Vec<(u32, u32)>,
    /// The 0-based number of the segment's first request in the job.
    pub first: u64,
    /// The input lines, each with its line end. Empty when `parts` is not zero.
    #[serde(with = "crate::blob")]
    pub lines: Bytes,
    /// Messages on `input.<job>.<segment>.<chunk>.<part>` that make up the lines instead.
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

/// A chunk's answers. Output and error lines, rendered, in the order of the requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Results {
    pub chunk: Option<ChunkId>,
    pub worker: String,
    pub attempt: u32,
    pub started: Millis,
    pub ended: Millis,
    pub tally: Tally,
    /// For each request of the chunk, in order: the bytes of its line, line end included.
    pub sizes: Vec<u32>,
    /// Positions (within the chunk) of the lines that belong into the error file.
    pub errors: Vec<u32>,
    /// The lines one after the other. Empty when `parts` is not zero.
    #[serde(with = "crate::blob")]
    pub lines: Bytes,
    /// Messages on `result.<job>.<segment>.<chunk>.<tag>-<part>` that make up the lines instead.
    pub parts: u32,
    pub tag: u64,
}

/// What a worker says of itself, in the bucket `workers`, by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub worker: String,
    pub pool: Pool,
    pub model: String,
    pub engine: String,
    pub device: String,
    pub slots: u32,
    pub busy: u32,
    pub at: Millis,
    pub started: Millis,
    pub requests: u64,
    pub completion_tokens: u64,
    /// A second, since the heartbeat before.
    #[serde(default)]
    pub request_rate: f64,
    #[serde(default)]
    pub token_rate: f64,
    /// It was told to stop, and takes no more work.
    pub draining: bool,
    /// How often its engine was started again.
    #[serde(default)]
    pub restarts: u32,
}

/// Who holds a role, in the bucket `leases`, as JSON: renewed every second, and forgotten by the server soon after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    /// When it was renewed last.
    pub at: Millis,
}

/// A job's status as it stands in the bucket `status`, as JSON: the folded part, the sequence of the last event folded
/// into it, and the part that depends on the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredStatus {
    pub v: u32,
    pub seq: u64,
    pub status: domain::status::Status,
    pub live: domain::status::Live,
}

/// A change of a job's standing against its deadline, on `alert.sla.<job>`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaAlert {
    pub job: JobId,
    pub at: Millis,
    pub sla: domain::eta::Sla,
    pub deadline: Millis,
    pub eta: Option<domain::eta::Eta>,
    pub remaining: u64,
}

/// A chunk that was given up, on `dead.<pool>.<reason>.<job>.<segment>.<chunk>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadChunk {
    pub job: JobId,
    pub chunk: ChunkId,
    /// Its last failure.
    pub class: FaultClass,
    pub reason: String,
    /// The failures of it and of the chunks it was split from, the first one first.
    pub history: Vec<ChunkFailed>,
    /// What its job gave to lines without `url` and to those without `body.model`.
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(default)]
    pub model: Option<String>,
    /// How many requests it holds: split chunks hold one.
    #[serde(default)]
    pub requests: u32,
    /// The ids of the first of them.
    #[serde(default)]
    pub custom_ids: Vec<String>,
    /// Its requests, the input lines, each whole. Empty when `parts` is not zero.
    #[serde(with = "crate::blob")]
    pub lines: Bytes,
    /// Messages on `dead.<pool>.<reason>.<job>.<segment>.<chunk>.<part>` that make up the lines instead.
    #[serde(default)]
    pub parts: u32,
}
