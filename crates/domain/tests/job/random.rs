//! Random events, duplicates and late facts, with every invariant after each.
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Done(u32, u32),
    Failed(u32, u32, u32),
    Archive(u32),
    Cancel,
    Expire,
    Pause,
    Resume,
    Window(u64),
    Written,
    End,
    Again(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let chunk = (0u32..4, 0u32..9);
    prop_oneof![
        6 => chunk.clone().prop_map(|(s, c)| Step::Done(s, c)),
        3 => (chunk, 1u32..5).prop_map(|((s, c), n)| Step::Failed(s, c, n)),
        3 => (0u32..4).prop_map(Step::Archive),
        1 => Just(Step::Cancel),
        1 => Just(Step::Expire),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => (1u64..4).prop_map(Step::Window),
        1 => Just(Step::Written),
        2 => Just(Step::End),
        3 => any::<usize>().prop_map(Step::Again),
    ]
}

/// What the rooms would append in this state, whatever the worker, the archiver and the clock do.
fn event(job: &Job, step: &Step, past: &[Event]) -> Option<Event> {
    let command = |command| decide(Some(job), command).ok().flatten();
    match step {
        Step::Done(segment, index) => {
            let plan = job.open.get(segment)?.plan.chunks.get(*index as usize)?;
            Some(done(*segment, *index, u64::from(plan.requests()), 0))
        }
        Step::Failed(segment, index, attempt) => Some(failed(*segment, *index, *attempt)),
        Step::Archive(segment) => {
            job.archivable().any(|open| open.plan.segment == *segment).then(|| archived(job, *segment))
        }
        Step::Cancel => command(Command::Cancel { at: Timestamp::new(3_000) }),
        Step::Expire => command(Command::Expire { at: Timestamp::new(HOUR * 2), reason: None }),
        Step::Pause => command(Command::Pause { at: Timestamp::new(3_000) }),
        Step::Resume => command(Command::Resume { at: Timestamp::new(3_000) }),
        Step::Window(hours) => command(Command::Window { at: Timestamp::new(3_000), window_ms: hours * HOUR }),
        Step::Written => job.is_archived().then(written),
        Step::End => command(Command::End { at: Timestamp::new(HOUR * 3) }),
        Step::Again(n) => past.get(n % past.len().max(1)).cloned(),
    }
}

proptest! {
    #[test]
    fn whatever_happens_counts_are_kept_and_a_replay_agrees(
        requests in 1u64..20, steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut job = running(requests);
        let start = job.clone();
        let mut past = Vec::new();
        for step in &steps {
            let Some(event) = event(&job, step, &past) else { continue };
            let before = job.clone();
            job.evolve(&event);
            if before.is_terminal() {
                prop_assert_eq!(&job, &before);
            }
            invariant_counts(&job);
            invariant_left(&job);
            past.push(event);
        }
        let mut replay = start;
        past.iter().for_each(|event| replay.evolve(event));
        prop_assert_eq!(Status::of(&replay), Status::of(&job));
        // What a snapshot keeps goes on as if it had been folded.
        let kept: Job = rmp_serde::from_slice(&rmp_serde::to_vec_named(&replay).unwrap()).unwrap();
        prop_assert_eq!(&kept, &replay);
        // Each fact once more changes nothing but what is still owed.
        let facts: Vec<_> = past.iter().filter(|event| !event.is_lifecycle()).collect();
        let ended = matches!(job.phase, Phase::Ended(_));
        facts.iter().for_each(|event| replay.evolve(event));
        if ended {
            prop_assert_eq!(replay, job);
        }
    }
}
