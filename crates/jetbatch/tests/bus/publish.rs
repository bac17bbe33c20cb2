use super::At;
use jetbatch::streams::DECLARED;
use std::collections::HashSet;
use std::time::Duration;
use wire::stream;

use jetbatch::bus::{Append, Bus, PublishError, Settings};
use testkit::nats::{Options, Server};
use testkit::wait_for;
use wire::Message;

use super::{WAIT, connect, pools, settings, stand};

fn fact(id: impl ToString) -> Message {
    Message::spelled("event.chunk.a", "fact").id(id)
}

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let (_server, bus) = stand().await;
    let first = bus.publish(fact("a:1").header("ev-type", "ChunkDone")).await.unwrap();
    assert_eq!((first.stream.as_str(), first.seq, first.duplicate), ("EVENTS", 1, false));
    let again = bus.publish(fact("a:1")).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (1, true));
    let raw = bus.last(&At("EVENTS", "event.chunk.a")).await.unwrap().unwrap();
    assert_eq!((raw.seq, raw.id(), raw.header("ev-type")), (1, Some("a:1"), Some("ChunkDone")));
    assert_eq!(raw.payload, "fact");
    assert!(raw.time_ms > 1_700_000_000_000);
}

#[tokio::test]
async fn a_subject_of_no_stream_is_an_error_at_once() {
    let (_server, bus) = stand().await;
    let error = bus.publish(Message::spelled("nobody.home", "x")).await.unwrap_err();
    assert!(matches!(error, PublishError::NoStream { .. }), "{error}");
}

#[tokio::test]
async fn a_message_too_large_is_an_error_at_once() {
    let (_server, bus) = stand().await;
    let error = bus.publish(Message::spelled("dead.a", vec![0; 2 << 20])).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { max: 1_048_576, .. }), "{error}");
}

#[tokio::test]
async fn the_first_result_wins() {
    let (_server, bus) = stand().await;
    let result = |id: &str| Message::spelled("result.a.0.1", id.to_owned()).id(id);
    bus.publish(result("first")).await.unwrap();
    assert!(bus.publish(result("first")).await.unwrap().duplicate);
    let error = bus.publish(result("second")).await.unwrap_err();
    assert!(matches!(&error, PublishError::Taken { subject } if subject == "result.a.0.1"), "{error}");
    let raw = bus.direct(&At("RESULTS", "result.a.0.1")).await.unwrap().unwrap();
    assert_eq!(raw.payload, "first");
    assert!(bus.direct(&At("RESULTS", "result.a.0.2")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_then_an_error() {
    let (server, bus) = stand().await;
    let mut config = bus.js().get_stream("WORK").await.unwrap().cached_info().config.clone();
    config.max_messages = 1;
    bus.js().update_stream(&config).await.unwrap();
    let bus = connect(&Settings { retry_s: 1, ..settings(&server) }).await;
    let work = |n: u32| Message::spelled(format!("work.small.a.0.{n}"), "x").id(n);
    bus.publish(work(1)).await.unwrap();
    let error = bus.offer(work(2)).await.unwrap_err();
    assert!(matches!(&error, PublishError::Full { stream, .. } if stream == "WORK"), "{error}");
    assert_eq!(bus.counts().publish_retries, 0, "an offer does not wait");
    let error = bus.publish(work(2)).await.unwrap_err();
    assert!(matches!(&error, PublishError::Full { stream, .. } if stream == "WORK"), "{error}");
    assert!(bus.counts().publish_retries > 0);
    let patient = connect(&settings(&server)).await;
    let waiting = tokio::spawn({
        let patient = patient.clone();
        async move { patient.publish(work(3)).await.unwrap() }
    });
    let refused = || async { (patient.counts().publish_retries >= 2).then_some(()) };
    wait_for("the publish to be refused", WAIT, refused).await;
    assert_eq!(bus.purge(stream::WORK, &At("WORK", "work.>")).await.unwrap(), 1);
    // The server must not remember the id of a message that it refused.
    let stored = waiting.await.unwrap();
    assert_eq!((stored.seq, stored.duplicate), (2, false));
    assert!(bus.last(&At("WORK", "work.small.a.0.3")).await.unwrap().is_some());
}

#[tokio::test]
async fn of_two_appends_one_wins() {
    let (_server, bus) = stand().await;
    let event = |id: &str| Message::spelled("event.job.a", "event").id(id);
    assert_eq!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1));
    assert_eq!(bus.append(event("other"), 0).await.unwrap(), Append::Conflict);
    assert_eq!(bus.append(event("2"), 1).await.unwrap(), Append::Stored(2));
    // A sequence is that of the subject: what others append elsewhere is no conflict.
    assert_eq!(bus.append(Message::spelled("event.job.b", "event").id("b1"), 0).await.unwrap(), Append::Stored(3));
    assert_eq!(bus.append(event("3"), 2).await.unwrap(), Append::Stored(4));
    let error = bus.append(Message::spelled("event.job.a", "event"), 4).await.unwrap_err();
    assert!(matches!(error, PublishError::NoId { .. }), "{error}");
}

/// A lost acknowledgement looks like a conflict when the append is made again; the log says who won.
#[tokio::test]
async fn an_append_made_again_is_stored_and_no_conflict() {
    let (_server, bus) = stand().await;
    let event = |id: &str| Message::spelled("event.job.a", "event").id(id);
    assert_eq!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1));
    assert_eq!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1));
    // Even when others went on since.
    assert_eq!(bus.append(event("2"), 1).await.unwrap(), Append::Stored(2));
    assert_eq!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1));
    assert_eq!(bus.append(event("late"), 1).await.unwrap(), Append::Conflict);
    assert_eq!(bus.state(stream::EVENTS).await.unwrap().messages, 2);
}

