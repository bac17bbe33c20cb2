//! A forecast held against what happened, for who wants to know whether to believe it.
use crate::Pool;

/// p10, p50 and p90.
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// What came of one forecast of a job that is done: one is noted at each mark of its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub pool: Pool,
    pub fell: Fell,
    /// The mean pinball loss of p10, p50 and p90, as a part of the time that was left.
    pub loss: f64,
}

/// Where the end lay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fell {
    /// Before p10.
    Early,
    /// From p10 to p90.
    Within,
    /// After p90.
    Late,
}

impl Fell {
    pub const ALL: [Self; 3] = [Self::Early, Self::Within, Self::Late];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Within => "within",
            Self::Late => "late",
        }
    }
}

impl Score {
    /// Of a band that was told when `actual` ms were left.
    pub(super) fn of(pool: &Pool, band: [f64; 3], actual: f64) -> Self {
        let fell = match () {
            () if actual < band[0] => Fell::Early,
            () if actual > band[2] => Fell::Late,
            () => Fell::Within,
        };
        let pinball = |(q, told): (f64, f64)| {
            let off = actual - told;
            if off >= 0.0 { q * off } else { (q - 1.0) * off }
        };
        let loss = QUANTILES.into_iter().zip(band).map(pinball).sum::<f64>() / 3.0 / actual.max(1.0);
        Self { pool: pool.clone(), fell, loss }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_held_against_what_came() {
        let pool: Pool = "a".parse().unwrap();
        let of = |actual: f64| Score::of(&pool, [80.0, 100.0, 130.0], actual);
        assert_eq!([of(70.0).fell, of(100.0).fell, of(140.0).fell], [Fell::Early, Fell::Within, Fell::Late]);
        // 0.1 * 20 below, none at p50, 0.1 * 30 above, of three, of 100.
        assert!((of(100.0).loss - 5.0 / 300.0).abs() < 1e-9);
        assert!(of(400.0).loss > of(140.0).loss);
    }
}
