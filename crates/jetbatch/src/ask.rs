//! Who wants to know what a job would come to asks the projector.
use crate::bus::Bus;
use domain::foresight::{Asked, Quoted};
use std::time::Duration;
use tokio::time::timeout;
use wire::Quotes;

/// It answers by then, or does not.
const WITHIN: Duration = Duration::from_secs(5);

/// None: nobody forecasts now.
pub async fn quoted(bus: &Bus, asked: &Asked) -> Option<Quoted> {
    let payload = serde_json::to_vec(asked).expect("what is asked is plain JSON");
    let request = bus.client().request(Quotes.to_string(), payload.into());
    let reply = timeout(WITHIN, request).await.ok()?.ok()?;
    let read = serde_json::from_slice(&reply.payload);
    read.inspect_err(
        |error| tracing::warn!(%error, "the projector's answer cannot be read; it may be of another version"),
    )
    .ok()
}
