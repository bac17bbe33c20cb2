//! The forecast held against what happens, in worlds on the real scheduler:
//! `cargo run -p jetbatch-domain --release --example foresight -- --seed 1`
//! With `--worlds N` each workload runs in so many worlds, with `--only NAME` one workload alone; `--bench` measures a
//! pass over 1,000 running jobs instead; `--alerts` says how early
//! it is told that a window will not hold, and how often that is false.
#[path = "../tests/foresight/world/mod.rs"]
mod world;

use std::time::Instant;
use world::{
    run::{BUCKETS, Kept, Promised, World},
    score::{Score, scores},
    workload::{State, Workload},
};

/// Jobs of a world that end before a reading counts, and jobs that count then.
const HISTORY: usize = 20;
const JOBS: usize = 30;
/// Worlds of one job each.
const COLD: u64 = 40;

#[derive(Default)]
struct Sum {
    kept: Vec<Kept>,
    readings: u64,
    moves: u64,
    flickers: u64,
}

fn main() {
    if std::env::args().any(|argument| argument == "--bench") {
        return bench();
    }
    if std::env::args().any(|argument| argument == "--alerts") {
        return alerts();
    }
    let (seed, worlds) = (number("--seed", 1), number("--worlds", 6));
    let only = argument("--only");
    let began = Instant::now();
    println!("seed {seed}; {worlds} worlds of {} jobs each, of which the first {HISTORY} are history", HISTORY + JOBS);
    println!(
        "coverage of p10..p90 | median error of p50 | pinball loss / naive (p50 alone), at 5, 25, 50, 75 % of the requests"
    );
    let mut all = Sum::default();
    for workload in Workload::ALL {
        if only.as_deref().is_some_and(|only| !workload.name().contains(only) || only.contains(':')) {
            continue;
        }
        let sum = runs(workload, seed, worlds);
        show(workload.name(), workload.is_foreseeable(), &scores(&sum.kept, false));
        if workload == Workload::Pauses {
            show("  with its own pauses", true, &scores(&sum.kept, true));
        }
        all.add(sum);
    }
    if only.as_deref().is_none_or(|only| only.contains("first")) {
        first(seed);
    }
    let Sum { readings, moves, flickers, .. } = all;
    println!("{readings} readings; {moves} moved by more than a fifth and said why, {flickers} did not");
    println!("{:.1} s", began.elapsed().as_secs_f64());
}

/// Windows that hold when a job begins, in what p90 says then.
const SPARE: (f64, f64) = (1.0, 1.25);
/// The same where the workers become slower: what holds at the beginning does not for every other job.
const FADING: (f64, f64) = (1.15, 1.6);

/// How early it is told that a window will not hold, and how often that is false.
fn alerts() {
    let (seed, worlds) = (number("--seed", 1), number("--worlds", 6));
    println!(
        "seed {seed}; {worlds} worlds of {JOBS} jobs each after {HISTORY}; windows of {SPARE:?} times p90 when a job begins"
    );
    println!(
        "jobs, missed | told at risk before: of the missed, by a quarter of the window, median lead; false | the same at even odds | of certain"
    );
    for workload in Workload::ALL {
        promises(workload.name(), workload, SPARE, false);
    }
    promises("slow drift", Workload::Steady, FADING, true);
    promises("slow drift, heavy tail", Workload::HeavyTail, FADING, true);
}

fn promises(name: &str, workload: Workload, spare: (f64, f64), fades: bool) {
    let mut promised = Vec::new();
    for number_of in 0..number("--worlds", 6) {
        let mut world = World::new(workload, number("--seed", 1).wrapping_mul(1_000).wrapping_add(number_of));
        world.run(HISTORY);
        (world.spare, world.fades) = (Some(spare), fades);
        world.run(JOBS);
        promised.extend(world.promised);
    }
    let missed = promised.iter().filter(|one| one.late > 0.0).count();
    let (at_risk, even) = (told(&promised, |one| one.at_risk), told(&promised, |one| one.even));
    let certain = told(&promised, |one| one.certain);
    println!("{name:>22} {:4} {missed:4} | {at_risk} | {even} | {certain}", promised.len());
}