#[tokio::test]
async fn many_writers_one_winner() {
    let (_server, bus) = stand().await;
    let appends = (0..32).map(|n| {
        let bus = bus.clone();
        async move { bus.append(Message::spelled("event.job.a", "event").id(n), 0).await.unwrap() }
    });
    let outcomes = futures::future::join_all(appends).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Append::Stored(_))).count(), 1);
}

#[tokio::test]
async fn a_window_stores_all_in_order() {
    let (_server, bus) = stand().await;
    let mut window = bus.window(256);
    for n in 0..5_000 {
        window.push(fact(n)).await.unwrap();
    }
    window.flush().await.unwrap();
    assert_eq!(ids(&bus).await, (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_window_tells_of_its_errors() {
    let (_server, bus) = stand().await;
    let mut window = bus.window(8);
    window.push(Message::spelled("result.a.0.1", "one").id("1")).await.unwrap();
    window.flush().await.unwrap();
    let pushed = window.push(Message::spelled("result.a.0.1", "two").id("2")).await;
    let error = pushed.and(window.flush().await).unwrap_err();
    assert!(matches!(error, PublishError::Taken { .. }), "{error}");
}

/// `kill -9` in the middle: nothing lost, nothing doubled.
#[tokio::test]
async fn publishing_survives_the_server() {
    const COUNT: usize = 20_000;
    let (mut server, bus) = stand().await;
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            let mut window = bus.window(64);
            for n in 0..COUNT {
                window.push(fact(n)).await.unwrap();
            }
            window.flush().await.unwrap();
        }
    });
    for part in [4, 2] {
        let reached = || async { (bus.last_seq(stream::EVENTS).await.unwrap() as usize > COUNT / part).then_some(()) };
        wait_for("a part to be stored", WAIT, reached).await;
        server.kill().await;
        server.restart().await;
    }
    publisher.await.unwrap();
    let ids = ids(&bus).await;
    let unique: HashSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), unique.len()), (COUNT, COUNT));
    assert!(bus.counts().publish_retries > 0 && bus.counts().reconnects >= 2, "{:?}", bus.counts());
}

/// A cache that is deleted is created again; a stream of truth is not.
#[tokio::test]
async fn only_a_cache_comes_back() {
    let (server, bus) = stand().await;
    let bus_short = connect(&Settings { retry_s: 2, ..settings(&server) }).await;
    for stream in ["WORK", "EVENTS"] {
        bus.js().delete_stream(stream).await.unwrap();
    }
    bus.publish(Message::spelled("work.small.a.0.1", "x").id("1")).await.unwrap();
    let error = bus_short.publish(fact(1)).await.unwrap_err();
    assert!(matches!(&error, PublishError::Unavailable { stream, .. } if stream == "EVENTS"), "{error}");
    assert!(!bus.apply_streams(&pools()).await.unwrap().is_empty());
}

/// A forbidden publish is never answered; the server says so on the side.
#[tokio::test]
async fn a_forbidden_publish_fails_early() {
    let users = "authorization { users: [ {user: all, password: x}, \
                 {user: some, password: y, permissions: {publish: {deny: [\"event.>\", \"$JS.API.STREAM.PURGE.>\"]}}} ] }";
    let client = async_nats::ConnectOptions::with_user_and_password("all".to_owned(), "x".to_owned());
    let server = Server::start_with(Options { lines: users.to_owned(), client, ..Options::default() }).await;
    let with = |user: &str, password: &str| Settings {
        user: Some(user.to_owned()),
        password: Some(jetbatch::bus::Secret::new(password)),
        ..settings(&server)
    };
    connect(&with("all", "x")).await.apply_streams(&pools()).await.unwrap();
    let bus = connect(&with("some", "y")).await;
    let publish = tokio::time::timeout(Duration::from_secs(3), bus.publish(fact(1)));
    let error = publish.await.expect("it does not wait for an answer").unwrap_err();
    assert!(matches!(error, PublishError::Forbidden { .. }), "{error}");
    let error = bus.purge(stream::WORK, &At("WORK", "work.>")).await.unwrap_err().to_string();
    assert!(error.contains("denies"), "{error}");
    let wrong = Bus::connect(&with("all", "wrong"), &DECLARED, "test").await.err().unwrap().to_string();
    assert!(!wrong.contains("wrong"), "{wrong}");
}

async fn ids(bus: &Bus) -> Vec<String> {
    let mut reader = bus.read(stream::EVENTS, &At("EVENTS", "event.chunk.a"), 1).await.unwrap();
    let mut ids = Vec::new();
    while !reader.caught_up() {
        ids.push(reader.next().await.unwrap().id().unwrap().to_owned());
    }
    ids
}
