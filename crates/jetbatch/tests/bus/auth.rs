//! Signing in to a server of someone else's, and what is said where that fails.
mod jwt;
mod login;
mod pki;
mod tls;

use super::At;
use jetbatch::streams::DECLARED;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use jetbatch::bus::{Bus, Settings};
use tempfile::TempDir;
use testkit::nats::{Options, Server};
use wire::Message;

use super::{connect, pools};

/// Far less than [`PATIENCE_S`]: what comes within it was not tried again.
const SOON: Duration = Duration::from_secs(20);
const PATIENCE_S: u64 = 120;

/// A server with these lines in its configuration, and how someone may sign in to it.
async fn serve(lines: String, client: ConnectOptions) -> Server {
    Server::start_with(Options { lines, client, ..Options::default() }).await
}

fn settings(server: &Server) -> Settings {
    Settings { connect_s: PATIENCE_S, ..super::settings(server) }
}

/// Creates the streams, stores a message and reads it.
async fn works(settings: &Settings) -> Bus {
    let bus = connect(settings).await;
    bus.apply_streams(&pools()).await.unwrap();
    store(&bus, "1").await;
    bus
}

async fn store(bus: &Bus, id: &str) {
    bus.publish(Message::spelled("event.chunk.a", "fact").id(id)).await.unwrap();
    assert_eq!(bus.last(&At("EVENTS", "event.chunk.a")).await.unwrap().unwrap().id(), Some(id));
}

/// The one line that tells why there is no connection. It names each of the words.
async fn refused(settings: &Settings, words: &[&str]) -> String {
    let connect = tokio::time::timeout(SOON, Bus::connect(settings, &DECLARED, "test")).await;
    let error = connect.expect("what no further try would change is told at once").err().expect("it is refused");
    let said = error.to_string();
    assert!(!said.contains('\n') && words.iter().all(|word| said.contains(word)), "{words:?} in: {said}");
    said
}

fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn an_address_of_something_else() {
    refused(&Settings::default().with_url("http://127.0.0.1:4222"), &["nats.url", "http"]).await;
}
