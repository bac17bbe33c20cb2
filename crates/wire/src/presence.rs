//! Who is there: workers that beat, and who leads.
use domain::{Millis, Pool};
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
