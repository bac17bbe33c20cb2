//! Several heads on a real nats-server: who leads, who follows, and that two of a room do no harm.
#![allow(clippy::unwrap_used)]

mod archiver;
mod feed;
mod installation;
mod intake;
mod lease;
#[allow(dead_code, reason = "the projector's tests use the rest")]
#[path = "../projector/rig.rs"]
mod rig;

use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{self, Bus},
    log::Feed,
    metrics::Metrics,
    shared::Shared,
};
use rig::Rig;
use std::sync::Arc;

/// A head of its own: its own connection, its own counters.
async fn head(rig: &Rig) -> Shared {
    let settings = bus::Settings { connect_s: 30, ..bus::Settings::default().with_url(&rig.server.url()) };
    let bus = Bus::connect(&settings, &DECLARED, "head").await.unwrap();
    Shared { bus, metrics: Arc::new(Metrics::new()), feed: Feed::default(), ..rig.shared.clone() }
}

/// A counter or gauge as `/metrics` shows it.
fn metric(shared: &Shared, name: &str) -> u64 {
    let text = shared.metrics.encode();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}
