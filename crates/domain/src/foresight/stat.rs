//! Sums that forget slowly. Every number here follows from the facts in their order, and from nothing else.
use serde::{Deserialize, Serialize};

/// A mean and a variance of which the old is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ew {
    pub weight: f64,
    pub mean: f64,
    var: f64,
}

impl Ew {
    /// `memory`: values that count.
    pub fn add(&mut self, value: f64, memory: f64) {
        self.weight = (self.weight + 1.0).min(memory);
        let (step, off) = (1.0 / self.weight, value - self.mean);
        self.mean += step * off;
        self.var = (1.0 - step) * (self.var + step * off * off);
    }

    /// The variance, as if `strength` values of variance `prior` had come before.
    pub fn var(&self, prior: f64, strength: f64) -> f64 {
        (self.var * self.weight + prior * strength) / (self.weight + strength)
    }
}

/// The standard normal distribution's quantile (Acklam's approximation, within 1e-4 here); `q` within 0..1.
pub fn normal(q: f64) -> f64 {
    let q = q.clamp(1e-6, 1.0 - 1e-6);
    let t = (-2.0 * q.min(1.0 - q).ln()).sqrt();
    let top = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let bottom = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let z = t - top / bottom;
    if q < 0.5 { -z } else { z }
}

/// By how many standard deviations the largest of `count` values is off, about.
pub fn largest(count: f64) -> f64 {
    normal(1.0 - 0.56 / count.max(1.12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_the_table_s() {
        for (q, z) in [(0.1, -1.2816), (0.5, 0.0), (0.9, 1.2816), (0.99, 2.3263)] {
            assert!((normal(q) - z).abs() < 1e-3, "{q}");
        }
        assert!((largest(1.0) - 0.0).abs() < 0.01 && largest(100.0) > 2.4);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut ew = Ew::default();
        (0..100).for_each(|n| ew.add(f64::from(n % 2), 20.0));
        assert!((ew.mean - 0.5).abs() < 0.05 && (ew.var(0.0, 0.0) - 0.25).abs() < 0.02);
        (0..100).for_each(|_| ew.add(10.0, 20.0));
        assert!(ew.mean > 9.8);
        assert_eq!(Ew::default().var(0.3, 2.0), 0.3);
    }
}
