//! Stories of jobs, and what is told of them.
use super::*;
use crate::{
    ChunkId,
    event::{At, Cause, Closing, Ended, Input, Outcome, OutputWritten, Planned, Submitted, Tally, Trust},
    pack::{Packer, Packing},
};
use proptest::prelude::*;

const MIN: u64 = 60_000;
const HOUR: u64 = 60 * MIN;

fn at(ms: u64) -> Timestamp {
    Timestamp::new(1_700_000_000_000 + ms)
}

fn id(name: &str) -> JobId {
    JobId::keyed("t", name)
}

struct Story {
    line: Timeline,
}

impl Story {
    /// A job of `requests`, two to a chunk, of which validation takes a minute.
    fn new(requests: u64, window_ms: u64) -> Self {
        let mut story = Self { line: Timeline::new(id("job")) };
        story.tell(0, Event::JobSubmitted(submitted(window_ms)));
        let chunk_requests = [("tiny".parse().unwrap(), 2)].into();
        let mut packer = Packer::new(Packing { segment_requests: 1_000, chunk_requests, ..Packing::default() });
        let pool = "tiny".parse().unwrap();
        let mut plans: Vec<_> = (0..requests).filter_map(|n| packer.push(n * 10, 10, &pool, b"", None)).collect();
        plans.extend(packer.finish());
        let segments = plans.len() as u32;
        plans.into_iter().for_each(|plan| story.tell(MIN, Event::SegmentPlanned(plan)));
        let (input, bytes) = ("in".to_owned(), requests * 10);
        story.tell(MIN, Event::JobPlanned(Planned { at: at(MIN), input, requests, segments, bytes, warnings: vec![] }));
        story
    }

    fn tell(&mut self, ms: u64, event: Event) {
        self.line.fold(&event, at(ms));
    }

    fn done(&mut self, index: u32, attempt: u32, delivered: u32, from: u64, until: u64) {
        self.tell(until, done(index, attempt, delivered, from, until));
    }

    fn failed(&mut self, index: u32, attempt: u32, class: FaultClass, ms: u64) {
        let (chunk, worker, reason) =
            (ChunkId::new(index / 500, index % 500), "gpu-3".to_owned(), "it broke".to_owned());
        let trust = Some(Trust::Trusted);
        self.tell(
            ms,
            Event::ChunkFailed(ChunkFailed { at: at(ms), chunk, attempt, worker, class, reason, trust, others: 0 }),
        );
    }

    fn end(&mut self, ms: u64, outcome: Outcome) {
        let written = OutputWritten { at: at(ms), output: None, errors: None, losses: 0 };
        self.tell(ms, Event::OutputWritten(written));
        self.tell(ms, Event::JobEnded(Ended::of(at(ms), outcome)));
    }

    fn told(&self, ms: u64) -> Told {
        let told = self.line.told(None, at(ms)).unwrap();
        invariant_whole(&told);
        told
    }
}

fn submitted(window_ms: u64) -> Submitted {
    Submitted { fingerprint: "f".into(), ..Submitted::new(at(0), Input::Inline, window_ms) }
}

fn done(index: u32, attempt: u32, delivered: u32, from: u64, until: u64) -> Event {
    Event::ChunkDone(ChunkDone {
        at: at(until),
        chunk: ChunkId::new(index / 500, index % 500),
        attempt,
        delivered,
        worker: "gpu-1".into(),
        started: at(from),
        tally: Tally { completed: 2, ..Tally::default() },
    })
}

/// Each moment is told of once.
fn invariant_whole(told: &Told) {
    let sum: u64 = told.stages.iter().map(|(_, ms)| ms).sum();
    assert_eq!(sum, told.until.since(told.from));
    assert!(told.spans.windows(2).all(|two| two[0].until == two[1].from && two[0].from < two[0].until));
    if let (Some(first), Some(last)) = (told.spans.first(), told.spans.last()) {
        assert_eq!((first.from, last.until), (told.from, told.until));
    }
    assert!(told.spans.len() <= told::SPANS_MAX && told.attempts.len() <= 2 * attempts::KEPT);
}

fn minutes(told: &Told) -> Vec<(Stage, u64)> {
    told.stages.iter().map(|(stage, ms)| (*stage, ms / MIN)).collect()
}

#[test]
fn nothing_is_told_before_the_job_began() {
    assert_eq!(Timeline::new(id("job")).told(None, at(5)), None);
}

