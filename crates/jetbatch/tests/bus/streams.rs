use jetbatch::streams::DECLARED;
use std::fs;
use std::path::Path;

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use jetbatch::bus::{ApplyError, Bus, Change, ConnectError, Difference, FileError, Secret, Settings, doctor};
use serde_json::{Value, json};
use testkit::nats::{Options, Server};

use super::{POOL, connect, pools, settings, stand};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../streams");

/// Connects with one stream file changed.
async fn altered(server: &Server, file: &str, change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Bus) {
    altered_for(settings(server), file, change).await
}

async fn altered_for(settings: Settings, file: &str, change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Bus) {
    let dir = tempfile::tempdir().unwrap();
    let mut json: Value = serde_json::from_str(&fs::read_to_string(Path::new(FOLDER).join(file)).unwrap()).unwrap();
    change(&mut json);
    let path = dir.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, json.to_string()).unwrap();
    let bus = connect(&Settings { streams_dir: Some(dir.path().to_owned()), ..settings }).await;
    (dir, bus)
}

#[tokio::test]
async fn a_second_apply_changes_nothing() {
    let server = Server::start().await;
    let bus = connect(&settings(&server)).await;
    assert!(bus.check_streams(&pools()).await.unwrap().iter().all(|d| matches!(d, Difference::Missing { .. })));
    let first = bus.apply_streams(&pools()).await.unwrap();
    assert!(first.contains(&Change::Created { what: format!("WORK/{POOL}") }), "{first:?}");
    assert_eq!(first.len(), bus.files().streams.len() + bus.files().consumers(&pools()).len());
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
    assert_eq!(bus.check_streams(&pools()).await.unwrap(), []);
}

/// The server completes a configuration; every field that a file sets must come back as it was set.
#[tokio::test]
async fn the_client_reads_back_what_the_files_say() {
    let (_server, bus) = stand().await;
    for file in &bus.files().streams {
        let said: Config = serde_json::from_value(file.json.clone()).unwrap();
        let held = bus.js().get_stream(&file.name).await.unwrap().cached_info().config.clone();
        assert_eq!((held.retention, held.discard, held.max_age), (said.retention, said.discard, said.max_age));
        assert_eq!((held.subjects, held.max_bytes), (said.subjects, said.max_bytes), "{}", file.name);
    }
    let work = bus.js().get_stream("WORK").await.unwrap().cached_info().config.clone();
    assert_eq!(work.retention, RetentionPolicy::WorkQueue);
}

#[tokio::test]
async fn a_changed_file_updates() {
    let (server, _) = stand().await;
    let (_dir, bus) = altered(&server, "DEAD.json", |json| json["max_age"] = json!(1_000_000_000_000_u64)).await;
    let changes = bus.apply_streams(&pools()).await.unwrap();
    assert!(
        matches!(changes.as_slice(), [Change::Updated { what, fields }]
        if what == "DEAD" && fields.len() == 1 && fields[0].name == "max_age"),
        "{changes:?}"
    );
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
}

#[tokio::test]
async fn a_changed_consumer_updates() {
    let (server, _) = stand().await;
    let bus = connect(&Settings { ack_wait_s: 12, ..settings(&server) }).await;
    assert_eq!(bus.check_streams(&pools()).await.unwrap().len(), 6);
    assert_eq!(bus.apply_streams(&pools()).await.unwrap().len(), 6);
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
}

/// What an operator sets beyond the files stays.
#[tokio::test]
async fn an_update_keeps_what_the_file_leaves_out() {
    let (server, bus) = stand().await;
    let mut config = bus.js().get_stream("DEAD").await.unwrap().cached_info().config.clone();
    config.metadata.insert("owner".to_owned(), "ops".to_owned());
    bus.js().update_stream(&config).await.unwrap();
    assert_eq!(bus.check_streams(&pools()).await.unwrap(), []);
    let (_dir, bus) = altered(&server, "DEAD.json", |json| json["max_msgs"] = json!(77)).await;
    bus.apply_streams(&pools()).await.unwrap();
    let held = bus.js().get_stream("DEAD").await.unwrap().cached_info().config.clone();
    assert_eq!((held.max_messages, held.metadata["owner"].as_str()), (77, "ops"));
}

#[tokio::test]
async fn a_refused_change_names_stream_field_and_reason() {
    let (server, _) = stand().await;
    let (_dir, bus) = altered(&server, "SUBMIT.json", |json| json["retention"] = json!("limits")).await;
    let error = bus.apply_streams(&pools()).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Update { what, code: 10_052, .. } if what == "SUBMIT"));
    let text = error.to_string();
    assert!(text.contains("retention") && text.contains("can not change retention policy"), "{text}");
}

