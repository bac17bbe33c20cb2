//! The bus against a real nats-server.
#![allow(clippy::unwrap_used)]
mod auth;
mod buckets;
mod cluster;
mod own;
mod publish;
mod pull;
mod read;
mod streams;

use std::time::Duration;

use jetbatch::bus::{Bus, Settings};
use testkit::nats::Server;

const WAIT: Duration = Duration::from_secs(30);
const POOL: &str = "small";

/// A server with all streams, and a bus to it.
async fn stand() -> (Server, Bus) {
    let server = Server::start().await;
    let bus = connect(&settings(&server)).await;
    bus.apply_streams(&pools()).await.unwrap();
    (server, bus)
}

fn settings(server: &Server) -> Settings {
    Settings { url: Some(server.url()), ..Settings::default() }
}

async fn connect(settings: &Settings) -> Bus {
    Bus::connect(settings, "test").await.unwrap()
}

fn pools() -> Vec<String> {
    vec![POOL.to_owned()]
}
