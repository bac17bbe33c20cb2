//! Results that are gone.
use super::*;

#[test]
fn a_result_that_is_lost_is_owed_again() {
    let mut job = running(2);
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!((state(&job), job.remaining()), (State::Finalizing, 0));
    job.evolve(&lost(0, 0, 1, 2));
    let (none, owed) = (
        Tally::default(),
        Some(Chunk::Owed { failures: Failures { tries: 1, ..Failures::default() }, not_before: Timestamp::new(8_000) }),
    );
    assert_eq!((state(&job), job.tally, job.chunk(ChunkId::new(0, 0))), (State::InProgress, none, owed));
    job.evolve(&done(0, 0, 2, 0));
    assert_eq!(job.chunk(ChunkId::new(0, 0)), owed, "it tells of what is lost");
    let Event::ChunkDone(second) = done(0, 0, 2, 0) else { panic!("a fact") };
    job.evolve(&Event::ChunkDone(ChunkDone { attempt: 2, ..second }));
    assert_eq!((state(&job), job.retries), (State::Finalizing, 1));
    job.evolve(&lost(0, 0, 1, 2));
    assert_eq!(state(&job), State::Finalizing, "it was told already");
    invariant_counts(&job);
    invariant_left(&job);
}

#[test]
fn what_is_lost_over_and_over_rests_longer_each_time() {
    let mut job = running(1);
    let rests = (1..10).map(|attempt| {
        let Event::ChunkDone(fact) = done(0, 0, 1, 0) else { panic!("a fact") };
        job.evolve(&Event::ChunkDone(ChunkDone { attempt, ..fact }));
        job.evolve(&lost(0, 0, attempt, 1));
        let Some(Chunk::Owed { not_before, .. }) = job.chunk(ChunkId::new(0, 0)) else { panic!("owed") };
        not_before.since(Timestamp::new(8_000))
    });
    assert_eq!(rests.collect::<Vec<_>>(), [0, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
}

#[test]
fn a_result_lost_from_a_job_that_closes_stays_without_an_answer() {
    let mut job = running(4);
    job.evolve(&done(0, 0, 2, 0));
    job.evolve(&Event::JobClosing(Closing {
        at: Timestamp::new(7_000),
        cause: Cause::Cancelled,
        late: false,
        reason: None,
    }));
    job.evolve(&lost(0, 0, 1, 2));
    assert_eq!((job.chunk(ChunkId::new(0, 0)), job.tally), (Some(Chunk::Unanswered), Tally::default()));
    invariant_counts(&job);
    invariant_left(&job);
}
