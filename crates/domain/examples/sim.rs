//! The simulation of `tests/sim`, as long as wanted:
//! `cargo run --release -p jetbatch-domain --example sim -- --seed 1 --steps 10000000`
//! `--requests 1000000` runs as many requests in large jobs, with every fault, and holds that no good one is given up.
//! With `--plant` it plants each of the known mistakes instead, and says how soon it is found and how far shrunk.
#[path = "../tests/sim/model/mod.rs"]
mod model;

use model::{
    env::Bug,
    shrink::shrink,
    world::{Report, Requests, Setup, replay, run},
};
use std::{process::ExitCode, time::Instant};

#[derive(Default)]
struct Sum {
    steps: u64,
    runs: u64,
    jobs: u64,
    events: u64,
    faults: u64,
    late: u64,
    digest: u64,
}

fn main() -> ExitCode {
    let numbers = (number("--seed", 1), number("--steps", 10_000_000), number("--requests", 0));
    let (Some(seed), Some(steps), Some(requests)) = numbers else {
        eprintln!("use: sim [--seed <number>] [--steps <number> | --requests <number> | --plant]");
        return ExitCode::FAILURE;
    };
    if std::env::args().any(|argument| argument == "--plant") {
        return plant(seed);
    }
    if requests > 0 {
        return judge(seed, requests);
    }
    let (began, mut sum) = (Instant::now(), Sum::default());
    while sum.steps < steps {
        let setup = setup(seed, sum.runs);
        let report = run(setup);
        if report.wrong.is_some() {
            tell(setup, &report);
            return ExitCode::FAILURE;
        }
        sum.add(&report);
    }
    let seconds = began.elapsed().as_secs_f64();
    let Sum { steps, runs, jobs, events, faults, late, digest } = sum;
    println!("seed {seed}: {steps} steps in {runs} runs: {jobs} jobs, {events} events, {faults} crashes and losses");
    println!("{late} results came after their job's end and stay until the archiver starts again");
    println!("every invariant held at each step; digest {digest:016x}");
    println!("{seconds:.1} s, {:.1} million steps a minute", steps as f64 / seconds * 60.0 / 1e6);
    ExitCode::SUCCESS
}

/// None: it is given, and is no number.
fn number(name: &str, default: u64) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match arguments.next() {
        Some(_) => arguments.next()?.parse().ok(),
        None => Some(default),
    }
}

/// Every fourth run has one head of each kind, every eighth no fault but poison and, every second time, bad workers.
fn setup(seed: u64, run: u64) -> Setup {
    let seed = seed.wrapping_mul(0x9e37_79b9).wrapping_add(run);
    Setup {
        seed,
        heads: if run % 4 == 3 { 1 } else { 2 },
        faults: run % 8 != 7,
        bad_workers: run % 16 == 15,
        ..Setup::default()
    }
}

/// Runs large jobs under every fault until so many requests have come to an end.
fn judge(seed: u64, requests: u64) -> ExitCode {
    let (began, mut sum, mut all) = (Instant::now(), Sum::default(), Requests::default());
    while all.all < requests {
        let setup = Setup::judged(setup(seed, sum.runs).seed);
        let report = run(setup);
        if let Some(wrong) = &report.wrong {
            println!("{setup:?}: '{}' does not hold: {}", wrong.what, wrong.detail);
            story(&replay(setup, report.choices, true).trace);
            return ExitCode::FAILURE;
        }
        sum.add(&report);
        all.add(&report.requests);
    }
    let Requests { all, answered, answered_under_faults, given_up, good_given_up, unanswered } = all;
    println!("seed {seed}: {all} requests in {} jobs, {} events, {} faults", sum.jobs, sum.events, sum.faults);
    println!(
        "{answered} answered ({answered_under_faults} of them while faults struck), {given_up} given up ({good_given_up} of them good), {unanswered} left by cancels and deadlines"
    );
    println!("{:.1} s, digest {:016x}", began.elapsed().as_secs_f64(), sum.digest);
    if good_given_up == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How it ended: it is long, and so are some of its lines.
fn story(trace: &[String]) {
    let short = |line: &String| line.chars().take(200).collect::<String>();
    trace.iter().skip(trace.len().saturating_sub(100)).for_each(|line| println!("{}", short(line)));
}

/// Runs in which a planted mistake must show.
const PLANTED_RUNS: u64 = 20_000;

fn plant(seed: u64) -> ExitCode {
    let found = Bug::ALL.map(|bug| {
        let planted = Setup::planted(bug);
        let setups = (0..PLANTED_RUNS).map(|run| Setup { seed: setup(seed, run).seed, ..planted });
        let mut failed = setups.zip(1..).map(|(setup, nth)| (setup, nth, run(setup)));
        let Some((setup, nth, report)) = failed.find(|(_, _, report)| report.wrong.is_some()) else {
            println!("{bug:?}: not found in {PLANTED_RUNS} runs");
            return false;
        };
        let (steps, report) = shrink(setup, &report);
        let what = report.wrong.map_or("", |wrong| wrong.what);
        println!("{bug:?}: run {nth}, {} steps: '{what}' does not hold", steps.len());
        true
    });
    if found.into_iter().all(|found| found) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(setup: Setup, report: &Report) {
    println!("{setup:?} fails in {} steps; it is being shrunk", report.choices.len());
    let (steps, report) = shrink(setup, report);
    report.trace.iter().for_each(|line| println!("{line}"));
    println!("{} steps: {steps:?}", steps.len());
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.steps += report.steps;
        self.jobs += report.jobs;
        self.events += report.events;
        self.faults += report.faults;
        self.late += report.late;
        self.digest = self.digest.rotate_left(5) ^ report.digest;
    }
}
