use jetbatch::streams::DECLARED;
use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use wire::stream;

use futures::StreamExt as _;
use futures::future::join_all;
use jetbatch::bus::server::{self, FindError, Server, ServerError, find};
use jetbatch::bus::{Bus, Settings, doctor};
use testkit::nats::free_port;
use testkit::process::{Signal, Start, signal};
use wire::Message;

use super::{WAIT, connect, pools};

const BINARY: &str = env!("CARGO_BIN_EXE_jetbatch");

fn settings(dir: &Path) -> Settings {
    let server_bin = Some(testkit::nats::binary());
    // Tests run beside each other, and beside whatever has the usual port.
    Settings { data_dir: dir.to_owned(), server_bin, server_port: 0, ..Settings::default() }
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
    let settings = settings(&dir.path().join("new"));
    let server = Server::start(&settings).await.unwrap();
    let mode = fs::metadata(&settings.data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "streams hold prompts");
    let (url, pid) = (server.url().to_owned(), server.pid().unwrap());
    assert!(url.starts_with("nats://127.0.0.1:"), "{url}");
    bus(&server, &settings).await.publish(Message::spelled("event.job.a", "x").id("1")).await.unwrap();
    server.stop().await.unwrap();
    assert!(!runs(pid));
    let server = Server::start(&settings).await.unwrap();
    assert_eq!(server.url(), url, "the address stays");
    assert_eq!(bus(&server, &settings).await.last_seq(stream::EVENTS).await.unwrap(), 1);
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!runs(pid));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_gets_in_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let server = Server::start(&settings).await.unwrap();
    let refused = async_nats::connect(server.url()).await.unwrap_err();
    assert_eq!(refused.kind(), async_nats::ConnectErrorKind::AuthorizationViolation, "{refused}");
    let guest = Server::start(&settings).await.unwrap();
    for known in [server.settings(&settings), guest.settings(&settings)] {
        connect(&known).await;
    }
    // Who names its address and its folder, and no login.
    let named = server::signed(&settings.with_url(server.url())).await;
    connect(&named).await;
    let [config, password] = ["nats.conf", "password"].map(|name| dir.path().join(name));
    assert_eq!((mode(&config), mode(&password)), (0o600, 0o600));
    let secret = fs::read_to_string(&password).unwrap();
    let shown = [format!("/proc/{}/cmdline", server.pid().unwrap()).into(), dir.path().join("nats-server.log")];
    for path in shown {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.is_empty() && !text.contains(&secret), "{}", path.display());
    }
    server.stop().await.unwrap();
    let again = Server::start(&settings).await.unwrap();
    assert_eq!(fs::read_to_string(&password).unwrap(), secret);
    connect(&again.settings(&settings)).await;
}

/// A folder of before there were passwords.
#[tokio::test]
async fn an_older_folder_gets_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let server = Server::start(&settings).await.unwrap();
    bus(&server, &settings).await.publish(Message::spelled("event.job.a", "x").id("1")).await.unwrap();
    server.stop().await.unwrap();
    let [config, password] = ["nats.conf", "password"].map(|name| dir.path().join(name));
    fs::remove_file(&password).unwrap();
    fs::write(&config, "# Written by an older one.\n").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start(&settings).await.unwrap();
    assert_eq!((mode(&config), mode(&password)), (0o600, 0o600));
    assert_eq!(bus(&server, &settings).await.last_seq(stream::EVENTS).await.unwrap(), 1);
    assert!(async_nats::connect(server.url()).await.is_err());
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
    bus.publish(Message::spelled("event.job.a", "x").id("1")).await.unwrap();
    signal(first, Signal::SIGKILL);
    tokio::select! {
        () = server.ended() => panic!("it was given up"),
        stored = bus.publish(Message::spelled("event.job.a", "x").id("2")) => assert_eq!(stored.unwrap().seq, 2),
    }
    assert_eq!(server.url(), url);
    assert_ne!(server.pid().unwrap(), first);
}

