//! What a worker gives back.
use crate::Lines;
use domain::{ChunkId, Timestamp, event::Tally};
use serde::{Deserialize, Serialize};

/// A chunk's answers. Output and error lines, rendered, in the order of the requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Results {
    pub chunk: Option<ChunkId>,
    pub worker: String,
    pub attempt: u32,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub tally: Tally,
    /// For each request of the chunk, in order: the bytes of its line, line end included.
    pub sizes: Vec<u32>,
    /// Positions (within the chunk) of the lines that belong into the error file.
    pub errors: Vec<u32>,
    /// The lines one after the other. Empty when `parts` is not zero.
    pub lines: Lines,
    /// Messages on `result.<job>.<segment>.<chunk>.<tag>-<part>` that make up the lines instead.
    pub parts: u32,
    pub tag: u64,
}
