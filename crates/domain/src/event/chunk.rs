//! What became of a chunk.
use super::is_zero;
use crate::{ChunkId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Tokens as the engine counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.completion = self.completion.saturating_add(other.completion);
        self.cached = self.cached.saturating_add(other.cached);
    }
}

/// What became of a number of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub completed: u64,
    /// Error lines: the engine refused the request, or gave it up.
    pub failed: u64,
    /// Error lines of requests that the job's end left without an answer (expired or cancelled).
    pub unanswered: u64,
    pub usage: Usage,
}

impl Tally {
    pub const fn requests(&self) -> u64 {
        self.completed.saturating_add(self.failed).saturating_add(self.unanswered)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.completed = self.completed.saturating_add(other.completed);
        self.failed = self.failed.saturating_add(other.failed);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.usage += other.usage;
    }
}

impl std::ops::SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        self.completed = self.completed.saturating_sub(other.completed);
        self.failed = self.failed.saturating_sub(other.failed);
        self.unanswered = self.unanswered.saturating_sub(other.unanswered);
        self.usage.prompt = self.usage.prompt.saturating_sub(other.usage.prompt);
        self.usage.completion = self.usage.completion.saturating_sub(other.usage.completion);
        self.usage.cached = self.usage.cached.saturating_sub(other.usage.cached);
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkDone {
    pub at: Timestamp,
    pub chunk: ChunkId,
    /// The one that stored the result, or a later one that found it.
    pub attempt: u32,
    /// Deliveries of this attempt, the first included: more than one when a worker was lost with it.
    pub delivered: u32,
    pub worker: String,
    /// When the worker began to run it.
    pub started: Timestamp,
    pub tally: Tally,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkFailed {
    pub at: Timestamp,
    pub chunk: ChunkId,
    pub attempt: u32,
    pub worker: String,
    pub class: FaultClass,
    pub reason: String,
    /// What the worker's record said of it. None: nobody asked, as in the logs of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Other workers of the pool that took work then, as far as the worker counted them: a few are enough.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u32,
}

/// Whether a failure on a worker speaks against what failed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    Trusted,
    /// It fails with other requests, too, or did lately.
    Untrusted,
}

/// RESULTS does not hold any more what a chunk's last fact told of: it is owed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLost {
    pub at: Timestamp,
    pub chunk: ChunkId,
    /// The one that was told to be done.
    pub attempt: u32,
    /// What it was told to have come to.
    pub tally: Tally,
}

/// Why an attempt failed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FaultClass {
    /// The engine does not take the request. By default that is its answer, and no failure.
    Refused,
    /// The prompt is longer than the model's context. By default that is its answer, and no failure.
    TooLong,
    Overloaded,
    OutOfMemory,
    /// The engine's process ended with the chunk in it.
    EngineDied,
    /// Workers took the chunk and were not heard of again.
    WorkerLost,
    Timeout,
    /// The chunk's input or its result could not be kept.
    Storage,
    /// NATS did not take what the worker had to say.
    Nats,
    /// The engine failed in another way.
    Internal,
    /// Nothing failed: the worker was told to stop, and could not finish the chunk in time.
    HandedBack,
}

impl FaultClass {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether it may be the worker's fault as well as the request's: its engine is to be asked something else.
    pub const fn is_doubtful(self) -> bool {
        match self {
            Self::OutOfMemory | Self::EngineDied | Self::Timeout | Self::Internal => true,
            // Who tells of it may be the one that was lost.
            Self::WorkerLost => true,
            Self::Refused | Self::TooLong | Self::Overloaded => false,
            Self::Storage | Self::Nats | Self::HandedBack => false,
        }
    }
}