/// What it held comes again.
#[tokio::test]
async fn a_cache_is_made_anew_where_the_server_changes_none() {
    let (server, bus) = stand().await;
    let (_dir, altered) = altered(&server, "WORK.json", |json| json["retention"] = json!("limits")).await;
    let changes = altered.apply_streams(&pools()).await.unwrap();
    assert!(matches!(&changes[..], [Change::Replaced { what, .. }, ..] if what == "WORK"), "{changes:?}");
    assert_eq!(altered.apply_streams(&pools()).await.unwrap(), []);
    assert!(bus.apply_streams(&pools()).await.unwrap()[0].to_string().starts_with("WORK created anew (retention: "));
}

#[tokio::test]
async fn a_bucket_is_not_taken_from_under_its_leader() {
    let (server, _) = stand().await;
    let (_dir, bus) = altered(&server, "KV_leases.json", |json| json["retention"] = json!("workqueue")).await;
    let error = bus.apply_streams(&pools()).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Update { what, .. } if what == "KV_leases"), "{error}");
}

/// With a right that is missing, told by the subject that it is for.
#[tokio::test]
async fn who_may_not_look_at_streams_is_told_what_to_allow() {
    let lines = "authorization { users: [ {user: some, password: y, permissions: {publish: {deny: [\"$JS.API.STREAM.>\"]}}} ] }";
    let client = async_nats::ConnectOptions::with_user_and_password("some".to_owned(), "y".to_owned());
    let server = Server::start_with(Options { lines: lines.to_owned(), client, ..Options::default() }).await;
    let password = Some(Secret::new("y"));
    let bus = connect(&Settings { user: Some("some".to_owned()), password, ..settings(&server) }).await;
    let told = bus.apply_streams(&pools()).await.unwrap_err();
    assert!(
        matches!(&told, ApplyError::Denied { what, subject } if what == "EVENTS" && subject == "$JS.API.STREAM.INFO.EVENTS"),
        "{told}"
    );
}

/// A login that may not delete streams.
#[tokio::test]
async fn who_may_not_delete_a_cache_keeps_it_as_it_is() {
    let users = "authorization { users: [ {user: all, password: x}, \
                 {user: some, password: y, permissions: {publish: {deny: [\"$JS.API.STREAM.DELETE.>\"]}}} ] }";
    let client = async_nats::ConnectOptions::with_user_and_password("all".to_owned(), "x".to_owned());
    let server = Server::start_with(Options { lines: users.to_owned(), client, ..Options::default() }).await;
    let with = |user: &str, password: &str| {
        let password = Some(Secret::new(password));
        Settings { user: Some(user.to_owned()), password, retry_s: 2, ..settings(&server) }
    };
    connect(&with("all", "x")).await.apply_streams(&pools()).await.unwrap();
    let is_limited = |json: &mut Value| json["retention"] = json!("limits");
    let (_dir, some) = altered_for(with("some", "y"), "WORK.json", is_limited).await;
    assert_eq!(some.apply_streams(&pools()).await.unwrap(), []);
    assert!(
        matches!(&some.check_streams(&pools()).await.unwrap()[..], [Difference::Differs { what, .. }] if what == "WORK")
    );
}

#[tokio::test]
async fn a_server_without_memory_keeps_the_queue_on_its_disk() {
    let jetstream = "max_memory_store: 1MB".into();
    let server = Server::start_with(Options { jetstream, ..Options::default() }).await;
    let bus = connect(&settings(&server)).await;
    bus.apply_streams(&pools()).await.unwrap();
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
    assert_eq!(bus.check_streams(&pools()).await.unwrap(), []);
    let work = bus.js().get_stream("WORK").await.unwrap().cached_info().config.clone();
    assert_eq!(work.storage, async_nats::jetstream::stream::StorageType::File);
}

#[tokio::test]
async fn a_wrong_file_is_refused_before_anything_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        Settings { streams_dir: Some(dir.path().to_owned()), url: Some("nats://x".into()), ..Settings::default() };
    let connect = || async { Bus::connect(&settings, &DECLARED, "test").await.err().unwrap() };
    fs::write(dir.path().join("EVENST.json"), "{}").unwrap();
    assert!(matches!(connect().await, ConnectError::Streams(FileError::Stray { .. })));
    fs::rename(dir.path().join("EVENST.json"), dir.path().join("EVENTS.json")).unwrap();
    assert!(matches!(connect().await, ConnectError::Streams(FileError::Parse { .. })));
    fs::copy(Path::new(FOLDER).join("DEAD.json"), dir.path().join("EVENTS.json")).unwrap();
    assert!(matches!(connect().await, ConnectError::Streams(FileError::Name { .. })));
}

