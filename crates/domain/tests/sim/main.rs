//! The core under crashes, duplicates, reorderings and losses. A failure prints its seed, the fewest steps that still
//! fail, and their story; `--example sim` runs the same for as long as wanted.
#![allow(clippy::unwrap_used)]
mod model;

use model::{
    choices::Step,
    env::Bug,
    shrink::shrink,
    world::{Report, Setup, replay, run},
};

/// Shrinks a failure and tells its story.
fn told(setup: Setup, failed: &Report) -> (Vec<Step>, Report) {
    let (steps, report) = shrink(setup, failed);
    println!("{}", report.trace.join("\n"));
    let Report { jobs, events, faults, late, .. } = report;
    println!("{jobs} jobs, {events} events, {faults} crashes and losses, {late} results too late");
    println!("{} steps with {setup:?}: {steps:?}", steps.len());
    (steps, report)
}

fn holds(setups: impl IntoIterator<Item = Setup>) {
    for setup in setups {
        let report = run(setup);
        if report.wrong.is_some() {
            let (_, report) = told(setup, &report);
            panic!("seed {}: {:?}", setup.seed, report.wrong);
        }
    }
}

#[test]
fn every_invariant_holds_under_faults() {
    holds((0..200).map(|seed| Setup { seed, heads: 1 + (seed % 2) as usize, ..Setup::default() }));
}

#[test]
fn only_poison_is_given_up_where_nothing_else_fails() {
    holds((0..100).map(|seed| Setup { seed, faults: false, ..Setup::default() }));
}

#[test]
fn no_good_request_is_given_up_where_workers_are_bad_at_times() {
    holds((0..300).map(|seed| Setup { seed, faults: false, bad_workers: true, ..Setup::default() }));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let setup = Setup { seed: 7, ..Setup::default() };
    let (first, second) = (run(setup), run(setup));
    assert_eq!((first.digest, first.steps), (second.digest, second.steps));
    let other = run(Setup { seed: 8, ..setup });
    assert_ne!(first.digest, other.digest);
    let [one, two] = [first, second].map(|report| replay(setup, report.choices, true));
    assert_eq!(one.trace.join("\n"), two.trace.join("\n"));
    assert_eq!(one.digest, run(setup).digest, "a replay of what was drawn is the run");
}

/// Plants a mistake; gives in how few steps it shows.
fn planted(bug: Bug) -> usize {
    let setups = (0..500).map(|seed| Setup { seed, steps: 150, jobs_max: 1, ..Setup::planted(bug) });
    let mut failed = setups.map(|setup| (setup, run(setup))).filter(|(_, report)| report.wrong.is_some());
    let (setup, report) = failed.next().unwrap_or_else(|| panic!("{bug:?} is not found"));
    told(setup, &report).0.len()
}

/// All of them are found by the example's `--plant`, which takes a minute.
#[test]
fn planted_mistakes_are_found_and_shrunk() {
    for bug in &Bug::ALL[..2] {
        let steps = planted(*bug);
        assert!((1..=20).contains(&steps), "{bug:?} is shrunk to {steps} steps");
    }
}

/// Where nobody is asked after a failure, good requests are given up.
#[test]
fn a_worker_that_is_believed_whatever_it_does_is_found() {
    shows(Bug::NoControl, "neighbours of poison are answered");
}

/// Where one worker is believed that passes its controls and answers nothing, though a good one stands beside it.
#[test]
fn a_worker_that_is_believed_though_others_are_there_is_found() {
    shows(Bug::NoWitnesses, "neighbours of poison are answered");
}

fn shows(bug: Bug, what: &str) {
    let wrong = (0..300).filter_map(|seed| run(Setup { seed, ..Setup::planted(bug) }).wrong);
    assert!(wrong.into_iter().any(|wrong| wrong.what == what), "{bug:?} is not found");
}

/// A job that WORK takes nothing of keeps no other from its end.
#[test]
fn a_refused_job_stops_no_other() {
    holds((0..100).map(|seed| Setup { seed, faults: false, refused: true, ..Setup::default() }));
    shows(Bug::RefusalStopsAll, "no job expires");
}

#[test]
fn a_cancelled_job_ends_though_the_store_takes_nothing() {
    holds((0..100).map(|seed| Setup { seed, faults: false, store_lost: true, ..Setup::default() }));
    shows(Bug::NoAbandon, "every job ends");
}

/// A few thousand requests; the example's `--requests` has a million.
#[test]
fn no_good_request_is_given_up_whatever_befalls_the_rest() {
    holds([Setup::judged(0)]);
    let planted = (0..100).map(|seed| run(Setup { bug: Some(Bug::NoControl), ..Setup::judged(seed) }));
    let found =
        planted.filter_map(|report| report.wrong).any(|wrong| wrong.what == "neighbours of poison are answered");
    assert!(found, "workers that are believed whatever they do are not found");
}
