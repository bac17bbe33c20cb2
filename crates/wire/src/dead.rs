//! What is kept of a chunk that was given up.
use bytes::Bytes;
use domain::{
    ChunkId, JobId,
    event::{ChunkFailed, FaultClass},
};
use serde::{Deserialize, Serialize};

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
