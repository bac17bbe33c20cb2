//! What happens in a run, drawn from a seed before it begins: the same seed gives the same bytes. Pure.
mod fault;
mod job;

pub use fault::{Cache, Ill, Injection, Kind, Sort, Target, Weights};
pub use job::{Door, Fate, Job, Manner};

use super::seed::Seed;
use std::fmt;

/// What a plan is drawn for.
#[derive(Debug, Clone)]
pub struct Spec {
    pub seed: u64,
    pub requests: u64,
    pub faults: u32,
    /// Between two faults, on average.
    pub gap_ms: u64,
    pub nodes: u8,
    pub workers: u8,
    pub heads: u8,
    /// Most jobs are cancelled or run out of time.
    pub hasty: bool,
    /// Jobs that are paused and resumed.
    pub pauses: bool,
    /// Requests that always fail.
    pub poison: bool,
    /// Requests that end the engine's process.
    pub deadly: bool,
    /// Whether the engine is a model: then there are no requests that it refuses or fails at.
    pub model: bool,
    pub weights: Weights,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub jobs: Vec<Job>,
    pub faults: Vec<Injection>,
}

impl Plan {
    pub fn draw(spec: &Spec) -> Self {
        let seed = Seed::new(spec.seed);
        let faults = fault::draw(spec, &mut seed.split("faults"));
        let lasts = faults.iter().map(|fault| fault.after_ms).sum::<u64>().max(1_000);
        Self { seed: spec.seed, jobs: job::draw(spec, lasts, &mut seed.split("jobs")), faults }
    }

    pub fn requests(&self) -> u64 {
        self.jobs.iter().map(|job| u64::from(job.requests)).sum()
    }

    /// From the start to the last fault.
    pub fn lasts_ms(&self) -> u64 {
        self.faults.iter().map(|fault| fault.after_ms).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, jobs, faults) = (self.requests(), self.jobs.len(), self.faults.len());
        let lasts = self.lasts_ms() / 1_000;
        writeln!(f, "seed {}: {requests} requests in {jobs} jobs, {faults} faults in {lasts} s", self.seed)?;
        for job in &self.jobs {
            writeln!(f, "{job}")?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// Milliseconds as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn spec(seed: u64) -> Spec {
        Spec {
            seed,
            requests: 20_000,
            faults: 200,
            gap_ms: 5_000,
            nodes: 3,
            workers: 2,
            heads: 2,
            hasty: false,
            pauses: true,
            poison: true,
            deadly: false,
            model: false,
            weights: Weights::default(),
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let text = Plan::draw(&spec(3)).to_string();
        assert_eq!(text, Plan::draw(&spec(3)).to_string());
        assert_ne!(text, Plan::draw(&spec(4)).to_string());
    }

    #[test]
    fn a_plan_has_what_was_asked_for() {
        let plan = Plan::draw(&spec(5));
        assert_eq!((plan.requests(), plan.faults.len()), (20_000, 200));
        let sorts: std::collections::BTreeSet<Sort> = plan.faults.iter().map(|fault| fault.kind.sort()).collect();
        assert!(sorts.len() > 10, "{sorts:?}");
        let fates: Vec<Fate> = plan.jobs.iter().map(|job| job.fate).collect();
        assert!(fates.iter().any(|fate| matches!(fate, Fate::Cancelled { .. })));
        assert!(fates.iter().any(|fate| matches!(fate, Fate::Expired { .. })));
        assert!(fates.iter().any(|fate| matches!(fate, Fate::Paused { .. })));
        assert!(fates.contains(&Fate::Rejected));
        assert!(plan.jobs.iter().all(|job| job.at_ms <= plan.lasts_ms()));
    }

    #[test]
    fn what_is_switched_off_is_not_planned() {
        let spec = Spec { pauses: false, poison: false, faults: 0, ..spec(5) };
        let plan = Plan::draw(&spec);
        assert!(plan.faults.is_empty());
        assert!(!plan.jobs.iter().any(|job| matches!(job.fate, Fate::Paused { .. }) || job.poison));
        assert_eq!(plan.requests(), 20_000);
    }
}
