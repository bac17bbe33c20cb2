//! What follows on a failure, as data: each class has its policy. A job keeps the policies it was submitted under in
//! the log, so that everyone who folds it comes to the same.
use crate::{
    ChunkId, JobId,
    event::FaultClass,
    witness::{Says, Witness, Witnesses},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is done about failures of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// `retry` the chunk, or `answer` its requests with error lines at once.
    pub action: Action,
    /// Before the first retry, milliseconds.
    pub delay_ms: u64,
    /// Each delay over the one before, percent: 200 doubles.
    pub growth_percent: u32,
    /// The longest delay, milliseconds.
    pub longest_ms: u64,
    /// The part of a delay that is left to chance, percent.
    pub jitter_percent: u32,
    /// Whether a failure counts against the chunk.
    pub counts: bool,
    /// The counted failure that gives the chunk up.
    pub max: u32,
    /// The counted failure from which on the chunk is split in half instead of tried whole; 0: never.
    pub split_from: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Retry,
    Answer,
}

/// A chunk that speaks against nobody waits no longer than this, milliseconds: a bad worker has pauses of its own, and a good
/// one may be there.
const SPARED_LONGEST_MS: u64 = 5_000;
/// Nor does one that others are still to be asked of, milliseconds: who takes it next is chance.
const ASKED_LONGEST_MS: u64 = 15_000;

/// The policies of a job. A class that is not named has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Policies(BTreeMap<FaultClass, Policy>);

/// A policy as the configuration has it: what it leaves out is the class's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    pub action: Option<Action>,
    pub delay_ms: Option<u64>,
    pub growth_percent: Option<u32>,
    pub longest_ms: Option<u64>,
    pub jitter_percent: Option<u32>,
    pub counts: Option<bool>,
    pub max: Option<u32>,
    pub split_from: Option<u32>,
}

impl Override {
    pub fn over(self, policy: Policy) -> Policy {
        Policy {
            action: self.action.unwrap_or(policy.action),
            delay_ms: self.delay_ms.unwrap_or(policy.delay_ms),
            growth_percent: self.growth_percent.unwrap_or(policy.growth_percent),
            longest_ms: self.longest_ms.unwrap_or(policy.longest_ms),
            jitter_percent: self.jitter_percent.unwrap_or(policy.jitter_percent),
            counts: self.counts.unwrap_or(policy.counts),
            max: self.max.unwrap_or(policy.max),
            split_from: self.split_from.unwrap_or(policy.split_from),
        }
    }
}

/// Where a chunk stands after its failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// All of them. The next attempt is one more.
    pub tries: u32,
    /// Those that count.
    pub counted: u32,
    /// An engine ended or was lost with it: it is tried with nothing beside it, so that no other chunk ends with it.
    pub alone: bool,
    /// The workers on which it failed, where others could have taken it.
    #[serde(default, skip_serializing_if = "Witnesses::is_none")]
    pub seen: Witnesses,
}

/// What becomes of a chunk that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Again, after so many milliseconds.
    Retry {
        failures: Failures,
        delay_ms: u64,
    },
    /// Its two halves, each with these failures behind it.
    Split {
        failures: Failures,
        delay_ms: u64,
    },
    GiveUp,
}

/// A chunk and its failures so far.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    pub job: JobId,
    pub chunk: ChunkId,
    pub requests: u32,
    pub before: Failures,
    /// It speaks against nobody here: the worker is not trusted, say.
    pub spared: bool,
    /// Where it failed. None: nobody else could be asked.
    pub witness: Option<Witness>,
}

impl Policy {
    const fn new(action: Action, counts: bool, delay_ms: u64, max: u32, split_from: u32) -> Self {
        let (growth_percent, longest_ms, jitter_percent) = (200, 60_000, 50);
        Self { action, delay_ms, growth_percent, longest_ms, jitter_percent, counts, max, split_from }
    }

