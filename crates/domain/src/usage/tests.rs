use super::*;
use crate::{
    ChunkId, Event, JobId,
    event::{ChunkDone, ChunkLost, ChunkPlan, Input, Planned, SegmentPlan, Submitted, Tally, Usage},
};

const DAY: u64 = super::DAY_MS;

#[test]
fn a_day_is_written_as_a_date() {
    for (day, text) in [(0, "1970-01-01"), (58, "1970-02-28"), (11_016, "2000-02-29"), (20_787, "2026-11-30")] {
        assert_eq!((Day(day).to_string(), text.parse()), (text.to_owned(), Ok(Day(day))));
    }
    assert_eq!(Day(LAST).to_string(), "9999-12-31");
    assert_eq!((0..=LAST).step_by(97).find(|day| Day(*day).to_string().parse() != Ok(Day(*day))), None);
    for bad in
        ["", "2026-11", "2026-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "1969-12-31", "2026-1-1", "+026-01-01"]
    {
        assert!(bad.parse::<Day>().is_err(), "{bad}");
    }
    assert_eq!((Day::of(Timestamp::new(DAY - 1)), Day::of(Timestamp::new(u64::MAX))), (Day(0), Day(LAST)));
}

fn submitted(tenant: &str) -> Event {
    Event::JobSubmitted(Submitted {
        fingerprint: "f".into(),
        tenant: tenant.parse().unwrap(),
        ..Submitted::new(Timestamp::new(1), Input::Inline, 1_000)
    })
}

fn planned() -> [Event; 2] {
    let chunk = |first| ChunkPlan { pool: 0, runs: vec![(first, 2)], bytes: 10, load: None };
    let (pools, chunks) = (vec!["tiny".parse().unwrap()], vec![chunk(0), chunk(2)]);
    let segment = SegmentPlan { segment: 0, offset: 0, bytes: 20, first: 0, requests: 4, pools, chunks };
    let (at, input, warnings) = (Timestamp::new(1), String::new(), Vec::new());
    [
        Event::SegmentPlanned(segment),
        Event::JobPlanned(Planned { at, input, requests: 4, segments: 1, bytes: 20, warnings }),
    ]
}

fn done(index: u32, attempt: u32, failed: u64) -> Event {
    let usage = Usage { prompt: 5, completion: 7, cached: 1 };
    Event::ChunkDone(ChunkDone {
        at: Timestamp::new(2),
        chunk: ChunkId::new(0, index),
        attempt,
        delivered: 1,
        worker: "w".into(),
        started: Timestamp::new(1),
        tally: Tally { completed: 2 - failed, failed, unanswered: 0, usage },
    })
}

/// The ledger of one job's events, each on its day.
fn fold(ledger: &mut Ledger, tenant: &str, events: &[(u64, Event)]) {
    let id = JobId::keyed(tenant, "k");
    let mut job: Option<Job> = None;
    for (day, event) in events {
        let before = job.as_ref().map(Amounts::of).unwrap_or_default();
        match &mut job {
            Some(job) => job.evolve(event),
            None => job = Job::begin(id, event),
        }
        let Some(job) = &job else { continue };
        ledger.note(job.submitted.tenant, Timestamp::new(day * DAY), before, Amounts::of(job));
    }
}

fn rows(ledger: &Ledger, tenant: Option<&str>, from: u32, to: u32) -> Vec<Row> {
    let tenant = tenant.map(|tenant| tenant.parse().unwrap());
    ledger.told(&Asked { tenant, from: Day(from), to: Day(to) }).unwrap()
}

fn life(tenant: &str) -> Vec<(u64, Event)> {
    let [segment, plan] = planned();
    vec![(10, submitted(tenant)), (10, segment), (10, plan), (10, done(0, 1, 0)), (11, done(1, 1, 1))]
}

#[test]
fn what_was_used_is_told_by_tenant_and_day() {
    let mut ledger = Ledger::default();
    fold(&mut ledger, "blue", &life("blue"));
    fold(&mut ledger, "red", &life("red")[..3]);
    let first = Amounts { jobs: 1, requests: 2, prompt: 5, completion: 7, cached: 1, input: 20, output: 0 };
    let second = Amounts { jobs: 0, input: 0, ..first };
    let blue = rows(&ledger, Some("blue"), 0, 99);
    assert_eq!(blue.iter().map(|row| (row.day, row.used)).collect::<Vec<_>>(), [(Day(10), first), (Day(11), second)]);
    assert_eq!((rows(&ledger, Some("blue"), 11, 11).len(), rows(&ledger, None, 0, 99).len()), (1, 3));
    assert!(rows(&ledger, Some("green"), 0, 99).is_empty() && rows(&ledger, None, 12, 3).is_empty());
}

/// However often a chunk ran, and a fact came.
#[test]
fn a_fact_that_comes_again_counts_once() {
    let (mut once, mut again) = (Ledger::default(), Ledger::default());
    fold(&mut once, "blue", &life("blue"));
    let mut twice = life("blue");
    for at in (0..twice.len()).rev() {
        let (_, event) = twice[at].clone();
        twice.insert(at + 1, (12, event));
    }
    twice.push((12, done(0, 2, 0)));
    fold(&mut again, "blue", &twice);
    assert_eq!(once, again);
}

/// What ran twice because its result was lost is told once: of the day on which it ran last.
#[test]
fn a_result_that_was_lost_counts_once() {
    let mut ledger = Ledger::default();
    let mut events = life("blue");
    let Event::ChunkDone(told) = done(1, 1, 1) else { unreachable!() };
    let ChunkDone { at, chunk, attempt, tally, .. } = told;
    events.push((12, Event::ChunkLost(ChunkLost { at, chunk, attempt, tally })));
    events.push((13, done(1, 2, 1)));
    fold(&mut ledger, "blue", &events);
    let all = rows(&ledger, None, 0, 99).iter().fold(Amounts::default(), |sum, row| sum.plus(row.used));
    assert_eq!((all.jobs, all.requests, all.completion), (1, 4, 14));
}

#[test]
fn a_ledger_is_bounded_and_reads_as_it_is_kept() {
    let (mut ledger, blue) = (Ledger::default(), "blue".parse().unwrap());
    let one = Amounts { requests: 1, ..Amounts::default() };
    for day in 0..2 * u64::from(DAYS_MAX) {
        ledger.note(blue, Timestamp::new(day * DAY), Amounts::default(), one);
    }
    assert_eq!(rows(&ledger, None, 0, 9_999).len(), DAYS_MAX as usize);
    let json = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&json).unwrap(), ledger);
    for tenant in 0..9 {
        let tenant = format!("t{tenant}").parse().unwrap();
        (0..u64::from(DAYS_MAX))
            .for_each(|day| ledger.note(tenant, Timestamp::new(day * DAY), Amounts::default(), one));
    }
    assert_eq!(
        ledger.told(&Asked { tenant: None, from: Day(0), to: Day(9_999) }),
        None,
        "that is too much to say at once"
    );
}

#[test]
fn an_error_is_no_answer() {
    let read = |text: &str| serde_json::from_str::<Told>(text).ok();
    assert_eq!(read(r#"{"error":"the log is read no more"}"#), None);
    assert_eq!(read(r#"{"rows":null}"#), Some(Told { rows: None }));
    assert_eq!(read(r#"{"rows":[]}"#), Some(Told { rows: Some(Vec::new()) }));
}
