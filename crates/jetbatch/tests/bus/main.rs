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

use jetbatch::{
    bus::{Address, Bus, Pattern, Settings, Stream},
    streams::DECLARED,
};
use std::fmt;
use testkit::nats::Server;

const WAIT: Duration = Duration::from_secs(30);
const POOL: &str = "small";

/// A subject or wildcard of a stream, spelled out: what a job's are does not matter here.
struct At(&'static str, &'static str);

impl Address for At {
    fn stream(&self) -> Stream {
        Stream::new(self.0)
    }
}

impl Pattern for At {}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

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
    Bus::connect(settings, &DECLARED, "test").await.unwrap()
}

fn pools() -> Vec<String> {
    vec![POOL.to_owned()]
}
