//! How long answers are: a histogram with four buckets to the octave. Of chunks, whose answers are told together.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PER_OCTAVE: f64 = 4.0;
/// Chunks that count; older ones fade.
const MEMORY: f64 = 400.0;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Histogram {
    /// By bucket: weight, and the sum of what fell there, so that the mean is exact.
    buckets: BTreeMap<i8, (f64, f64)>,
    weight: f64,
    /// Follows from the rest: it is asked for far more often than that changes.
    #[serde(skip)]
    summary: Summary,
}

#[derive(Deserialize)]
struct Stored {
    buckets: BTreeMap<i8, (f64, f64)>,
    weight: f64,
}

impl From<Stored> for Histogram {
    fn from(Stored { buckets, weight }: Stored) -> Self {
        let summary = summary(&buckets);
        Self { buckets, weight, summary }
    }
}

/// What a histogram comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    pub weight: f64,
    pub mean: f64,
    /// Variance of the logarithm.
    pub var: f64,
}

impl Histogram {
    /// `value` > 0.
    pub fn add(&mut self, value: f64) {
        if self.weight >= MEMORY {
            let keep = (MEMORY - 1.0) / self.weight;
            self.buckets.values_mut().for_each(|(weight, sum)| (*weight, *sum) = (*weight * keep, *sum * keep));
            self.buckets.retain(|_, (weight, _)| *weight > 1e-3);
            self.weight *= keep;
        }
        let bucket = self.buckets.entry(place(value)).or_default();
        (bucket.0, bucket.1) = (bucket.0 + 1.0, bucket.1 + value);
        self.weight += 1.0;
        self.summary = summary(&self.buckets);
    }

    pub const fn weight(&self) -> f64 {
        self.weight
    }

    pub const fn summary(&self) -> Summary {
        self.summary
    }
}

fn summary(buckets: &BTreeMap<i8, (f64, f64)>) -> Summary {
    let all = buckets.values();
    let (weight, sum) = all.clone().fold((0.0, 0.0), |all, bucket| (all.0 + bucket.0, all.1 + bucket.1));
    if weight <= 0.0 {
        return Summary::default();
    }
    let logs = all.map(|(weight, sum)| (*weight, (sum / weight).ln()));
    let centre = logs.clone().map(|(weight, log)| weight * log).sum::<f64>() / weight;
    let var = logs.map(|(weight, log)| weight * (log - centre).powi(2)).sum::<f64>() / weight;
    Summary { weight, mean: sum / weight, var }
}

fn place(value: f64) -> i8 {
    (PER_OCTAVE * value.max(1e-6).log2()).round() as i8
}

impl Summary {
    /// With another one that counts for a part of its weight.
    pub fn joined(self, other: Self, part: f64) -> Self {
        let added = other.weight * part;
        let weight = self.weight + added;
        if weight <= 0.0 {
            return self;
        }
        let mix = |a: f64, b: f64| (a * self.weight + b * added) / weight;
        Self { weight, mean: mix(self.mean, other.mean), var: mix(self.var, other.var) }
    }

    /// Shrunk towards `other`, as if that were `strength` chunks: by its logarithm, so that a guess that is far off is soon
    /// forgotten.
    pub fn shrunk(self, other: Self, strength: f64) -> Self {
        let own = self.weight / (self.weight + strength);
        let mean = if self.weight > 0.0 { self.mean.powf(own) * other.mean.powf(1.0 - own) } else { other.mean };
        Self { weight: self.weight, mean, var: own * self.var + (1.0 - own) * other.var }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Summary {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        histogram.summary()
    }

    #[test]
    fn its_mean_is_exact_and_its_spread_the_logarithm_s() {
        let summary = of(&[90.0, 110.0, 100.0, 100.0]);
        assert!((summary.mean - 100.0).abs() < 1e-9);
        assert!(summary.var < 0.02, "{summary:?}");
        assert!(of(&[10.0, 1_000.0]).var > 4.0);
        assert_eq!(Histogram::default().summary(), Summary::default());
    }

    #[test]
    fn a_young_one_says_what_the_other_does() {
        let other = Summary { weight: 50.0, mean: 100.0, var: 0.5 };
        assert_eq!(Summary::default().shrunk(other, 4.0).mean, 100.0);
        let young = of(&[200.0; 4]).shrunk(other, 4.0);
        assert!((young.mean - 20_000.0_f64.sqrt()).abs() < 1e-9);
        assert!(of(&[200.0; 400]).shrunk(other, 4.0).mean > 198.0);
    }

    #[test]
    fn what_is_old_fades() {
        let mut histogram = Histogram::default();
        (0..1_000).for_each(|_| histogram.add(10.0));
        (0..2_000).for_each(|_| histogram.add(1_000.0));
        assert!(histogram.summary().mean > 980.0 && histogram.weight <= MEMORY);
    }
}
