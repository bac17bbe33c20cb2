//! Settings of a pool.
use super::list;
use domain::{admission::Admission, limits::CHUNK_REQUESTS_MAX, pack::Order};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// The model names it serves; by default the pool's own name.
    #[serde(default, deserialize_with = "list::list")]
    pub models: Vec<String>,
    /// Requests a chunk holds at most; by default four for each slot, and 32 at least.
    #[serde(default)]
    pub chunk_requests: Option<u32>,
    /// What a chunk holds together; by default what the engine gains by.
    #[serde(default)]
    pub order: Option<Order>,
    /// What is done with jobs whose windows will not hold.
    #[serde(default)]
    pub admission: Admission,
    pub engine: engine::Spec,
}

/// The slots a chunk is cut for where the pool leaves them to the engine, or has fewer: each chunk costs some messages.
const SLOTS_GUESS: usize = 8;

impl PoolConfig {
    /// A pool of this engine, and the rest by default.
    pub const fn of(engine: engine::Spec) -> Self {
        Self { models: Vec::new(), chunk_requests: None, order: None, admission: Admission::Accept, engine }
    }

    pub fn chunk_requests(&self) -> u32 {
        let guess = if self.engine.kind() == engine::Kind::Echo { CHUNK_REQUESTS_MAX as usize } else { SLOTS_GUESS };
        let slots = self.engine.slots().unwrap_or(guess).max(SLOTS_GUESS);
        let slots = u32::try_from(slots).unwrap_or(CHUNK_REQUESTS_MAX);
        self.chunk_requests.unwrap_or(slots.saturating_mul(4)).clamp(1, CHUNK_REQUESTS_MAX)
    }

    pub fn order(&self) -> Order {
        self.order.unwrap_or_else(|| match &self.engine {
            // Most servers keep what they have computed of a prompt for the next one that begins alike.
            engine::Spec::Openai(_) => Order::Prefix,
            engine::Spec::Mistralrs(spec) if spec.is_paged() => Order::Length,
            engine::Spec::Mistralrs(_) | engine::Spec::Echo(_) => Order::Arrival,
        })
    }
}