/// `nats-server` with 2 GiB cannot reserve the 18 GiB of the files.
#[tokio::test]
async fn a_small_server_gets_smaller_streams() {
    let server = Server::start_with(Options { jetstream: "max_file_store: 2GB".into(), ..Options::default() }).await;
    let bus = connect(&settings(&server)).await;
    bus.apply_streams(&pools()).await.unwrap();
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
    let mut reserved = 0;
    let on_disk = |json: &serde_json::Value| json["max_bytes"].as_i64() > Some(0) && json["storage"] != "memory";
    for file in bus.files().streams.iter().filter(|file| on_disk(&file.json)) {
        reserved += bus.js().get_stream(&file.name).await.unwrap().cached_info().config.max_bytes;
    }
    assert!((1 << 30..=2 << 30).contains(&reserved), "{reserved}");
    let facts = doctor::gather(&bus, &settings(&server), &pools()).await.unwrap();
    assert!(doctor::judge(&facts).iter().any(|finding| finding.what.contains("smaller than its file")));
}

/// Each looks before the other has created, and where storage is short they try it with different sizes.
#[tokio::test]
async fn processes_that_start_together_agree() {
    let options = Options { jetstream: "max_file_store: 2GB".into(), ..Options::default() };
    let server = Server::start_with(options).await;
    let starts = (0..6).map(|_| async {
        let bus = connect(&settings(&server)).await;
        bus.apply_streams(&pools()).await.unwrap();
        bus
    });
    let buses = futures::future::join_all(starts).await;
    for bus in &buses[0].files().streams {
        buses[0].js().get_stream(&bus.name).await.unwrap();
    }
}

#[tokio::test]
async fn the_doctor_reads_a_real_server() {
    let (server, bus) = stand().await;
    let facts = doctor::gather(&bus, &settings(&server), &pools()).await.unwrap();
    assert_eq!(facts.streams.len(), bus.files().streams.len());
    assert_eq!((facts.consumers.len(), facts.servers, facts.max_payload_bytes), (6, Some(1), 1 << 20));
    let grave = doctor::judge(&facts).into_iter().filter(|f| f.severity == doctor::Severity::Danger);
    assert_eq!(grave.collect::<Vec<_>>(), []);
}

#[tokio::test]
async fn a_subject_that_is_taken_names_the_stream_that_has_it() {
    let server = Server::start().await;
    let bus = connect(&settings(&server)).await;
    let orders = async_nats::jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["jobs.>".into()],
        ..Default::default()
    };
    bus.js().create_stream(orders).await.unwrap();
    let error = bus.apply_streams(&pools()).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Taken { what, by, .. } if what == "SUBMIT" && by == "ORDERS"), "{error}");
    let found = bus.check_streams(&pools()).await.unwrap();
    assert!(found.iter().any(|found| matches!(found, Difference::Taken { by, .. } if by == "ORDERS")), "{found:?}");
}

/// The longest wait for an answer of JetStream is far longer.
#[tokio::test]
async fn jetstream_that_is_switched_off_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let port = testkit::nats::free_port();
    let server =
        testkit::process::Start::new(testkit::nats::binary()).args(["-a", "127.0.0.1", "-p", &port.to_string()]);
    let _server = server.dir(dir.path()).spawn();
    let settings = Settings { connect_s: 20, ..Settings::default().with_url(&format!("nats://127.0.0.1:{port}")) };
    let bus = connect(&settings).await;
    let (since, pools) = (std::time::Instant::now(), pools());
    let told = [
        bus.apply_streams(&pools).await.err(),
        bus.open_streams(&pools).await.err(),
        bus.check_streams(&pools).await.err(),
        doctor::gather(&bus, &settings, &pools).await.err(),
    ];
    assert!(told.iter().all(|told| matches!(told, Some(ApplyError::NoJetStream { .. }))), "{told:?}");
    assert!(since.elapsed() < std::time::Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_log_that_allowed_purges_denies_them_after_an_apply() {
    let server = Server::start().await;
    let (_dir, old) = altered(&server, "EVENTS.json", |json| json["deny_purge"] = json!(false)).await;
    old.apply_streams(&pools()).await.unwrap();
    assert!(old.purge(wire::stream::EVENTS, &wire::Filter::All).await.is_ok());
    let bus = connect(&settings(&server)).await;
    bus.apply_streams(&pools()).await.unwrap();
    assert!(bus.purge(wire::stream::EVENTS, &wire::Filter::All).await.is_err());
    assert_eq!(bus.check_streams(&pools()).await.unwrap(), []);
}
