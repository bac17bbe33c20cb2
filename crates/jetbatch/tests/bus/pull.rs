use std::time::Duration;
use wire::stream;

use jetbatch::bus::{AckError, Bus, Delivery, PullError, Puller, Settings};
use testkit::wait_for;
use wire::Message;

use super::{POOL, WAIT, connect, settings, stand};

const BYTES: usize = 4 << 20;
const SHORT: Duration = Duration::from_millis(50);

async fn send(bus: &Bus, numbers: std::ops::Range<usize>) {
    for n in numbers {
        bus.publish(Message::spelled(format!("work.{POOL}.a.0.{n}"), format!("{n}")).id(n)).await.unwrap();
    }
}

async fn fetch(puller: &mut Puller, max: usize) -> Vec<Delivery> {
    puller.fetch(max, BYTES, WAIT).await.unwrap()
}

async fn ack_pending(bus: &Bus) -> usize {
    bus.js().get_stream("WORK").await.unwrap().consumer_info(POOL).await.unwrap().num_ack_pending
}

#[tokio::test]
async fn no_more_is_taken_than_asked() {
    let (_server, bus) = stand().await;
    send(&bus, 0..20).await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let first = fetch(&mut puller, 3).await;
    assert_eq!((first.len(), ack_pending(&bus).await), (3, 3));
    assert_eq!((first[0].payload.as_ref(), first[0].delivered, first[0].seq), (b"0".as_ref(), 1, 1));
    assert_eq!(first[0].id(), Some("0"));
    let rest = fetch(&mut puller, 100).await;
    assert_eq!((rest.len(), ack_pending(&bus).await), (17, 20));
    assert!(puller.fetch(5, BYTES, SHORT).await.unwrap().is_empty());
    assert!(puller.fetch(5, BYTES, Duration::ZERO).await.unwrap().is_empty());
    assert!(puller.fetch(0, BYTES, WAIT).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_queue_is_waited_for() {
    let (_server, bus) = stand().await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let (got, ()) = tokio::join!(fetch(&mut puller, 10), async { send(&bus, 0..1).await });
    assert_eq!(got.len(), 1);
}

#[tokio::test]
async fn an_ack_empties_the_queue_and_a_nak_gives_back() {
    let (_server, bus) = stand().await;
    send(&bus, 0..3).await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let mut got = fetch(&mut puller, 3).await.into_iter();
    got.next().unwrap().ack().await.unwrap();
    got.next().unwrap().term("not a chunk\r\n").await.unwrap();
    assert_eq!(bus.state(stream::WORK).await.unwrap().messages, 1);
    let last = got.next().unwrap();
    last.progress().await.unwrap();
    last.nak(None).await.unwrap();
    let again = fetch(&mut puller, 3).await;
    assert_eq!(again.iter().map(|delivery| delivery.delivered).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn an_ack_to_nobody_is_an_error() {
    let (_server, bus) = stand().await;
    send(&bus, 0..1).await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let delivery = fetch(&mut puller, 1).await.remove(0);
    bus.js().get_stream("WORK").await.unwrap().delete_consumer(POOL).await.unwrap();
    assert!(matches!(delivery.ack().await, Err(AckError::Gone)));
    let again = fetch(&mut puller, 1).await;
    assert_eq!(again.len(), 1, "the consumer was created again from its file");
}

#[tokio::test]
async fn a_puller_survives_the_loss_of_its_stream() {
    let (_server, bus) = stand().await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    bus.js().delete_stream("WORK").await.unwrap();
    let (got, ()) = tokio::join!(fetch(&mut puller, 1), send(&bus, 0..1));
    assert_eq!(got.len(), 1);
}

/// What lay in the server's memory goes with it; the puller finds what is sent again.
#[tokio::test]
async fn a_puller_survives_the_server() {
    let (mut server, bus) = stand().await;
    send(&bus, 0..4).await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    for delivery in fetch(&mut puller, 2).await {
        delivery.ack().await.unwrap();
    }
    let waiting = tokio::spawn(async move {
        let mut seqs = Vec::new();
        while seqs.len() < 4 {
            for delivery in fetch(&mut puller, 1).await {
                seqs.push(delivery.seq);
                delivery.ack().await.unwrap();
            }
        }
        seqs
    });
    wait_for("the queue to be empty", WAIT, || async {
        (bus.state(stream::WORK).await.unwrap().messages == 0).then_some(())
    })
    .await;
    server.kill().await;
    server.restart().await;
    send(&bus, 4..6).await;
    assert_eq!(waiting.await.unwrap(), [3, 4, 1, 2]);
}

/// Pulls that were asked for while nobody was there must not all be served together.
#[tokio::test]
async fn a_long_outage_takes_no_more_than_was_asked_for() {
    let (mut server, bus) = stand().await;
    let brief = connect(&Settings { retry_s: 20, ..settings(&server) }).await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let waiting = tokio::spawn(async move { (fetch(&mut puller, 1).await, puller) });
    server.kill().await;
    brief.state(stream::WORK).await.unwrap_err();
    server.restart().await;
    send(&bus, 0..8).await;
    let (got, _puller) = waiting.await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(ack_pending(&bus).await, 1);
}

/// A fetch in a `select!` is dropped when another branch is taken; what arrived meanwhile is not lost.
#[tokio::test]
async fn a_dropped_fetch_loses_nothing() {
    let (_server, bus) = stand().await;
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    let writer = tokio::spawn({
        let bus = bus.clone();
        async move { send(&bus, 0..200).await }
    });
    let mut seqs = Vec::new();
    while seqs.len() < 200 {
        let fetched = tokio::time::timeout(Duration::from_micros(200), fetch(&mut puller, 7)).await;
        for delivery in fetched.into_iter().flatten() {
            assert_eq!(delivery.delivered, 1);
            seqs.push(delivery.seq);
            delivery.ack().await.unwrap();
        }
    }
    writer.await.unwrap();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_larger_than_the_budget_still_comes() {
    let (_server, bus) = stand().await;
    bus.publish(Message::spelled(format!("work.{POOL}.a.0.1"), vec![0; 1_000_000]).id(1)).await.unwrap();
    let mut puller = bus.puller(stream::WORK, POOL).await.unwrap();
    assert_eq!(puller.fetch(4, 1, WAIT).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_consumer_without_a_file_is_an_error() {
    let (_server, bus) = stand().await;
    assert!(matches!(bus.puller(stream::SUBMIT, "nobody").await, Err(PullError::NoFile { .. })));
}
