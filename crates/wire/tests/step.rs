//! The saved log of `tests/golden/log`, stepped through the scheduler.
#![allow(clippy::unwrap_used)]
#[path = "../examples/step.rs"]
mod step;

use std::{fs, path::Path};

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

#[test]
fn a_line_that_is_no_event_is_named() {
    for (line, wrong) in [("event.job.x", "line 2"), ("work.a.b 1 00", "line 2"), ("event.job.x 1 zz", "line 2")] {
        let first = golden().lines().next().unwrap().to_owned();
        let error = step::step(&format!("{first}\n{line}\n")).unwrap_err();
        assert!(error.to_string().starts_with(wrong), "{error}");
    }
}