    /// What is wrong with it, naming the field.
    pub const fn fault(&self) -> Option<&'static str> {
        match self {
            Self { jitter_percent: 101.., .. } => Some("jitter_percent is at most 100"),
            Self { growth_percent: ..100, .. } => Some("growth_percent is at least 100"),
            Self { max: 0, .. } => Some("max is at least 1"),
            Self { split_from, max, .. } if *split_from > *max => Some("split_from is at most max"),
            Self { delay_ms: 0, counts: false, .. } => Some("delay_ms is at least 1 where failures do not count"),
            _ => None,
        }
    }

    /// The delay before try `try_number + 1`; the jitter comes from the chunk's name, since a fold has no randomness.
    fn delay_ms(&self, seed: u64, try_number: u32) -> u64 {
        let mut whole = self.delay_ms.min(self.longest_ms);
        for _ in 1..try_number.min(64) {
            whole = (whole.saturating_mul(u64::from(self.growth_percent)) / 100).min(self.longest_ms);
        }
        let chance = whole / 100 * u64::from(self.jitter_percent) + whole % 100 * u64::from(self.jitter_percent) / 100;
        whole - chance + mix(seed) % (chance + 1)
    }
}

impl FaultClass {
    /// Whether what ran beside the chunk ended with it.
    pub const fn is_deadly(self) -> bool {
        matches!(self, Self::OutOfMemory | Self::EngineDied | Self::WorkerLost)
    }

    /// What is done where the configuration says nothing.
    pub const fn policy(self) -> Policy {
        use Action::{Answer, Retry};
        match self {
            // The request's own fault: the engine's words are its answer.
            Self::Refused | Self::TooLong => Policy::new(Answer, true, 500, 3, 0),
            // Not the chunk's fault, and it passes: it is tried until the deadline.
            Self::Overloaded | Self::Storage | Self::Nats => Policy::new(Retry, false, 1_000, 8, 0),
            // Half as much fits.
            Self::OutOfMemory => Policy::new(Retry, true, 1_000, 3, 1),
            // Perhaps one request of it does that: whoever keeps failing is taken apart.
            Self::EngineDied | Self::WorkerLost | Self::Timeout => Policy::new(Retry, true, 1_000, 3, 2),
            Self::Internal => Policy::new(Retry, true, 500, 3, 2),
            // Somebody else takes it at once.
            Self::HandedBack => Policy { growth_percent: 100, ..Policy::new(Retry, false, 1, 3, 0) },
        }
    }
}

impl Policies {
    pub fn new(set: BTreeMap<FaultClass, Policy>) -> Self {
        Self(set)
    }

    pub fn of(&self, class: FaultClass) -> Policy {
        self.0.get(&class).copied().unwrap_or(class.policy())
    }

    /// No delay of any class is longer, milliseconds.
    pub fn longest_ms(&self) -> u64 {
        FaultClass::ALL.iter().map(|class| self.of(*class).longest_ms).max().unwrap_or(0)
    }

    /// What follows on a failure of this class.
    pub fn judge(&self, class: FaultClass, failed: Failed) -> Verdict {
        let policy = self.of(class);
        let Failures { tries, counted, alone, seen } = failed.before;
        if failed.spared {
            let failures = Failures { tries: tries + 1, ..failed.before };
            let policy = Policy { longest_ms: policy.longest_ms.min(SPARED_LONGEST_MS), ..policy };
            let delay_ms = policy.delay_ms(seed(failed.job, failed.chunk, tries + 1), tries + 1).max(1);
            return Verdict::Retry { failures, delay_ms };
        }
        let alone = alone || class.is_deadly();
        let (seen, says) = if policy.counts { seen.hear(failed.witness) } else { (seen, Says::Enough) };
        let counts = policy.counts && says != Says::Nothing;
        let failures = Failures { tries: tries + 1, counted: counted + u32::from(counts), alone, seen };
        let longest_ms = match (says, failed.witness) {
            (Says::Enough, _) => policy.longest_ms,
            // Nobody else is there any more: the one that is left tells soon.
            (Says::More, None) => SPARED_LONGEST_MS,
            (Says::More | Says::Nothing, _) => ASKED_LONGEST_MS,
        };
        let policy = Policy { longest_ms: policy.longest_ms.min(longest_ms), ..policy };
        // Each kind of failure has pauses that grow by themselves: what was not the chunk's fault makes it wait no longer.
        let nth = match (policy.counts, counts) {
            (true, true) => failures.counted,
            (true, false) => failures.seen.again(),
            (false, _) => failures.tries,
        };
        let delay_ms = policy.delay_ms(seed(failed.job, failed.chunk, failures.tries), nth);
        let splits = counts && policy.split_from > 0 && failures.counted >= policy.split_from;
        match policy.action {
            Action::Answer => Verdict::GiveUp,
            // The halves are as suspect as the whole: the next failure splits again.
            Action::Retry if splits && failed.requests > 1 => {
                let (tries, counted, seen) = (0, policy.split_from - 1, Witnesses::default());
                Verdict::Split { failures: Failures { tries, counted, alone, seen }, delay_ms }
            }
            Action::Retry if counts && says == Says::Enough && failures.counted >= policy.max => Verdict::GiveUp,
            Action::Retry => Verdict::Retry { failures, delay_ms },
        }
    }
}