fn told(promised: &[Promised], lead: impl Fn(&Promised) -> Option<f64>) -> String {
    let mut leads: Vec<f64> = promised.iter().filter(|one| one.late > 0.0).filter_map(&lead).collect();
    leads.sort_by(f64::total_cmp);
    let early = leads.iter().filter(|lead| **lead >= 0.25).count();
    let all = promised.iter().filter(|one| lead(one).is_some()).count();
    let middle = leads.get(leads.len() / 2).copied().unwrap_or(0.0);
    format!("{:3} {early:3} {:3.0} %; {:3} of {all:3} false", leads.len(), 100.0 * middle, all - leads.len())
}

/// What a pass costs where many jobs run.
const BENCH_JOBS: u64 = 1_000;
const BENCH_SEGMENTS: usize = 100;
const BENCH_SEGMENT: u32 = 128;
const PASSES: usize = 50;

fn bench() {
    let mut world = World::new(Workload::Steady, 1);
    world.run(5);
    world.head.packing.segment_requests = BENCH_SEGMENT;
    let mut chance = world::chance::Chance::new(1);
    let mut spec = Workload::Steady.job(&mut chance, &State::default());
    let lines = spec.lines.clone();
    spec.lines = lines.into_iter().cycle().take(BENCH_SEGMENTS * BENCH_SEGMENT as usize).collect();
    for job in 0..BENCH_JOBS {
        world.head.submit(1_000_000 + job, &spec, world.now);
    }
    let ms = |pass: &mut dyn FnMut() -> usize| {
        let mut times: Vec<f64> = (0..PASSES)
            .map(|_| {
                let began = Instant::now();
                assert!(pass() > 0);
                began.elapsed().as_secs_f64() * 1_000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        (times[PASSES / 2], times[PASSES - 1])
    };
    let now = world.now;
    let (read, read_max) = ms(&mut || world.head.read(2, now).len());
    let (sent, sent_max) = ms(&mut || world.head.effects(now).len());
    println!("{BENCH_JOBS} jobs of {BENCH_SEGMENTS} segments, {PASSES} passes");
    println!("forecast: {read:.2} ms, at most {read_max:.2} ms; what to send: {sent:.2} ms, at most {sent_max:.2} ms");
}

fn runs(workload: Workload, seed: u64, worlds: u64) -> Sum {
    let mut sum = Sum::default();
    for world in 0..worlds {
        let mut world = World::new(workload, seed.wrapping_mul(1_000).wrapping_add(world));
        world.run(HISTORY + JOBS);
        let kept = world.kept.into_iter().filter(|kept| kept.job >= HISTORY).collect();
        sum.add(Sum { kept, readings: world.readings, moves: world.moves, flickers: world.flickers });
    }
    sum
}

fn first(seed: u64) {
    let mut all = Vec::new();
    for workload in [Workload::Steady, Workload::HeavyTail, Workload::Sorted, Workload::Bimodal] {
        let kept = cold(workload, seed);
        show(&format!("first job ever: {}", workload.name()), true, &scores(&kept, false));
        all.extend(kept);
    }
    show("first job ever: all four", true, &scores(&all, false));
}

fn cold(workload: Workload, seed: u64) -> Vec<Kept> {
    let worlds = (0..COLD).map(|world| World::new(workload, seed.wrapping_mul(1_000).wrapping_add(500 + world)));
    worlds
        .flat_map(|mut world| {
            world.run(1);
            world.kept
        })
        .collect()
}

fn show(name: &str, is_foreseeable: bool, scores: &[Score; BUCKETS.len()]) {
    let mark = if is_foreseeable { ' ' } else { '*' };
    let line = |of: &dyn Fn(&Score) -> String| scores.iter().map(of).collect::<Vec<_>>().join(" ");
    let coverage = line(&|score| format!("{:3.0}", 100.0 * score.coverage));
    let error = line(&|score| format!("{:5.1}", 100.0 * score.error));
    let pinball = line(&|score| format!("{:4.2} ({:4.2})", score.pinball, score.middle));
    println!("{name:>37}{mark} {:4} | {coverage} | {error} | {pinball}", scores[1].readings);
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.kept.extend(other.kept);
        self.readings += other.readings;
        self.moves += other.moves;
        self.flickers += other.flickers;
    }
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn number(name: &str, default: u64) -> u64 {
    argument(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}
