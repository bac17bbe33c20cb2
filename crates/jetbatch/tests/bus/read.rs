use super::At;
use std::time::Duration;
use wire::Filter;
use wire::stream;

use jetbatch::bus::{Bus, ReadError, Reader, Stream};
use testkit::wait_for;
use wire::Message;

use super::{WAIT, stand};

const NOWHERE: Stream = Stream::new("NOWHERE");

async fn fill(bus: &Bus, subject: &str, numbers: std::ops::Range<usize>, size: usize) {
    let mut window = bus.window(64);
    for n in numbers {
        window.push(Message::spelled(subject, vec![0; size]).id(format!("{subject}:{n}"))).await.unwrap();
    }
    window.flush().await.unwrap();
}

async fn take(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(WAIT, reader.next());
        seqs.push(next.await.expect("a message comes").unwrap().seq);
    }
    seqs
}

#[tokio::test]
async fn an_empty_stream_is_caught_up_at_once() {
    let (_server, bus) = stand().await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 0).await.unwrap();
    assert!(reader.caught_up());
    fill(&bus, "event.job.a", 0..1, 1).await;
    let raw = reader.next().await.unwrap();
    assert_eq!((raw.seq, raw.pending, raw.subject.as_str()), (1, 0, "event.job.a"));
}

#[tokio::test]
async fn a_read_starts_where_it_is_told_and_filters() {
    let (_server, bus) = stand().await;
    fill(&bus, "event.job.a", 0..3, 1).await;
    fill(&bus, "event.job.b", 0..3, 1).await;
    fill(&bus, "event.chunk.a", 0..3, 1).await;
    let mut reader = bus.read(stream::EVENTS, &At("EVENTS", "event.*.a"), 2).await.unwrap();
    assert_eq!(reader.pending(), 5);
    assert_eq!(take(&mut reader, 5).await, [2, 3, 7, 8, 9]);
    assert!(reader.caught_up());
}

#[tokio::test]
async fn one_message_is_read_and_deleted_by_its_sequence() {
    let (_server, bus) = stand().await;
    fill(&bus, "dead.a.b.c.0.0", 0..3, 10).await;
    let raw = bus.at(stream::DEAD, 2).await.unwrap().unwrap();
    assert_eq!((raw.seq, raw.subject.as_str(), raw.payload.len()), (2, "dead.a.b.c.0.0", 10));
    assert!(bus.delete(stream::DEAD, 2).await.unwrap());
    assert!(!bus.delete(stream::DEAD, 2).await.unwrap());
    assert!(bus.at(stream::DEAD, 2).await.unwrap().is_none());
    let mut heads = bus.heads(stream::DEAD, &At("DEAD", "dead.>"), 1).await.unwrap();
    assert_eq!(take(&mut heads, 2).await, [1, 3]);
    assert!(matches!(bus.delete(NOWHERE, 1).await, Err(ReadError::NoStream { .. })));
}

#[tokio::test]
async fn a_missing_stream_is_an_error() {
    let (_server, bus) = stand().await;
    assert!(matches!(bus.read(NOWHERE, &Filter::All, 1).await, Err(ReadError::NoStream { .. })));
    assert!(matches!(bus.last_seq(NOWHERE).await, Err(ReadError::NoStream { .. })));
    assert!(matches!(bus.last(&At("NOWHERE", "a")).await, Err(ReadError::NoStream { .. })));
    assert!(bus.last(&At("EVENTS", "event.job.none")).await.unwrap().is_none());
}

/// Whoever asks again every few milliseconds, as a loop with other things to do, gets on as well.
#[tokio::test]
async fn a_reader_that_is_dropped_and_asked_again_comes_back() {
    let (mut server, bus) = stand().await;
    fill(&bus, "event.job.a", 0..1, 1).await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 0).await.unwrap();
    assert_eq!(take(&mut reader, 1).await, [1]);
    server.restart().await;
    fill(&bus, "event.job.a", 1..2, 1).await;
    let until = tokio::time::Instant::now() + WAIT;
    let raw = loop {
        match tokio::time::timeout(Duration::from_millis(10), reader.next()).await {
            Ok(raw) => break raw.unwrap(),
            Err(_) => assert!(tokio::time::Instant::now() < until, "the read never stood again"),
        }
    };
    assert_eq!(raw.seq, 2);
}

/// Large messages at the default batch made the library's ordered consumer hang.
#[tokio::test]
async fn large_messages_do_not_stall_a_slow_reader() {
    const COUNT: usize = 500;
    let (_server, bus) = stand().await;
    fill(&bus, "event.chunk.a", 0..COUNT, 256 << 10).await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    assert_eq!(take(&mut reader, COUNT).await, (1..=COUNT as u64).collect::<Vec<_>>());
    assert!(reader.caught_up());
    assert_eq!(bus.counts().reads_reopened, 0);
}

