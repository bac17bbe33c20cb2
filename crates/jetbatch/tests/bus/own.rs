use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jetbatch::bus::server::{FindError, Server, ServerError, find};
use jetbatch::bus::{Bus, Settings, doctor};
use testkit::process::{Signal, Start, signal};
use wire::Message;

use super::{WAIT, connect, pools};

const BINARY: &str = env!("CARGO_BIN_EXE_jetbatch");

fn settings(dir: &Path) -> Settings {
    Settings { data_dir: dir.to_owned(), server_bin: Some(testkit::nats::binary()), ..Settings::default() }
}

async fn bus(server: &Server, settings: &Settings) -> Bus {
    let bus = connect(&server.settings(settings)).await;
    bus.apply_streams(&pools()).await.unwrap();
    bus
}

fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn what_is_stored_outlives_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let server = Server::start(&settings).await.unwrap();
    let (url, pid) = (server.url().to_owned(), server.pid().unwrap());
    assert!(url.starts_with("nats://127.0.0.1:"), "{url}");
    bus(&server, &settings).await.publish(Message::new("event.job.a", "x").id("1")).await.unwrap();
    server.stop().await.unwrap();
    assert!(!runs(pid));
    let server = Server::start(&settings).await.unwrap();
    assert_eq!(server.url(), url, "the address stays");
    assert_eq!(bus(&server, &settings).await.last_seq("EVENTS").await.unwrap(), 1);
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let owner = Server::start(&settings).await.unwrap();
    let guest = Server::start(&settings).await.unwrap();
    assert_eq!((guest.url(), guest.pid()), (owner.url(), None));
    guest.stop().await.unwrap();
    assert!(runs(owner.pid().unwrap()));
}

#[tokio::test]
async fn a_server_that_dies_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let mut server = Server::start(&settings).await.unwrap();
    let (url, first) = (server.url().to_owned(), server.pid().unwrap());
    let bus = bus(&server, &settings).await;
    bus.publish(Message::new("event.job.a", "x").id("1")).await.unwrap();
    signal(first, Signal::SIGKILL);
    tokio::select! {
        () = server.ended() => panic!("it was given up"),
        stored = bus.publish(Message::new("event.job.a", "x").id("2")) => assert_eq!(stored.unwrap().seq, 2),
    }
    assert_eq!(server.url(), url);
    assert_ne!(server.pid().unwrap(), first);
}

/// Kills a jetbatch whose server has stored an event. Gives the server, which is left behind.
async fn leave_behind(dir: &Path) -> u32 {
    let config = dir.join("jetbatch.toml");
    let pool = "[pools.tiny.engine]\nkind = 'echo'\n[http]\nlisten = '127.0.0.1:0'\n";
    fs::write(&config, format!("{pool}[nats]\ndata_dir = '{0}'\n[store]\nurl = '{0}/store'\n", dir.display())).unwrap();
    let start = Start::new(BINARY).args(["serve", "--roles", "gateway", "--config"]).arg(&config);
    let mut jetbatch = start.env("JETBATCH__NATS__SERVER_BIN", testkit::nats::binary()).spawn();
    jetbatch.line("jetbatch is up", WAIT).await;
    let settings = settings(dir);
    let guest = Server::start(&settings).await.unwrap();
    bus(&guest, &settings).await.publish(Message::new("event.job.a", "x").id("1")).await.unwrap();
    jetbatch.kill9().await;
    let pid = fs::read_to_string(dir.join("nats-server.pid")).unwrap().trim().parse().unwrap();
    assert!(runs(pid));
    pid
}

#[tokio::test]
async fn an_orphan_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let pid = leave_behind(dir.path()).await;
    let settings = settings(dir.path());
    let server = Server::start(&settings).await.unwrap();
    assert_eq!(server.pid(), Some(pid));
    assert_eq!(bus(&server, &settings).await.last_seq("EVENTS").await.unwrap(), 1);
    server.stop().await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn an_orphan_with_another_configuration_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let pid = leave_behind(dir.path()).await;
    let settings = Settings { sync_interval: "always".to_owned(), ..settings(dir.path()) };
    let server = Server::start(&settings).await.unwrap();
    assert!(!runs(pid) && server.pid() != Some(pid));
    let bus = bus(&server, &settings).await;
    assert_eq!(bus.last_seq("EVENTS").await.unwrap(), 1);
    let facts = doctor::gather(&bus, &server.settings(&settings), &pools()).await.unwrap();
    assert_eq!((facts.is_own, facts.sync), (true, Some(doctor::DiskSync::Always)));
}

/// A file left over by a server long gone, whose process number another process has now.
#[tokio::test]
async fn leftovers_do_not_mislead() {
    let dir = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    fs::write(dir.path().join("nats-server.pid"), pid.to_string()).unwrap();
    let ports = r#"{"nats":["nats://127.0.0.1:1"],"monitoring":["http://127.0.0.1:1"]}"#;
    fs::write(dir.path().join(format!("nats-server_{pid}.ports")), ports).unwrap();
    let server = Server::start(&settings(dir.path())).await.unwrap();
    assert_ne!(server.pid(), Some(pid));
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { sync_interval: "often".to_owned(), ..settings(dir.path()) };
    let error = Server::start(&settings).await.err().unwrap();
    assert!(matches!(&error, ServerError::Ended { log, .. } if log.contains("often")), "{error}");
}

#[test]
fn an_old_binary_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nats-server");
    fs::write(&path, "#!/bin/sh\necho 'nats-server: v2.14.5'\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let error = find(Some(&path)).unwrap_err();
    assert!(matches!(error, FindError::Unfit { .. }));
    let text = error.to_string();
    assert!(text.contains("2.14.5") && text.contains("2.15.1") && !text.contains('\n'), "{text}");
}
