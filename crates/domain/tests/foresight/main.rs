//! The forecast in worlds on the real scheduler. `--example foresight` prints the same as a table, of more worlds.
#![allow(clippy::unwrap_used)]
mod world;

use domain::{
    Timestamp,
    command::Command,
    event::Priority,
    foresight::{Cause, Foresight},
    schedule::Jobs,
};
use std::collections::BTreeMap;
use world::{
    head::{Book, Spec, fold},
    run::World,
    score::scores,
    workload::{State, Workload},
};

fn bytes(foresight: &Foresight) -> Vec<u8> {
    rmp_serde::to_vec_named(foresight).unwrap()
}

/// A world whose log is kept, with the events of so many jobs.
fn told(workload: Workload, jobs: usize) -> World {
    let mut world = World::new(workload, 7);
    world.head.keeps_log = true;
    world.run(jobs);
    world
}

#[test]
fn the_same_log_gives_the_same_band() {
    for workload in [Workload::Pauses, Workload::Workers, Workload::Bimodal] {
        let world = told(workload, 4);
        let (mut book, mut again) = (Book::default(), Foresight::default());
        for (id, event, at) in &world.head.log {
            fold(&mut book, &mut again, *id, event, *at);
            book.forget_ended(*id);
        }
        assert_eq!(bytes(&again), bytes(&world.head.foresight), "{workload:?}");
    }
}

#[test]
fn a_snapshot_goes_on_where_the_log_is_read_from() {
    let world = told(Workload::Bursts, 6);
    let log = &world.head.log;
    for cut in (0..log.len()).step_by(log.len() / 7) {
        let (mut book, mut foresight) = (Book::default(), Foresight::default());
        for (at_event, (id, event, at)) in log.iter().enumerate() {
            if at_event == cut {
                foresight = rmp_serde::from_slice(&bytes(&foresight)).unwrap();
                foresight.resume(&book);
            }
            fold(&mut book, &mut foresight, *id, event, *at);
            book.forget_ended(*id);
        }
        assert_eq!(bytes(&foresight), bytes(&world.head.foresight), "cut at {cut} of {}", log.len());
    }
}

/// An event that is told twice teaches nothing twice.
#[test]
fn what_is_told_twice_counts_once() {
    let world = told(Workload::Steady, 2);
    let (mut book, mut foresight) = (Book::default(), Foresight::default());
    for (id, event, at) in &world.head.log {
        fold(&mut book, &mut foresight, *id, event, *at);
        if !event.is_lifecycle() {
            fold(&mut book, &mut foresight, *id, event, *at);
        }
        book.forget_ended(*id);
    }
    assert_eq!(bytes(&foresight), bytes(&world.head.foresight));
}

/// Who still holds a job that ended, and hears of it late, comes to the same.
#[test]
fn a_late_fact_of_a_job_that_ended_leaves_nothing() {
    let world = told(Workload::Steady, 2);
    let (mut book, mut foresight) = (Book::default(), Foresight::default());
    let late = world.head.log.iter().filter(|(_, event, _)| !event.is_lifecycle());
    for (id, event, at) in world.head.log.iter().chain(late) {
        fold(&mut book, &mut foresight, *id, event, *at);
    }
    assert_eq!(bytes(&foresight), bytes(&world.head.foresight));
}

/// The three files of the issue, with margins: one world each. The table of the example has the figures.
#[test]
fn after_some_jobs_the_band_holds_for_short_heavy_tailed_and_sorted_files() {
    for workload in [Workload::Short, Workload::HeavyTail, Workload::Sorted] {
        let mut kept = Vec::new();
        for seed in 0..3 {
            let mut world = World::new(workload, seed);
            world.run(30);
            kept.extend(world.kept.iter().filter(|kept| kept.job >= 10).copied());
        }
        for (bucket, score) in scores(&kept, false).iter().enumerate() {
            assert!((0.6..=1.0).contains(&score.coverage), "{workload:?} {bucket}: {score:?}");
            let most = if workload == Workload::HeavyTail { 0.5 } else { 0.15 };
            assert!(score.error < most, "{workload:?} {bucket}: {score:?}");
            assert!(score.pinball < 1.0, "{workload:?} {bucket}: {score:?}");
        }
    }
}