/// Kills a jetbatch whose server has stored an event. Gives the server, which is left behind.
async fn leave_behind(dir: &Path) -> u32 {
    let config = dir.join("jetbatch.toml");
    let pool = "[pools.tiny.engine]\nkind = 'echo'\n[http]\nlisten = '127.0.0.1:0'\n";
    fs::write(
        &config,
        format!("{pool}[nats]\nserver_port = 0\ndata_dir = '{0}'\n[store]\nurl = '{0}/store'\n", dir.display()),
    )
    .unwrap();
    let start = Start::new(BINARY).args(["serve", "--roles", "gateway", "--config"]).arg(&config);
    let mut jetbatch = start.env("JETBATCH__NATS__SERVER_BIN", testkit::nats::binary()).spawn();
    jetbatch.line("jetbatch is up", WAIT).await;
    let settings = settings(dir);
    let guest = Server::start(&settings).await.unwrap();
    bus(&guest, &settings).await.publish(Message::spelled("event.job.a", "x").id("1")).await.unwrap();
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
    assert_eq!(bus(&server, &settings).await.last_seq(stream::EVENTS).await.unwrap(), 1);
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
    assert_eq!(bus.last_seq(stream::EVENTS).await.unwrap(), 1);
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

/// The server that another installation starts, on the port that it finds usual.
async fn another(dir: &Path, port: u16) -> Server {
    Server::start(&Settings { server_port: port, ..settings(dir) }).await.unwrap()
}

#[tokio::test]
async fn the_usual_port_is_taken_by_one_of_many_and_kept() {
    let (usual, dirs) = (free_port(), [(); 4].map(|()| tempfile::tempdir().unwrap()));
    let servers = join_all(dirs.iter().map(|dir| another(dir.path(), usual))).await;
    let urls: Vec<String> = servers.iter().map(|server| server.url().to_owned()).collect();
    let first = format!("nats://127.0.0.1:{usual}");
    assert_eq!(urls.iter().filter(|url| **url == first).count(), 1, "{urls:?}");
    assert_eq!(urls.iter().collect::<HashSet<_>>().len(), 4, "{urls:?}");
    drop(servers);
    // Started in another order, nobody's address becomes another's.
    for (dir, url) in dirs.iter().zip(&urls).rev() {
        assert_eq!(another(dir.path(), usual).await.url(), url);
    }
}

#[tokio::test]
async fn a_foreign_nats_on_the_usual_port_is_left_alone() {
    let (foreign, dir) = (testkit::nats::Server::start().await, tempfile::tempdir().unwrap());
    let usual = foreign.url().rsplit(':').next().unwrap().parse().unwrap();
    let own = another(dir.path(), usual).await;
    assert_ne!(own.url(), foreign.url());
    bus(&own, &settings(dir.path())).await;
    let names = async_nats::jetstream::new(foreign.client().await).stream_names().count().await;
    assert_eq!(names, 0, "streams were made on it");
}

#[tokio::test]
async fn another_installation_that_takes_the_port_is_not_spoken_to() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mine = Settings { retry_s: 2, ..settings(dirs[0].path()) };
    let mut server = Server::start(&mine).await.unwrap();
    let bus = Bus::connect_own(&mine, &DECLARED, "test", &server).await.unwrap();
    bus.apply_streams(&pools()).await.unwrap();
    let port = server.url().rsplit(':').next().unwrap().parse().unwrap();
    signal(server.pid().unwrap(), Signal::SIGKILL);
    testkit::wait_for("the port", WAIT, || async { TcpListener::bind(("127.0.0.1", port)).ok() }).await;
    let other = another(dirs[1].path(), port).await;
    assert_eq!(other.url(), server.url());
    let others = self::bus(&other, &settings(dirs[1].path())).await;
    bus.publish(Message::spelled("event.job.a", "x").id("1")).await.unwrap_err();
    assert_eq!(others.last_seq(stream::EVENTS).await.unwrap(), 0);
    server.ended().await;
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

/// Limits or rights are no want of age.
#[test]
fn a_server_that_cannot_be_run_is_not_called_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        find(Some(&path)).unwrap_err().to_string()
    };
    for (said, word) in [
        (script("rights", "#!/bin/sh", 0o644), "cannot be run: Permission denied"),
        (script("limits", "#!/bin/sh\necho 'out of memory' >&2; exit 2", 0o755), "exit status: 2: out of memory"),
        (script("other", "#!/bin/sh\necho hello", 0o755), "tells no version"),
        (script("old", "#!/bin/sh\necho 'nats-server: v2.10.1'", 0o755), "it is 2.10.1"),
    ] {
        assert!(said.contains(word), "{said}");
    }
}
