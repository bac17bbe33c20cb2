//! What every room is given.
use crate::{bus::Bus, config::Config, metrics::Metrics, store::Store};
use std::sync::Arc;

/// Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub config: Arc<Config>,
    pub bus: Bus,
    pub store: Store,
    pub metrics: Arc<Metrics>,
}
