//! What follows on failures.
use super::*;

#[test]
fn a_failed_chunk_waits_and_is_tried_again() {
    let mut job = running(2);
    job.evolve(&failed(0, 0, 1));
    assert_eq!(job.sendable(&pool(), Timestamp::new(5_000)).count(), 0);
    let again = schedule::next_due([&job].into_iter(), Timestamp::new(5_000)).unwrap();
    assert_eq!(job.sendable(&pool(), again).count(), 1);
    assert_eq!((job.attempts, job.retries), (1, 1));
    job.evolve(&failed(0, 0, 1));
    assert_eq!(job.attempts, 1, "the same fact once more");
}

/// A worker's clock may be an hour off, either way: its chunk never stands still for longer than the longest delay.
#[test]
fn a_wrong_clock_does_not_hold_a_retry() {
    let (now, hour) = (10_000_000, 3_600_000);
    let longest_ms = running(2).submitted.policies.longest_ms();
    for at in (now - hour..=now + hour).step_by(7_000) {
        let mut job = running(2);
        job.deadline = Timestamp::new(now + 10 * hour);
        let Event::ChunkFailed(fact) = failed(0, 0, 1) else { panic!("a failure") };
        job.evolve(&Event::ChunkFailed(domain::event::ChunkFailed { at: Timestamp::new(at), ..fact }));
        let is_held = |ms: &u64| job.sendable(&pool(), Timestamp::new(now + ms)).count() == 0;
        let held = (0..2 * hour).step_by(500).filter(is_held).count() as u64 * 500;
        assert!(held <= longest_ms + 500, "{held} ms at {at}");
        assert!(at > now || !is_held(&longest_ms), "{at}");
    }
}

#[test]
fn a_bad_request_stands_alone_in_the_end() {
    let mut job = running(2);
    (1..=2).for_each(|attempt| job.evolve(&failed(0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Split));
    let halves: Vec<_> = job.open[&0].whole().map(|(index, plan)| (index, plan.runs.clone())).collect();
    assert_eq!(halves, [(1, vec![(0, 1)]), (2, vec![(1, 1)])]);
    job.evolve(&done(0, 1, 1, 0));
    (1..=2).for_each(|attempt| job.evolve(&failed(0, 2, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 2)), Some(Chunk::GivenUp(FaultClass::Internal)));
    assert_eq!((state(&job), job.archivable().count()), (State::Finalizing, 1));
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!((job.tally.completed, job.tally.failed), (1, 1), "the chunk that was split has no answers any more");
}

#[test]
fn halves_hold_each_request_once() {
    let plan = ChunkPlan { pool: 0, runs: vec![(3, 2), (9, 1), (20, 4)], bytes: 70, load: None };
    let [first, second] = plan.halves();
    assert_eq!((first.runs.clone(), second.runs.clone()), (vec![(3, 2), (9, 1), (20, 1)], vec![(21, 3)]));
    assert!(first.indices().chain(second.indices()).eq(plan.indices()));
}

/// What may be tried again is not given up for want of time: at the deadline it reads as expired, and not as failed.
#[test]
fn a_failure_just_before_the_deadline_is_left_to_the_deadline() {
    let mut job = running(4);
    let (at, class) = (Timestamp::new(HOUR), FaultClass::Timeout);
    let failed = |attempt| {
        let (chunk, worker, reason) = (ChunkId::new(0, 0), "w".to_owned(), String::new());
        Event::ChunkFailed(ChunkFailed {
            at: Timestamp::new(HOUR + 900),
            chunk,
            attempt,
            worker,
            class,
            reason,
            trust: None,
            others: 0,
        })
    };
    job.evolve(&failed(1));
    job.evolve(&failed(2));
    assert!(job.tally.failed == 0 && job.remaining() == 4);
    assert_eq!(job.sendable(&pool(), at).count(), 1, "only the chunk that did not fail");
    job.evolve(
        &decide(Some(&job), Command::Expire { at: Timestamp::new(HOUR + 1_000), reason: None }).unwrap().unwrap(),
    );
    let segment = job.archivable().next().unwrap();
    assert!(segment.whole().all(|(index, _)| segment.chunks[index as usize] == Chunk::Unanswered));
}

#[test]
fn a_failure_on_a_worker_that_is_not_trusted_speaks_against_nobody() {
    let mut job = running(1);
    (1..=50).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Untrusted), 0, attempt, 5_000)));
    assert!(matches!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Owed { failures, .. }) if failures.counted == 0));
    (51..=53).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Trusted), 0, attempt, 5_000)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

fn failed_on(worker: &str, others: u32, index: u32, attempt: u32) -> Event {
    let Event::ChunkFailed(fact) = failed_at(Some(Trust::Trusted), index, attempt, 5_000) else { panic!("a failure") };
    Event::ChunkFailed(ChunkFailed { worker: worker.into(), others, ..fact })
}

