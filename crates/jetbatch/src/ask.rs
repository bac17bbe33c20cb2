//! Who wants to know what a job would come to, or what tenants used, asks the projector.
use crate::bus::Bus;
use domain::{
    foresight::{Asked, Quoted},
    usage,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Display, time::Duration};
use tokio::time::timeout;
use wire::{Quotes, Usages};

/// It answers by then, or does not.
const WITHIN: Duration = Duration::from_secs(5);

/// None: nobody forecasts now.
pub async fn quoted(bus: &Bus, asked: &Asked) -> Option<Quoted> {
    ask(bus, Quotes, asked).await
}

/// None: nobody tells now.
pub async fn used(bus: &Bus, asked: &usage::Asked) -> Option<usage::Told> {
    ask(bus, Usages, asked).await
}

async fn ask<T: DeserializeOwned>(bus: &Bus, whom: impl Display, asked: &impl Serialize) -> Option<T> {
    let payload = serde_json::to_vec(asked).expect("what is asked is plain JSON");
    let request = bus.client().request(whom.to_string(), payload.into());
    let reply = timeout(WITHIN, request).await.ok()?.ok()?;
    let read = serde_json::from_slice(&reply.payload);
    read.inspect_err(
        |error| tracing::warn!(%error, "the projector's answer cannot be read; it may be of another version"),
    )
    .ok()
}
