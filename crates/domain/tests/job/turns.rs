//! Which job goes first, and how far a pool is ahead.
use super::*;

#[test]
fn the_most_urgent_job_is_sent_first() {
    let late = running(6);
    let mut soon = running(6);
    soon.id = JobId::keyed("default", "soon");
    soon.deadline = Timestamp::new(61_000);
    let jobs = schedule::order([&late, &soon].into_iter());
    let room = Capacity { chunks: 4, requests: 100 };
    let queues = [(schedule::Queue::of(&soon, false), jobs.into_iter())].into_iter();
    let (turns, weights) = (schedule::Turns::default(), schedule::Weights::default());
    let out = |_, chunk: ChunkId| chunk.index == 0;
    let sends = schedule::next(queues, &pool(), room, out, Timestamp::new(9_000), (turns, &weights));
    let sent: Vec<_> = sends.iter().map(|send| (send.job == soon.id, send.chunk.index)).collect();
    assert_eq!(sent, [(true, 1), (true, 2), (false, 1), (false, 2)]);
}

#[test]
fn a_pool_is_ahead_by_three_chunks_a_worker_or_by_seconds_of_work() {
    let out = |chunks, requests| Capacity { chunks, requests };
    let crew = |workers| Crew { workers, slots: 0 };
    assert_eq!(Capacity::ahead(0.0, 2.0, crew(1), out(0, 0)).chunks, 3);
    assert_eq!(Capacity::ahead(0.0, 2.0, crew(2), out(5, 50)).chunks, 1);
    assert_eq!(Capacity::ahead(100.0, 2.0, crew(1), out(3, 50)).requests, 150);
    assert_eq!(Capacity::ahead(100.0, 2.0, crew(1), out(9, 500)).requests, 0);
    let wide = Crew { workers: 1, slots: 400 };
    assert_eq!(Capacity::ahead(100.0, 2.0, wide, out(9, 500)).requests, 100, "all slots, and half of them again");
}