#[test]
fn no_reading_moves_by_more_than_a_fifth_without_a_reason_and_none_crosses_itself() {
    for workload in Workload::ALL {
        let mut world = World::new(workload, 3);
        world.run(6);
        assert!(world.readings > 100, "{workload:?}");
        assert_eq!(world.flickers, 0, "{workload:?}: {} moves of {} readings", world.moves, world.readings);
        assert!(world.kept.iter().all(|kept| kept.band.is_sorted()), "{workload:?}");
    }
}

/// A job in the middle of its run, after some that have ended.
fn midway() -> World {
    let mut world = World::new(Workload::Steady, 5);
    world.run(5);
    world.until_progress(0.4);
    world
}

#[test]
fn half_of_the_workers_take_twice_as_long_and_the_reading_says_why() {
    let mut world = midway();
    let now = world.now;
    let read = |world: &mut World, workers| world.head.read(workers, now)[0].1;
    let (two, one) = (read(&mut world, 2), read(&mut world, 1));
    let left = |end: Timestamp| end.since(Timestamp::new(now)) as f64;
    let ratio = left(one.p50) / left(two.p50);
    assert!((1.5..2.3).contains(&ratio), "{ratio}");
    assert_eq!(one.moved.unwrap().cause, Cause::WorkerLost);
    assert_eq!(world.head.read(0, now), [], "nobody works, and nobody knows");
    let again = read(&mut world, 2);
    assert!((left(again.p50) / left(two.p50) - 1.0).abs() < 0.1);
    assert_eq!(again.moved.unwrap().cause, Cause::PoolMended);
}

#[test]
fn a_more_urgent_job_cuts_in_and_is_named() {
    let mut world = midway();
    let job = world.head.book.jobs().next().unwrap().id;
    let before: BTreeMap<_, _> = world.head.read(2, world.now).into_iter().collect();
    let urgent = world.cut_in();
    let after: BTreeMap<_, _> = world.head.read(2, world.now).into_iter().collect();
    assert!(after[&job].p50 > before[&job].p50.plus(5_000), "{before:?} {after:?}");
    assert_eq!(after[&job].moved.unwrap().cause, Cause::CutIn(Some(urgent)));
    assert_eq!(after[&urgent].moved, None, "nobody steered it: it began");
    assert!(after[&urgent].p50 < after[&job].p50);
}

/// The sooner it is promised the more workers it needs; with so many, it is expected in time.
#[test]
fn a_pool_tells_what_is_before_it_and_how_many_would_do_that_in_time() {
    let mut world = midway();
    let (now, job) = (Timestamp::new(world.now), world.head.book.jobs().next().unwrap().clone());
    let ahead = |world: &World| world.head.foresight.ahead(&world.head.book, now).remove(0);
    let alone = world.head.read(1, world.now)[0].1.p50.since(now);
    for (part, least) in [(0.1, 1), (1.1, 2), (2.1, 3), (3.5, 4)] {
        let window_ms = now.since(job.submitted.at) + (alone as f64 / part) as u64;
        world.head.command(job.id, Command::Window { at: now, window_ms }, world.now);
        let told = ahead(&world);
        let needed = told.needed.unwrap();
        assert_eq!((told.requests, told.pool.as_str()), (job.remaining(), "sim"));
        assert!((least..=2 * least).contains(&needed), "{needed} for {part}");
        let deadline = world.head.book.job(job.id).unwrap().deadline;
        assert!(world.head.read(needed, world.now)[0].1.p50 <= deadline, "{needed} for {part}");
    }
    world.head.command(job.id, Command::Pause { at: now }, world.now);
    assert_eq!((ahead(&world).requests, ahead(&world).needed), (0, Some(0)), "nobody works at what is paused");
}

/// A pool that was never seen at work has no speed.
#[test]
fn nothing_is_said_before_the_first_answer() {
    let mut world = World::new(Workload::Steady, 9);
    world.cut_in();
    assert_eq!(world.head.read(2, world.now), []);
    let ahead = world.head.foresight.ahead(&world.head.book, Timestamp::new(world.now)).remove(0);
    assert!(ahead.requests > 0 && ahead.needed.is_none(), "{ahead:?}");
}

