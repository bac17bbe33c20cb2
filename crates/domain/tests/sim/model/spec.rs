//! A job as a client means it, and what each of its requests does to an engine.
use super::env::{Env, Number};
use domain::{
    JobId, Pool,
    event::{FaultClass, Input, Priority, SegmentPlan, Submitted},
    pack::{Packer, Packing},
    retry::{Action, Policies},
};
use std::collections::BTreeMap;

/// Of a job whose good requests must all be answered, at most.
const JUDGED_REQUESTS: usize = 2_000;

pub const POOLS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    Good,
    /// The engine answers with an error.
    Refused,
    /// It fails each time.
    Fails,
    /// The engine hangs on it.
    Hangs,
    /// The engine dies of it.
    Dies,
    /// The worker's process dies of it.
    Kills,
}

pub struct Spec {
    pub id: JobId,
    pub natures: Vec<Nature>,
    pub submitted: Submitted,
    pub plans: Vec<SegmentPlan>,
    /// The input does not validate.
    pub bad: bool,
}

pub fn pool(at: usize) -> Pool {
    POOLS[at].parse().expect("a pool's name")
}

impl Spec {
    pub fn draw(env: &mut Env, number: Number) -> Self {
        let requests = 1 + env.pick(if env.judged { JUDGED_REQUESTS } else { 14 });
        let natures = (0..requests).map(|_| nature(env)).collect();
        let (chunks, segments) = if env.judged { (64, 900) } else { (4, 6) };
        let chunk_requests = BTreeMap::from([(pool(0), 1 + env.pick(chunks) as u32), (pool(1), chunks as u32 / 2)]);
        let segment_requests = 2 + env.pick(segments) as u32;
        let packing = Packing { segment_requests, chunk_requests, ..Packing::default() };
        let plans = plans(env, requests as u64, packing.clone());
        let windows = if env.faults && !env.judged { 4 } else { 1 };
        let hour = if env.judged { 24 * 3_600_000 } else { 3_600_000 };
        let window_ms = [hour, 600_000, 60_000, 5_000][env.pick(windows)];
        let priority = [Priority::Normal, Priority::High, Priority::Low][env.pick(3)];
        let submitted = Submitted {
            fingerprint: "f".into(),
            priority,
            packing,
            policies: policies(env),
            ..Submitted::new(env.at(), Input::Inline, window_ms)
        };
        let bad = env.strikes(12);
        Self { id: JobId::keyed("default", &number.to_string()), natures, submitted, plans, bad }
    }

    /// Whether a failure of the engine's own on this request is its answer.
    pub fn is_answer(&self, class: FaultClass) -> bool {
        self.submitted.policies.of(class).action == Action::Answer
    }
}

fn nature(env: &mut Env) -> Nature {
    const POISON: [Nature; 5] = [Nature::Refused, Nature::Fails, Nature::Hangs, Nature::Dies, Nature::Kills];
    // A worker's death is a fault to those that wait there, if it comes often enough.
    let kinds = if env.faults && !env.judged { POISON.len() } else { POISON.len() - 1 };
    let rare = if env.judged { 300 } else { 12 };
    if env.choices.chance(rare) { POISON[env.pick(kinds)] } else { Nature::Good }
}

fn plans(env: &mut Env, requests: u64, packing: Packing) -> Vec<SegmentPlan> {
    let mut packer = Packer::new(packing);
    let mixed = env.pick(3);
    let mut plans = Vec::new();
    for number in 0..requests {
        let at = (number as usize).checked_div(mixed).map_or(0, |at| at % 2);
        plans.extend(packer.push(number * 10, 10, &pool(at), b"", None));
    }
    plans.extend(packer.finish());
    plans
}

/// The defaults, or one class with a policy of its own.
fn policies(env: &mut Env) -> Policies {
    if !env.faults || env.judged || env.pick(3) == 0 {
        return Policies::default();
    }
    let class = FaultClass::ALL[env.pick(FaultClass::ALL.len())];
    let mut policy = class.policy();
    policy.action = [Action::Retry, Action::Answer][env.pick(2)];
    policy.max = 1 + env.pick(4) as u32;
    policy.split_from = env.pick(policy.max as usize + 1) as u32;
    policy.delay_ms = [1_000, 1, 20_000][env.pick(3)];
    Policies::new(BTreeMap::from([(class, policy)]))
}
