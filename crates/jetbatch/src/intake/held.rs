//! The submissions that were taken and are not answered: the server is told again and again that they are in progress.
use crate::bus::Delivery;
use std::{collections::HashMap, sync::Arc};

/// Of one head. The consumer's `max_ack_pending` is that of several.
const HELD_MAX: usize = 2_000;
/// Of their messages: requests may lie in them.
const HELD_BYTES_MAX: usize = 32 << 20;

#[derive(Default)]
pub struct Held {
    deliveries: HashMap<u64, Arc<Delivery>>,
    bytes: usize,
}

impl Held {
    /// How many more may be taken.
    pub fn room(&self) -> usize {
        if self.bytes < HELD_BYTES_MAX { HELD_MAX.saturating_sub(self.deliveries.len()) } else { 0 }
    }

    /// None for one that is in work: it came again because it was not heard of in time, and is answered in the end.
    pub fn add(&mut self, delivery: Delivery) -> Option<Arc<Delivery>> {
        let delivery = Arc::new(delivery);
        self.bytes += delivery.payload.len();
        let old = self.deliveries.insert(delivery.seq, delivery.clone());
        self.bytes -= old.as_ref().map_or(0, |old| old.payload.len());
        old.is_none().then_some(delivery)
    }

    /// None where it is not held any more, or somebody looks at it still.
    pub fn remove(&mut self, seq: u64) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&seq)?;
        self.bytes -= delivery.payload.len();
        Arc::into_inner(delivery)
    }

    pub async fn beat(&self) {
        for delivery in self.deliveries.values() {
            if let Err(error) = delivery.progress().await {
                tracing::warn!(%error, "the server was not told that a submission is in progress");
            }
        }
    }

    /// Another head need not wait until these pass for lost.
    pub async fn give_back(self) {
        for delivery in self.deliveries.into_values().filter_map(Arc::into_inner) {
            if let Err(error) = delivery.nak(None).await {
                tracing::debug!(%error, "a submission was not given back; it comes again later");
            }
        }
    }
}
