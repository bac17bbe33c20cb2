//! How right the readings of many jobs were.
use super::run::{BUCKETS, Kept};

/// One bucket's figures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    pub readings: usize,
    /// The part of the ends that lay within p10..p90.
    pub coverage: f64,
    /// The median of p50 against what was left: how far off, whichever way.
    pub error: f64,
    /// The sum of the pinball losses of p10, p50 and p90, against that of the naive rule taken for all three.
    pub pinball: f64,
    /// The same of p50 alone.
    pub middle: f64,
}

const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// By bucket. `wall`: a job's own pauses count, too.
pub fn scores(kept: &[Kept], wall: bool) -> [Score; BUCKETS.len()] {
    std::array::from_fn(|bucket| {
        let of: Vec<_> = kept.iter().filter(|kept| kept.bucket == bucket).collect();
        score(&of, |kept| if wall { kept.wall } else { kept.actual })
    })
}

fn score(kept: &[&Kept], actual: impl Fn(&Kept) -> f64) -> Score {
    let count = kept.len().max(1) as f64;
    let within = kept.iter().filter(|k| (k.band[0]..=k.band[2]).contains(&actual(k))).count() as f64;
    let mut errors: Vec<f64> = kept.iter().map(|k| (k.band[1] / actual(k).max(1.0) - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let loss = |told: [f64; 3], at: f64| -> f64 { (0..3).map(|n| pinball(QUANTILES[n], told[n], at)).sum() };
    // Each job counts alike, however long it takes.
    let sum = |of: &dyn Fn(&Kept, f64) -> f64| kept.iter().map(|k| of(k, actual(k)) / actual(k).max(1.0)).sum::<f64>();
    let (ours, naive) = (sum(&|k, at| loss(k.band, at)), sum(&|k, at| loss([k.naive; 3], at)));
    let (middle, plain) = (sum(&|k, at| (k.band[1] - at).abs()), sum(&|k, at| (k.naive - at).abs()));
    Score {
        readings: kept.len(),
        coverage: within / count,
        error: errors.get(errors.len() / 2).copied().unwrap_or(0.0),
        pinball: ours / naive.max(1e-9),
        middle: middle / plain.max(1e-9),
    }
}

fn pinball(quantile: f64, told: f64, actual: f64) -> f64 {
    let off = actual - told;
    if off >= 0.0 { quantile * off } else { (quantile - 1.0) * off }
}