#[test]
fn a_job_in_time_tells_where_its_time_went() {
    let mut story = Story::new(4, HOUR);
    story.done(0, 1, 1, 2 * MIN, 10 * MIN);
    story.done(1, 1, 1, 10 * MIN, 20 * MIN);
    assert_eq!(
        story.told(20 * MIN).why,
        "It is in time so far, 4 of 4 requests answered after 20 min 0 s; most of it (18 min 0 s, 90 %) went into running."
    );
    story.end(22 * MIN, Outcome::Completed);
    let told = story.told(HOUR);
    use Stage::*;
    assert_eq!(minutes(&told), [(WaitingValidation, 1), (WaitingWorkers, 1), (Running, 18), (Archiving, 2)]);
    assert_eq!(
        told.why,
        "It was done in 22 min 0 s, 38 min 0 s before its deadline; most of it (18 min 0 s, 82 %) went into running."
    );
    assert_eq!((told.sla, told.state), (Some(Sla::Met), State::Completed));
}

#[test]
fn a_pause_is_to_blame_for_what_it_took() {
    let mut story = Story::new(4, HOUR);
    story.done(0, 1, 1, MIN, 11 * MIN);
    story.tell(12 * MIN, Event::JobPaused(At { at: at(12 * MIN) }));
    assert_eq!(minutes(&story.told(32 * MIN)).last(), Some(&(Stage::Paused, 20)));
    story.tell(62 * MIN, Event::JobResumed(At { at: at(62 * MIN) }));
    story.done(1, 1, 1, 62 * MIN, 72 * MIN);
    story.end(72 * MIN, Outcome::Completed);
    assert_eq!(story.told(2 * HOUR).why, "It was done 12 min 0 s after its deadline: it was paused for 50 min 0 s.");
}

#[test]
fn a_lost_worker_is_named() {
    let mut story = Story::new(4, HOUR);
    story.done(0, 1, 1, MIN, 5 * MIN);
    story.failed(1, 1, FaultClass::WorkerLost, 55 * MIN);
    story.done(1, 2, 1, 56 * MIN, 62 * MIN);
    story.end(62 * MIN, Outcome::Completed);
    let told = story.told(HOUR);
    assert_eq!(
        told.why,
        "It was done 2 min 0 s after its deadline: 56 min 1 s went into attempts that failed (1 of 3 attempts, most of \
         them worker_lost on gpu-3)."
    );
    let failed: Vec<_> = told.attempts.iter().filter_map(|attempt| attempt.fault.as_ref()).collect();
    assert_eq!(failed, [&Fault { class: FaultClass::WorkerLost, reason: "it broke".into() }]);
    // The worker that came back tells of it itself, without a failed attempt.
    let mut story = Story::new(4, HOUR);
    story.done(0, 1, 1, MIN, 5 * MIN);
    story.done(1, 1, 2, 30 * MIN, 31 * MIN);
    assert_eq!(minutes(&story.told(31 * MIN))[2..], [(Stage::Retrying, 26)]);
}

#[test]
fn behind_an_urgent_job_it_waits_for_that() {
    let mut story = Story::new(4, HOUR);
    let gaps = story.line.gaps(at(70 * MIN));
    assert_eq!(gaps, [(at(MIN), at(70 * MIN))]);
    for n in 0..60_u32 {
        let from = u64::from(n) * MIN + 2 * MIN;
        let Event::ChunkDone(other) = done(n, 1, 1, from, from + MIN - 50) else { continue };
        story.line.other(Some(id("urgent")), &other, at(from + MIN - 50));
    }
    story.done(0, 1, 1, 63 * MIN, 65 * MIN);
    let told = story.told(70 * MIN);
    assert_eq!(told.others.len(), 1);
    let want =
        format!("Its deadline has passed: for 1 h 0 min it waited for other jobs (most of it for {}).", id("urgent"));
    assert_eq!(told.why, want);
}

/// What others run now nobody has told of yet.
#[test]
fn a_wait_that_lasts_is_for_who_runs_now() {
    let mut story = Story::new(4, HOUR);
    for n in 0..3_u64 {
        let (from, until) = ((1 + 5 * n) * MIN, (6 + 5 * n) * MIN);
        let Event::ChunkDone(other) = done(0, 1, 1, from, until) else { continue };
        story.line.other(Some(id("long")), &other, at(until));
    }
    assert_eq!(minutes(&story.told(19 * MIN))[1..], [(Stage::WaitingJobs, 18)]);
    assert_eq!(minutes(&story.told(40 * MIN))[1..], [(Stage::WaitingJobs, 15), (Stage::WaitingWorkers, 24)]);
}