fn seed(job: JobId, chunk: ChunkId, tries: u32) -> u64 {
    job.uuid().as_u64_pair().1 ^ (u64::from(chunk.segment) << 40 | u64::from(chunk.index) << 8 | u64::from(tries))
}

/// The finaliser of SplitMix64.
const fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::AGAIN_MAX;
    use proptest::prelude::*;

    fn failed(index: u32, requests: u32, before: Failures) -> Failed {
        let job = JobId::keyed("default", "k");
        Failed { job, chunk: ChunkId::new(0, index), requests, before, spared: false, witness: None }
    }

    fn after(tries: u32, counted: u32) -> Failures {
        Failures { tries, counted, ..Failures::default() }
    }

    fn delay(class: FaultClass, index: u32, tries: u32) -> u64 {
        match Policies::default().judge(class, failed(index, 1, after(tries, 0))) {
            Verdict::Retry { delay_ms, .. } => delay_ms,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        for index in 0..100 {
            let delays: Vec<_> = (0..12).map(|tries| delay(FaultClass::Overloaded, index, tries)).collect();
            assert!((500..=1_000).contains(&delays[0]), "{delays:?}");
            assert!((1_000..=2_000).contains(&delays[1]), "{delays:?}");
            assert!(delays.iter().all(|delay| *delay <= 60_000) && delays[11] >= 30_000, "{delays:?}");
        }
    }

    #[test]
    fn chunks_that_failed_together_come_back_apart() {
        let delays: std::collections::HashSet<_> = (0..50).map(|n| delay(FaultClass::Overloaded, n, 5)).collect();
        assert!(delays.len() > 40, "{}", delays.len());
    }

    /// It failed often on workers that were bad. Now good ones are asked, and each is asked soon.
    #[test]
    fn what_speaks_against_nobody_makes_no_other_pause_longer() {
        let policies = Policies::default();
        let fails = |before, spared, worker| {
            let failed = Failed { spared, witness: Witness::of(worker, 2), ..failed(0, 1, before) };
            match policies.judge(FaultClass::Internal, failed) {
                Verdict::Retry { failures, delay_ms } => (failures, delay_ms),
                other => panic!("{other:?}"),
            }
        };
        let mut failures = Failures::default();
        for _ in 0..20 {
            (failures, _) = fails(failures, true, "bad");
        }
        let (failures, first) = fails(failures, false, "a");
        let (failures, again) = fails(failures, false, "a");
        let (_, second) = fails(failures, false, "b");
        assert!(first <= 500 && again <= 500 && second <= 1_000, "{first}, {again}, {second}");
    }

    #[test]
    fn a_chunk_that_keeps_failing_is_taken_apart_to_the_one_bad_request() {
        let (policies, died) = (Policies::default(), FaultClass::EngineDied);
        let judge = |requests, before| policies.judge(died, failed(0, requests, before));
        assert!(matches!(
            judge(64, after(0, 0)),
            Verdict::Retry { failures: Failures { tries: 1, counted: 1, alone: true, .. }, .. }
        ));
        assert!(matches!(
            judge(64, after(1, 1)),
            Verdict::Split { failures: Failures { tries: 0, counted: 1, alone: true, .. }, .. }
        ));
        assert!(matches!(judge(32, after(0, 1)), Verdict::Split { .. }));
        assert!(matches!(
            judge(1, after(0, 1)),
            Verdict::Retry { failures: Failures { tries: 1, counted: 2, .. }, .. }
        ));
        assert_eq!(judge(1, after(1, 2)), Verdict::GiveUp);
    }

    fn class() -> impl Strategy<Value = FaultClass> {
        prop::sample::select(FaultClass::ALL.to_vec())
    }

    fn policy() -> impl Strategy<Value = Policy> {
        let action = prop_oneof![1 => Just(Action::Answer), 5 => Just(Action::Retry)];
        (action, 1u64..5_000, 100u32..400, 1u64..100_000, 0u32..=100, any::<bool>(), 1u32..6).prop_flat_map(
            |(action, delay_ms, growth_percent, longest_ms, jitter_percent, counts, max)| {
                (0..=max).prop_map(move |split_from| Policy {
                    action,
                    delay_ms,
                    growth_percent,
                    longest_ms,
                    jitter_percent,
                    counts,
                    max,
                    split_from,
                })
            },
        )
    }

    proptest! {
        /// What speaks against nobody is tried again, whole and for ever, in between what does: a good request is given up
        /// by no sequence of such failures.
        #[test]
        fn what_is_spared_is_never_given_up(
            failures in prop::collection::vec((class(), any::<bool>()), 0..200),
            requests in 1u32..300,
            policy in policy(),
        ) {
            let policies = Policies::new([(FaultClass::Internal, policy)].into());
            let mut before = Failures::default();
            for (class, spared) in failures {
                let verdict = policies.judge(class, Failed { spared, ..failed(0, requests, before) });
                match verdict {
                    Verdict::Retry { failures, delay_ms } if spared => {
                        prop_assert_eq!(failures, Failures { tries: before.tries + 1, ..before });
                        prop_assert!((1..=policies.longest_ms().min(SPARED_LONGEST_MS)).contains(&delay_ms));
                        before = failures;
                    }
                    Verdict::Retry { failures, .. } => before = failures,
                    Verdict::Split { .. } | Verdict::GiveUp => prop_assert!(!spared, "{:?}", class),
                }
            }
        }

        /// While others are there to ask, no request is given up for what one worker says alone, however long it goes on saying
        /// so before another one takes it.
        #[test]
        fn one_worker_alone_gives_nothing_up(class in class(), policy in policy(), others in 1u32..9, index in 0u32..99) {
            prop_assume!(policy.action == Action::Retry);
            let policies = Policies::new([(class, policy)].into());
            let (mut before, witness) = (Failures::default(), Witness::of("sour", others));
            for _ in 0..AGAIN_MAX {
                match policies.judge(class, Failed { witness, ..failed(index, 1, before) }) {
                    Verdict::Retry { failures, .. } => before = failures,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert!(before.counted <= 1);
        }

        /// Every class, whatever its policy: a chunk whose failures count comes to an end, split or given up; no
        /// delay is longer than allowed; failures that do not count never use up a chunk.
        #[test]
        fn every_class_comes_to_an_end(
            class in class(),
            policy in policy(),
            requests in 1u32..300,
            index in 0u32..99,
            crew in 1u32..5,
        ) {
            prop_assert_eq!(policy.fault(), None);
            let policies = Policies::new([(class, policy)].into());
            let (mut before, mut requests) = (Failures::default(), requests);
            for turn in 0..8_000 {
                let witness = Witness::of(&format!("w{}", turn * turn % crew), crew - 1);
                match policies.judge(class, Failed { witness, ..failed(index, requests, before) }) {
                    Verdict::GiveUp => {
                        prop_assert!(policy.action == Action::Answer || before.counted + 1 >= policy.max);
                        return Ok(());
                    }
                    Verdict::Split { failures, delay_ms } => {
                        prop_assert!(policy.counts && requests > 1 && failures.counted < policy.split_from);
                        prop_assert!(delay_ms <= policy.longest_ms);
                        (before, requests) = (failures, requests.div_ceil(2));
                    }
                    Verdict::Retry { failures, delay_ms } => {
                        prop_assert_eq!(failures.tries, before.tries + 1);
                        prop_assert!(delay_ms <= policy.longest_ms);
                        before = failures;
                    }
                }
                prop_assert!(turn < 4_000 || !policy.counts, "it never ends: {:?}", before);
            }
        }
    }
}