fn counted(job: &Job, index: u32) -> u32 {
    let Some(Chunk::Owed { failures, .. }) = job.chunk(ChunkId::new(0, index)) else { panic!("it is owed") };
    failures.counted
}

/// What fails on one worker alone is tried until another one has had it; what fails on both is poison.
#[test]
fn a_request_is_given_up_where_it_fails_on_whoever_takes_it() {
    let mut job = running(1);
    (1..=20).for_each(|attempt| job.evolve(&failed_on("sour", 1, 0, attempt)));
    assert_eq!(counted(&job, 0), 1);
    job.evolve(&failed_on("good", 1, 0, 21));
    assert_eq!(counted(&job, 0), 2);
    job.evolve(&failed_on("sour", 1, 0, 22));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

/// Whoever is alone is believed, as ever: who was not alone before, a little later.
#[test]
fn where_nobody_else_takes_work_one_worker_is_enough() {
    let mut job = running(1);
    (1..=3).for_each(|attempt| job.evolve(&failed_on("one", 0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
    let mut job = running(1);
    (1..=3).for_each(|attempt| job.evolve(&failed_on("one", 1, 0, attempt)));
    (4..=7).for_each(|attempt| job.evolve(&failed_on("one", 0, 0, attempt)));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::GivenUp(FaultClass::Internal)));
}

/// A chunk is not taken apart for what one worker says alone.
#[test]
fn a_chunk_is_split_where_it_fails_on_whoever_takes_it() {
    let mut job = running(2);
    (1..=20).for_each(|attempt| job.evolve(&failed_on("sour", 1, 0, attempt)));
    assert_eq!(counted(&job, 0), 1);
    job.evolve(&failed_on("good", 1, 0, 21));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), Some(Chunk::Split));
}

/// Gives up so many single requests, each an own chunk.
fn lossy(requests: u64, lost: u32, trust: Option<Trust>) -> Job {
    let mut job = Job::begin(id(), &Event::JobSubmitted(submitted())).unwrap();
    let chunks =
        (0..requests as u32).map(|n| ChunkPlan { pool: 0, runs: vec![(n, 1)], bytes: 10, load: None }).collect();
    let (pools, requests32) = (vec![pool()], requests as u32);
    let plan = SegmentPlan { segment: 0, offset: 0, bytes: 10, first: 0, requests: requests32, pools, chunks };
    job.evolve(&Event::SegmentPlanned(plan));
    let input = "jobs/x/input.jsonl".to_owned();
    let (at, warnings) = (Timestamp::new(2_000), vec![]);
    job.evolve(&Event::JobPlanned(Planned { at, input, requests, segments: 1, bytes: 10, warnings }));
    for index in 0..lost {
        (1..=3).for_each(|attempt| job.evolve(&failed_at(trust, index, attempt, 5_000)));
    }
    job
}

#[test]
fn a_job_of_which_all_fails_holds_and_tries_one_chunk_at_a_time() {
    let mut job = lossy(40, 16, Some(Trust::Trusted));
    assert!(job.hold.is_on());
    assert_eq!(job.tally.failed, 16);
    let sendable =
        |job: &Job, at| job.sendable(&pool(), Timestamp::new(at)).map(|(id, _)| id.index).collect::<Vec<_>>();
    assert_eq!(sendable(&job, 5_500), [0_u32; 0], "it rests");
    assert_eq!(sendable(&job, 6_000), [16]);
    for (tries, pause) in (1..9).zip([2, 4, 8, 16, 32, 60, 60, 60]) {
        job.evolve(&failed_at(Some(Trust::Trusted), 16, tries, 100_000));
        let next = schedule::next_due([&job].into_iter(), Timestamp::new(100_000)).unwrap();
        assert!(next.get() <= 100_000 + pause * 1_000);
        assert_eq!(sendable(&job, 99_999 + pause * 1_000), [0_u32; 0], "{tries}");
        assert_eq!(sendable(&job, 100_000 + pause * 1_000).len(), 1, "{tries}");
    }
    assert_eq!(job.tally.failed, 16, "nothing more is given up");
    job.evolve(&done(0, 17, 1, 0));
    assert!(!job.hold.is_on());
    assert_eq!(sendable(&job, 200_000).len(), 23);
    (9..=11).for_each(|attempt| job.evolve(&failed_at(Some(Trust::Trusted), 16, attempt, 100_000)));
    assert_eq!(job.tally.failed, 17, "what is bad among good ones is given up");
}

/// As they were folded before there were records.
#[test]
fn facts_of_old_are_judged_as_ever() {
    let job = lossy(40, 40, None);
    assert_eq!((job.tally.failed, job.remaining()), (40, 0));
}
