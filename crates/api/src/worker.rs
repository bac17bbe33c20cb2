use crate::{Kind, Time};
use domain::{
    Pool,
    health::{Server, Word},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A worker, as it told of itself lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    pub object: Kind,
    /// Of its process: one that serves several pools is here once for each.
    pub name: String,
    pub pool: Pool,
    pub model: String,
    pub engine: String,
    pub device: String,
    /// Requests that run together, at most.
    pub slots: u32,
    pub busy: u32,
    /// Lately.
    pub requests_per_s: f64,
    pub tokens_per_s: f64,
    /// How often its engine was started again.
    pub restarts: u32,
    pub state: Word,
    /// Of its state.
    pub since: Time,
    /// The reason for its state.
    pub why: Option<String>,
    /// Where its engine is servers elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Server>,
    pub started_at: Time,
    pub heard_at: Time,
}

/// All of them, by pool and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workers {
    pub object: Kind,
    pub data: Vec<Worker>,
}

impl Workers {
    pub const fn new(data: Vec<Worker>) -> Self {
        Self { object: Kind::List, data }
    }
}
