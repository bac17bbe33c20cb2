use super::At;
use std::collections::HashSet;
use std::time::Duration;
use wire::Filter;

use async_nats::jetstream::stream;
use jetbatch::bus::{Append, Bus, Change, Settings};
use testkit::nats::Cluster;
use testkit::wait_for;
use wire::Message;

use super::{WAIT, connect, pools};

async fn stand() -> (Cluster, Bus) {
    let cluster = Cluster::start().await;
    let bus = connect(&Settings { url: Some(cluster.url()), replicas: 3, ..Settings::default() }).await;
    bus.apply_streams(&pools()).await.unwrap();
    (cluster, bus)
}

/// Three replicas answer a repeated append as a duplicate where one answers with a conflict.
#[tokio::test]
async fn an_append_made_again_is_stored_and_no_conflict() {
    let (_cluster, bus) = stand().await;
    let event = |id: &str| Message::spelled("event.job.a", "event").id(id);
    assert!(matches!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1)));
    assert!(matches!(bus.append(event("1"), 0).await.unwrap(), Append::Stored(1)));
    assert_eq!(bus.append(event("other"), 0).await.unwrap(), Append::Conflict);
    let appends = (0..16).map(|n| {
        let bus = bus.clone();
        async move { bus.append(Message::spelled("event.job.a", "event").id(format!("w{n}")), 1).await.unwrap() }
    });
    let outcomes = futures::future::join_all(appends).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Append::Stored(_))).count(), 1);
    assert_eq!(bus.state(wire::stream::EVENTS).await.unwrap().messages, 2);
}

/// The leader is killed while facts are published, results are contended for, and a reader reads.
#[tokio::test]
async fn an_election_loses_and_doubles_nothing() {
    const COUNT: usize = 6_000;
    let (mut cluster, bus) = stand().await;
    let born = bus.state(wire::stream::EVENTS).await.unwrap().created;
    let mut reader = bus.read(wire::stream::EVENTS, &Filter::All, 1).await.unwrap();
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            let mut window = bus.window(32);
            for n in 0..COUNT {
                window.push(Message::spelled("event.chunk.a", "fact").id(n)).await.unwrap();
            }
            window.flush().await.unwrap();
        }
    });
    let some = || async { (bus.last_seq(wire::stream::EVENTS).await.unwrap() as usize > COUNT / 4).then_some(()) };
    wait_for("a part to be stored", WAIT, some).await;
    let leader = cluster.leader("EVENTS").await;
    cluster.kill(leader).await;
    publisher.await.unwrap();
    cluster.restart(leader).await;
    let (mut ids, mut last) = (HashSet::new(), 0);
    for _ in 0..COUNT {
        let raw = tokio::time::timeout(WAIT, reader.next()).await.expect("a message comes").unwrap();
        assert_eq!(raw.seq, last + 1);
        last = raw.seq;
        assert!(ids.insert(raw.id().unwrap().to_owned()), "{raw:?} twice");
    }
    let state = bus.state(wire::stream::EVENTS).await.unwrap();
    assert_eq!(state.messages as usize, COUNT);
    // By this a log is known again: whoever leads must say the same.
    assert_eq!(state.created, born);
}

/// One server of three leads nothing, and still has what it was given.
#[tokio::test]
async fn a_replica_is_read_where_nobody_leads() {
    let (mut cluster, bus) = stand().await;
    bus.publish(Message::spelled("event.job.a", "event").id("1")).await.unwrap();
    let leader = cluster.leader("EVENTS").await;
    for node in (0..3).filter(|node| *node != leader) {
        cluster.kill(node).await;
    }
    let read =
        tokio::time::timeout(WAIT, bus.last_near(&At("EVENTS", "event.job.a"))).await.expect("a replica is there");
    assert_eq!(&read.unwrap().unwrap().payload[..], b"event");
}

/// A server that hangs closes nothing: its clients must find out for themselves, and go elsewhere.
#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let cluster = Cluster::start().await;
    let one = cluster.url().split(',').next().map(str::to_owned);
    let bus = connect(&Settings { url: one, replicas: 3, ..Settings::default() }).await;
    bus.apply_streams(&pools()).await.unwrap();
    cluster.freeze(0);
    let publish = bus.publish(Message::spelled("event.chunk.a", "fact").id("1"));
    tokio::time::timeout(Duration::from_secs(25), publish).await.expect("another server takes it").unwrap();
}

/// Streams have one copy each, and the server with some of them is gone: the others are served.
#[tokio::test]
async fn a_start_waits_for_no_stream_without_a_leader() {
    let (mut cluster, bus, gone) = stand_of_single_copies().await;
    let mut other = None;
    for name in ["EVENTS", "RESULTS", "SUBMIT", "WORK", "DEAD"] {
        if cluster.leader(name).await != gone {
            other = Some(name);
        }
    }
    let other = other.expect("streams are spread over the servers");
    differ(&bus, other).await;
    cluster.kill(gone).await;
    let opened = tokio::time::timeout(WAIT, bus.open_streams(&pools())).await.expect("nobody waits for ALERTS");
    let [Change::Updated { what, .. }] = &opened.unwrap()[..] else { panic!("only {other} can be changed") };
    assert_eq!(what, other);
    comes_back(cluster, bus, gone).await;
}

/// The same with a server that said that it goes: the others answer that its streams are offline, and a new stream has
/// its place elsewhere. (Of one that was killed they do not know it for a while, and may give it the new stream.)
#[tokio::test]
async fn a_start_waits_for_no_stream_that_is_offline() {
    let (mut cluster, bus, gone) = stand_of_single_copies().await;
    bus.js().delete_stream("DEAD").await.unwrap();
    cluster.stop(gone).await;
    let opened = tokio::time::timeout(WAIT, bus.open_streams(&pools())).await.expect("nobody waits for ALERTS");
    assert_eq!(opened.unwrap(), [Change::Created { what: "DEAD".to_owned() }]);
    comes_back(cluster, bus, gone).await;
}

/// ALERTS is not as its file says, and which server has it.
async fn stand_of_single_copies() -> (Cluster, Bus, usize) {
    let cluster = Cluster::start().await;
    let bus = connect(&Settings { url: Some(cluster.url()), retry_s: 3_600, ..Settings::default() }).await;
    bus.apply_streams(&pools()).await.unwrap();
    differ(&bus, "ALERTS").await;
    let place = cluster.leader("ALERTS").await;
    (cluster, bus, place)
}

async fn differ(bus: &Bus, stream: &str) {
    let config = bus.js().get_stream(stream).await.unwrap().cached_info().config.clone();
    bus.js().update_stream(stream::Config { max_messages: 7, ..config }).await.unwrap();
}

/// ALERTS is brought to its file once somebody has it again.
async fn comes_back(mut cluster: Cluster, bus: Bus, gone: usize) {
    cluster.restart(gone).await;
    let same = || async { bus.check_streams(&pools()).await.unwrap().is_empty().then_some(()) };
    wait_for("ALERTS to be as its file says", WAIT, same).await;
}

/// Three servers say otherwise than one that they have less room than the files ask for.
#[tokio::test]
async fn a_small_cluster_gets_smaller_streams() {
    let cluster = Cluster::start_with("max_file_store: 2GB").await;
    let bus = connect(&Settings { url: Some(cluster.url()), replicas: 3, ..Settings::default() }).await;
    bus.apply_streams(&pools()).await.unwrap();
    assert_eq!(bus.apply_streams(&pools()).await.unwrap(), []);
}
