//! The saved log of `tests/golden/log`, stepped through the scheduler.
#![allow(clippy::unwrap_used)]
#[path = "../examples/step.rs"]
mod step;

use domain::{Event, JobId, event::Submitted};
use std::{fs, path::Path};
use wire::{envelope, saved};

fn golden() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log/events.txt")).unwrap()
}

#[test]
fn each_event_and_what_is_decided_after_it() {
    let log = golden();
    let told = step::step(&log).unwrap();
    let events = told.lines().filter(|line| !line.starts_with(' ')).count();
    assert_eq!(events, log.lines().count());
    for decided in ["send ", "append End", "dead letters of ", "withdraw "] {
        assert!(told.contains(&format!("    {decided}")), "{decided} is missing in:\n{told}");
    }
    assert_eq!(told, step::step(&log).unwrap(), "the same log, the same decisions");
}

/// The first event of the golden log as another job's, submitted at `at` with a window of a minute.
fn submission(name: &str, at: u64) -> String {
    let (_, first) = saved::read(golden().lines().next().unwrap()).unwrap();
    let Event::JobSubmitted(submitted) = first else { panic!("a log begins with a submission") };
    let event = Event::JobSubmitted(Submitted { at: domain::Timestamp::new(at), window_ms: 60_000, ..submitted });
    let message = envelope::event(JobId::keyed("default", name), &event, None);
    saved::line(&message.subject, Some("1"), &message.payload)
}

#[test]
fn a_deadline_passes_between_two_events() {
    let log = [submission("first", 1_000), submission("second", 50_000), submission("third", 200_000)].join("\n");
    let told = step::step(&log).unwrap();
    let [first, second] = ["first", "second"].map(|name| JobId::keyed("default", name));
    let expired = told.lines().skip(2).take(4).collect::<Vec<_>>();
    let append =
        |id: JobId, at: u64| format!("    append Expire {{ at: Timestamp({at}), reason: None }} to {id}: it is due");
    let time = |at: u64| format!("  {at} it is time");
    assert_eq!(expired, [time(61_000), append(first, 61_000), time(110_000), append(second, 110_000)], "{told}");
    assert_eq!(told.lines().count(), 7, "once each: {told}");
}

#[test]
fn a_line_that_is_no_event_is_named() {
    for (line, wrong) in [("event.job.x", "line 2"), ("work.a.b 1 00", "line 2"), ("event.job.x 1 zz", "line 2")] {
        let first = golden().lines().next().unwrap().to_owned();
        let error = step::step(&format!("{first}\n{line}\n")).unwrap_err();
        assert!(error.to_string().starts_with(wrong), "{error}");
    }
}