#[test]
fn a_broken_pool_holds_it() {
    let mut story = Story::new(60, HOUR);
    let (mut ms, mut attempt) = (MIN, 0);
    let owed = |story: &Story| {
        let chunks = story.line.job.as_ref().unwrap().open[&0].chunks.clone();
        let owed = chunks.iter().zip(0..).filter(|(chunk, _)| matches!(chunk, Chunk::Owed { .. }));
        owed.map(|(_, index)| index).collect::<Vec<u32>>()
    };
    while !story.line.job.as_ref().unwrap().hold.is_on() {
        (ms, attempt) = (ms + 1_000, attempt + 1);
        owed(&story).into_iter().for_each(|index| story.failed(index, attempt, FaultClass::Internal, ms));
    }
    let told = story.told(ms + 50 * MIN);
    assert_eq!(minutes(&told).last(), Some(&(Stage::Held, 50)));
    let told = story.told(2 * HOUR);
    assert!(told.why.starts_with("Its deadline has passed: for 1 h"), "{}", told.why);
    assert!(told.why.contains("it was held, as its pool gave no good answer ("), "{}", told.why);
    assert!(told.why.ends_with("most of them internal on gpu-3)."), "{}", told.why);
}

#[test]
fn a_missed_deadline_without_a_fault_was_too_little_time() {
    let mut story = Story::new(200, HOUR);
    for n in 0..10 {
        let from = MIN + u64::from(n) * 5 * MIN;
        story.done(n, 1, 1, from, from + 5 * MIN);
    }
    let closing = Closing { at: at(HOUR), cause: Cause::Expired, late: false, reason: None };
    story.tell(HOUR, Event::JobClosing(closing));
    let tally = Tally { completed: 20, unanswered: 180, ..Tally::default() };
    let archived =
        crate::event::SegmentArchived { at: at(HOUR), segment: 0, tally, output_bytes: 1, error_bytes: 1, losses: 0 };
    story.tell(HOUR + 500, Event::SegmentArchived(archived));
    story.end(HOUR + 1_000, Outcome::Expired);
    let told = story.told(2 * HOUR);
    assert_eq!(
        told.why,
        "It missed its deadline with 180 of 200 requests unanswered: it ran for 50 min 0 s at 0.01 requests a second, and \
         its window asked for 0.06; besides, for 9 min 0 s no worker ran it."
    );
    assert_eq!(told.sla, Some(Sla::Missed));
}

/// A worker that takes two chunks at once, each for so long, from `from` on until `until`; gives the next chunk.
fn runs(story: &mut Story, mut index: u32, (from, until): (u64, u64), ms: impl Fn(u32) -> u64, at_once: u64) -> u32 {
    let mut ends: Vec<u64> = (0..at_once).map(|n| from + n * 1_000).collect();
    loop {
        let place = (0..ends.len()).min_by_key(|place| ends[*place]).unwrap();
        let begin = ends[place];
        if begin >= until {
            return index;
        }
        ends[place] = begin + ms(index);
        story.done(index, 1, 1, begin, ends[place]);
        index += 1;
    }
}

/// Its average is a rate that it never had.
#[test]
fn a_rate_that_fell_is_told_with_the_time() {
    let mut story = Story::new(1_000, HOUR);
    let index = runs(&mut story, 0, (MIN, 31 * MIN), |n| 20_000 + u64::from(n % 5) * 1_000, 2);
    assert_eq!(story.told(31 * MIN).fall, None);
    runs(&mut story, index, (31 * MIN, 61 * MIN), |n| 34_000 + u64::from(n % 5) * 2_000, 2);
    let told = story.told(61 * MIN);
    let fall = told.fall.unwrap();
    assert!((38..=42).contains(&fall.percent()) && fall.of == Of::Slower, "{fall:?}");
    assert!(fall.at.since(at(30 * MIN)) <= 2 * MIN && fall.at >= at(30 * MIN), "{fall:?}");
    // It began at 22:13:20.
    let clock = format!("{:02}:{:02} UTC, 3", fall.at.get() / HOUR % 24, fall.at.get() / MIN % 60);
    assert!(told.why.contains(&format!("; its rate fell by {} % at {clock}", fall.percent())), "{}", told.why);
    assert!(clock.starts_with("22:4") && told.why.ends_with(" requests a second: each took longer."), "{}", told.why);
}