/// A job as the world would submit it next.
fn spec(window_ms: u64) -> Spec {
    let spec = Workload::Steady.job(&mut world::chance::Chance::new(11), &State::default());
    Spec { window_ms, ..spec }
}

const DAY_MS: u64 = 24 * 3_600_000;

/// What is quoted is what is read as soon as the job is there.
#[test]
fn a_quote_is_what_the_job_would_read() {
    let mut world = World::new(Workload::Steady, 5);
    world.run(8);
    let (now, spec) = (world.now, spec(DAY_MS));
    let quoted = world.head.quote(&world.head.asked(&spec), 2, now);
    let (start, finish) = (quoted.start.unwrap(), quoted.finish.unwrap());
    assert!(start.p90.since(Timestamp::new(now)) < 1_000, "nothing is before it: {start:?}");
    let id = world.head.submit(99, &spec, now);
    let readings: BTreeMap<_, _> = world.head.read(2, now).into_iter().collect();
    let told = [readings[&id].p10, readings[&id].p50, readings[&id].p90];
    for (read, quoted) in told.iter().zip([finish.p10, finish.p50, finish.p90]) {
        let left = |end: &Timestamp| end.since(Timestamp::new(now)) as f64;
        assert!((left(read) / left(&quoted) - 1.0).abs() < 0.02, "{told:?} {finish:?}");
    }
    let tokens: u64 = spec.lines.iter().map(|line| u64::from(line.answer)).sum();
    let off = quoted.answer_tokens as f64 / tokens as f64;
    assert!((0.7..1.4).contains(&off), "{off}");
}

/// The later its deadline the longer it waits; the shortest window that holds, holds.
#[test]
fn a_quote_names_the_shortest_window_and_who_pays_for_it() {
    let mut world = midway();
    let (now, running) = (world.now, world.head.book.jobs().next().unwrap().id);
    let ends: BTreeMap<_, _> = world.head.read(2, now).into_iter().collect();
    let late = world.head.quote(&world.head.asked(&spec(30 * DAY_MS)), 2, now);
    assert!(late.start.unwrap().p50 > Timestamp::new(now + 1_000) && late.endangered.is_empty(), "{late:?}");
    let shortest = late.shortest_ms.unwrap();
    let soon = world.head.quote(&world.head.asked(&spec(shortest)), 2, now);
    assert!(soon.finish.unwrap().p90 <= Timestamp::new(now + shortest), "{soon:?}");
    assert!(soon.finish.unwrap().p50 < late.finish.unwrap().p50, "{soon:?} {late:?}");
    assert_eq!(soon.shortest_ms, Some(shortest));
    // With a deadline that it just keeps, the running job would not keep it any more.
    let window_ms = ends[&running].p95.since(world.head.book.jobs().next().unwrap().submitted.at);
    let tight = Command::Window { at: Timestamp::new(now), window_ms };
    world.head.command(running, tight, now);
    let urgent = Spec { priority: Priority::High, ..spec(DAY_MS) };
    let quoted = world.head.quote(&world.head.asked(&urgent), 2, now);
    assert_eq!(quoted.endangered.iter().map(|one| one.job).collect::<Vec<_>>(), [running], "{quoted:?}");
    assert!(quoted.endangered[0].before <= quoted.endangered[0].deadline);
}

#[test]
fn of_a_pool_that_was_never_seen_at_work_nothing_is_quoted_but_tokens() {
    let mut world = World::new(Workload::Steady, 9);
    let asked = world.head.asked(&spec(DAY_MS));
    let quoted = world.head.quote(&asked, 2, world.now);
    assert_eq!((quoted.finish, quoted.unknown.len()), (None, 1));
    assert!(quoted.answer_tokens > 0 && quoted.prompt_tokens > 0);
    world.run(2);
    let nobody = world.head.quote(&asked, 0, world.now);
    assert_eq!((nobody.finish, nobody.unknown.len()), (None, 1), "nobody works");
}
