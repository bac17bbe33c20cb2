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
    let setups = (0..500).map(|seed| Setup { seed, steps: 150, jobs_max: 1, bug: Some(bug), ..Setup::default() });
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