#[test]
fn a_rate_fell_of_what_changed_most() {
    let mut story = Story::new(1_000, HOUR);
    let index = runs(&mut story, 0, (MIN, 21 * MIN), |n| 20_000 + u64::from(n % 3) * 1_000, 4);
    runs(&mut story, index, (21 * MIN + 30_000, 51 * MIN), |n| 20_000 + u64::from(n % 3) * 1_000, 2);
    let fall = story.told(51 * MIN).fall.unwrap();
    assert!(fall.of == Of::FewerAtOnce && (45..=55).contains(&fall.percent()), "{fall:?}");
}

/// A file that is sorted by length: as many tokens a second as before.
#[test]
fn answers_that_became_longer_are_named() {
    let mut story = Story::new(1_000, HOUR);
    for n in 0..200_u32 {
        let tokens = if n < 120 { 200 } else { 400 };
        let from = MIN + u64::from(n.min(120)) * 5_000 + u64::from(n.saturating_sub(120)) * 10_000;
        let Event::ChunkDone(mut one) = done(n, 1, 1, from, from + 25 * tokens) else { continue };
        one.tally.usage.completion = tokens;
        story.tell(from + 25 * tokens, Event::ChunkDone(one));
    }
    let fall = story.told(HOUR).fall.unwrap();
    assert!(fall.of == Of::AnswersLonger && (48..=52).contains(&fall.percent()), "{fall:?}");
}

/// The last chunks run alone, and nobody made them slower.
#[test]
fn the_end_of_a_run_is_no_fall() {
    let mut story = Story::new(200, HOUR);
    let index = runs(&mut story, 0, (MIN, 10 * MIN), |n| 20_000 + u64::from(n % 3) * 1_000, 3);
    story.done(index, 1, 1, 10 * MIN, 20 * MIN);
    assert_eq!(story.told(20 * MIN).fall, None);
    let rest = 100 - index - 1;
    (0..rest).for_each(|n| story.done(index + 1 + n, 1, 1, 9 * MIN, 10 * MIN + u64::from(n)));
    story.end(21 * MIN, Outcome::Completed);
    assert_eq!(story.told(21 * MIN).fall, None);
}

#[test]
fn a_fact_told_twice_or_late_takes_no_time() {
    let mut story = Story::new(4, HOUR);
    story.done(0, 1, 1, 2 * MIN, 10 * MIN);
    story.done(0, 2, 1, 10 * MIN, 40 * MIN);
    assert_eq!(minutes(&story.told(41 * MIN)).last(), Some(&(Stage::Running, 8)));
    story.done(1, 1, 1, 41 * MIN, 42 * MIN);
    story.end(43 * MIN, Outcome::Completed);
    let told = story.told(HOUR);
    story.done(1, 2, 1, 43 * MIN, 50 * MIN);
    assert_eq!(story.told(HOUR), told);
}

#[test]
fn times_are_spelled_for_people() {
    for (ms, want) in [
        (0, "0.0 s"),
        (1_250, "1.2 s"),
        (59_000, "59 s"),
        (61_000, "1 min 1 s"),
        (5 * HOUR + 12 * MIN, "5 h 12 min"),
        (49 * HOUR, "2 d 1 h"),
    ] {
        assert_eq!(words(ms), want);
    }
}

proptest! {
    /// Chunks that differ by chance, a few of them by much, make no fall.
    #[test]
    fn chance_is_no_fall(parts in prop::collection::vec(0.0..1.0_f64, 400..401), at_once in 1u64..8, least in 1_000u64..30_000) {
        let mut story = Story::new(1_000, 100 * HOUR);
        let ms = |n: u32| least + (least as f64 * 2.0 * parts[n as usize % 400].powi(3)) as u64;
        runs(&mut story, 0, (MIN, MIN + least * 400 / at_once), ms, at_once);
        let told = story.told(50 * HOUR);
        prop_assert_eq!(told.fall, None);
    }

    /// However many events there are, in whatever order of time: it is whole, and small.
    #[test]
    fn it_is_whole_and_bounded(steps in prop::collection::vec((0u32..500, 1u32..3, 0u64..HOUR, 0u64..MIN, 0u8..5), 1..400)) {
        let mut story = Story::new(1_000, 2 * HOUR);
        for (index, attempt, ms, run, what) in steps {
            match what {
                0 => story.failed(index, attempt, FaultClass::Overloaded, ms),
                1 => story.tell(ms, Event::JobPaused(At { at: at(ms) })),
                2 => story.tell(ms, Event::JobResumed(At { at: at(ms) })),
                _ => story.done(index, attempt, 1, ms.saturating_sub(run), ms),
            }
        }
        story.told(HOUR);
        story.end(2 * HOUR, Outcome::Completed);
        story.told(3 * HOUR);
    }
}
