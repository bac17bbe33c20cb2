//! What every room is given.
use crate::{bus::Bus, config::Config, log::Feed, metrics::Metrics, troubles::Troubles};
use std::sync::Arc;
use store::Store;

/// Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub config: Arc<Config>,
    pub bus: Bus,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub troubles: Troubles,
    /// The log, read once for all rooms.
    pub feed: Feed,
}
