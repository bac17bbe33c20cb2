//! Who is there: workers that beat, and who leads.
use domain::{
    Pool, Timestamp, WorkerName,
    health::{Order, Server, Word},
};
use serde::{Deserialize, Serialize};

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
    pub at: Timestamp,
    pub started: Timestamp,
    pub requests: u64,
    pub completion_tokens: u64,
    /// A second, since the heartbeat before.
    #[serde(default)]
    pub request_rate: f64,
    #[serde(default)]
    pub token_rate: f64,
    /// Signs of life of its engine: tokens so far, of answers that are not finished, too.
    #[serde(default)]
    pub beats: u64,
    /// It was told to stop, and takes no more work.
    pub draining: bool,
    /// How often its engine was started again.
    #[serde(default)]
    pub restarts: u32,
    #[serde(default)]
    pub state: Word,
    /// Of its state.
    #[serde(default)]
    pub since: Timestamp,
    /// The reason for its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where its engine is servers elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Server>,
}

impl Heartbeat {
    /// Its key: by pool, since a process has one name for all of its pools.
    pub fn key(pool: &Pool, worker: &str) -> String {
        format!("{pool}.{}", WorkerName::of(worker))
    }
}

/// What a worker is told, on [`crate::Orders`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    pub order: Order,
}

/// A worker was found to be bad, or is sound again, on `alert.worker.<pool>.<worker>`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerAlert {
    pub worker: String,
    pub pool: Pool,
    pub at: Timestamp,
    pub state: Word,
    pub since: Timestamp,
    pub why: Option<String>,
}

/// Who holds a role, in the bucket `leases`, as JSON: renewed every second, and forgotten by the server soon after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub holder: String,
    /// When it was renewed last.
    pub at: Timestamp,
}