#[tokio::test]
async fn a_read_survives_the_server() {
    const PART: usize = 3_000;
    let (mut server, bus) = stand().await;
    fill(&bus, "event.chunk.a", 0..PART, 64).await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    let mut seqs = take(&mut reader, PART / 2).await;
    server.kill().await;
    server.restart().await;
    fill(&bus, "event.chunk.a", PART..2 * PART, 64).await;
    seqs.extend(take(&mut reader, 3 * PART / 2).await);
    assert_eq!(seqs, (1..=2 * PART as u64).collect::<Vec<_>>());
    assert!(reader.caught_up());
}

/// A reader at the end of its stream waits, over a restart too.
#[tokio::test]
async fn a_waiting_read_survives_the_server() {
    let (mut server, bus) = stand().await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    let waiting = tokio::spawn(async move { take(&mut reader, 1).await });
    server.kill().await;
    server.restart().await;
    fill(&bus, "event.job.a", 0..1, 1).await;
    assert_eq!(waiting.await.unwrap(), [1]);
}

/// In a `select!` the future of `next` is dropped again and again.
#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let (_server, bus) = stand().await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    let writer = tokio::spawn({
        let bus = bus.clone();
        async move { fill(&bus, "event.chunk.a", 0..500, 1).await }
    });
    let mut seqs = Vec::new();
    while seqs.len() < 500 {
        let next = tokio::time::timeout(Duration::from_micros(50), reader.next());
        seqs.extend(next.await.into_iter().map(|raw| raw.unwrap().seq));
    }
    writer.await.unwrap();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_reader_leaves_no_consumer() {
    let (_server, bus) = stand().await;
    let count = || async { bus.js().get_stream("EVENTS").await.unwrap().cached_info().state.consumer_count };
    let before = count().await;
    let reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    assert_eq!(count().await, before + 1);
    drop(reader);
    wait_for("the consumer to go", WAIT, || async { (count().await == before).then_some(()) }).await;
}

#[tokio::test]
async fn subjects_are_counted_over_all_pages() {
    let (_server, bus) = stand().await;
    let mut window = bus.window(512);
    for n in 0..100_100 {
        window.push(Message::spelled(format!("dead.p.{n}"), "")).await.unwrap();
    }
    window.flush().await.unwrap();
    bus.publish(Message::spelled("dead.p.7", "")).await.unwrap();
    let all = bus.subjects(stream::DEAD, &At("DEAD", "dead.p.*")).await.unwrap();
    assert_eq!((all.len(), all["dead.p.7"], all["dead.p.8"]), (100_100, 2, 1));
    assert_eq!(bus.subjects(stream::DEAD, &At("DEAD", "dead.q.*")).await.unwrap().len(), 0);
    assert_eq!(bus.purge(stream::DEAD, &At("DEAD", "dead.p.*")).await.unwrap(), 100_101);
}

/// The log was deleted and made anew: whoever read the old one knows things that never happened.
/// What a power cut may do: the end is gone, and what comes after has the numbers of what was read.
#[tokio::test]
async fn a_log_that_lost_its_end_and_grew_again_ends_a_read() {
    let (mut server, bus) = stand().await;
    fill(&bus, "event.job.a", 0..3, 1).await;
    let (copy, folder) = (tempfile::tempdir().unwrap(), server.dir().join("store/jetstream/$G/streams/EVENTS"));
    server.stop().await;
    copy_all(&folder, copy.path());
    server.restart().await;
    fill(&bus, "event.job.a", 3..5, 4).await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    take(&mut reader, 5).await;
    server.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
    copy_all(copy.path(), &folder);
    server.restart().await;
    fill(&bus, "event.job.a", 5..9, 6).await;
    let error = tokio::time::timeout(WAIT, reader.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, ReadError::Replaced { stream, last: 7 } if stream == "EVENTS"), "{error}");
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn another_log_under_the_same_name_ends_a_read() {
    let (_server, bus) = stand().await;
    fill(&bus, "event.job.a", 0..3, 1).await;
    let mut reader = bus.read(stream::EVENTS, &Filter::All, 1).await.unwrap();
    take(&mut reader, 3).await;
    bus.js().delete_stream("EVENTS").await.unwrap();
    bus.apply_streams(&[]).await.unwrap();
    let error = tokio::time::timeout(WAIT, reader.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, ReadError::Replaced { stream, last: 0 } if stream == "EVENTS"), "{error}");
    assert!(matches!(bus.read(stream::EVENTS, &Filter::All, 9).await, Err(ReadError::Replaced { .. })));
}
