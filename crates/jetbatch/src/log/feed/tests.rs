use super::*;
use domain::{Event, JobId, Timestamp, event::At};

fn change(seq: u64, bytes: usize) -> Arc<Change> {
    let event = Event::JobPaused(At { at: Timestamp::new(seq) });
    Arc::new(Change { job: JobId::keyed("t", "a"), seq, event, at_ms: seq, trace: None, pending: 0, bytes })
}

/// A feed that nobody reads for, of a log that has events up to `floor`.
fn live(floor: u64) -> Arc<Live> {
    let ring = Mutex::new(Ring { floor, ..Ring::default() });
    Arc::new(Live { born: "then".to_owned(), ring, news: watch::Sender::default(), task: OnceLock::new() })
}

fn join(live: &Arc<Live>, seq: u64) -> Option<Cursor> {
    Cursor::at(live.clone(), &Mark::new("then", seq))
}

fn add(live: &Live, seqs: std::ops::RangeInclusive<u64>) {
    live.add(seqs.map(|seq| change(seq, 100)).collect());
}

/// All that is there.
fn taken(cursor: &mut Cursor) -> Vec<u64> {
    std::iter::from_fn(|| cursor.next().now_or_never().flatten()).map(|change| change.seq).collect()
}

#[test]
fn each_gets_every_event_behind_its_mark() {
    let live = live(10);
    let mut first = join(&live, 10).unwrap();
    add(&live, 11..=700);
    let mut second = join(&live, 15).unwrap();
    assert_eq!(taken(&mut first), (11..=700).collect::<Vec<_>>());
    add(&live, 701..=710);
    assert_eq!(taken(&mut second), (16..=710).collect::<Vec<_>>());
    assert_eq!(taken(&mut first), (701..=710).collect::<Vec<_>>());
    assert!(first.next().now_or_never().is_none(), "it waits");
}

#[test]
fn what_all_have_taken_is_dropped_but_for_a_tail() {
    let live = live(0);
    let (mut first, second) = (join(&live, 0).unwrap(), join(&live, 0).unwrap());
    add(&live, 1..=1_000);
    taken(&mut first);
    assert_eq!(lock(&live.ring).kept.len(), 1_000);
    drop(second);
    let kept = lock(&live.ring).kept.len();
    assert_eq!((kept, lock(&live.ring).bytes), (TAIL, TAIL * 100));
    assert!(join(&live, 1_000 - TAIL as u64).is_some());
    assert!(join(&live, 999 - TAIL as u64).is_none(), "what it would miss is gone");
    assert!(Cursor::at(live, &Mark::new("another log", 1_000)).is_none());
}

#[test]
fn who_is_too_far_behind_is_sent_away_and_holds_up_nobody() {
    let live = live(0);
    let (mut quick, mut slow) = (join(&live, 0).unwrap(), join(&live, 0).unwrap());
    let most = KEPT_MAX as u64 + 10;
    for from in (1..=most).step_by(100) {
        add(&live, from..=most.min(from + 99));
        taken(&mut quick);
    }
    assert_eq!(lock(&live.ring).kept.len(), KEPT_MAX);
    assert!(matches!(slow.next().now_or_never(), Some(None)));
    live.add(vec![change(most + 1, KEPT_BYTES_MAX + 1)]);
    assert!(lock(&live.ring).kept.is_empty(), "nor more bytes than that");
}

#[test]
fn what_came_before_a_feed_ended_is_given() {
    let live = live(0);
    let mut cursor = join(&live, 0).unwrap();
    add(&live, 1..=3);
    live.end();
    assert_eq!(taken(&mut cursor), [1, 2, 3]);
    assert!(matches!(cursor.next().now_or_never(), Some(None)));
}
