//! A band that learns from having been wrong. At marks of a job's progress its forecast is noted; when it ends, each note
//! gives a score: ln(actual / predicted), in units of the doubt that the forecast told. The band's edges are quantiles of a
//! pool's last scores at that progress (split conformal, with the finite sample's correction), and as long as there are few,
//! of the normal distribution that the forecast itself claims.
use super::stat::normal;
use serde::{Deserialize, Serialize, Serializer};
use std::{collections::VecDeque, sync::LazyLock};

/// The quantiles of a reading.
pub const QUANTILES: [f64; 4] = [0.1, 0.5, 0.9, 0.95];

/// Parts of a job's requests that are answered, at which its forecast is noted.
pub const MARKS: [f64; 10] = [0.0, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97];
/// The mark by which how a job ends is learned: late, so that its work is known, and not so late that it is all that is left.
pub const MIDDLE: usize = 6;
/// Jobs remembered at a mark.
const SCORES_MAX: usize = 64;
/// A score counts half as much after so many others.
const HALF_LIFE: f64 = 25.0;
/// What the forecast claims counts as so many scores, as long as there are none.
const CLAIM: f64 = 6.0;
const CLAIMED: usize = 16;
/// Larger ones tell of an accident, and of no width.
const SCORE_MAX: f64 = 30.0;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "Vec<VecDeque<f64>>")]
pub struct Band {
    /// By mark.
    scores: Vec<VecDeque<f64>>,
    /// Follow from the scores: they are asked for far more often than those change.
    edges: Vec<Edges>,
}

/// Of each of [`QUANTILES`].
type Edges = [f64; 4];

/// As long as no job has ended.
static CLAIMED_EDGES: LazyLock<Edges> = LazyLock::new(|| edges(&VecDeque::new()));

impl From<Vec<VecDeque<f64>>> for Band {
    fn from(scores: Vec<VecDeque<f64>>) -> Self {
        let edges = scores.iter().map(edges).collect();
        Self { scores, edges }
    }
}

impl Serialize for Band {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.scores.serialize(to)
    }
}

/// The last mark that a job with so much answered has passed.
pub fn mark(progress: f64) -> usize {
    MARKS.iter().rposition(|mark| *mark <= progress).unwrap_or(0)
}

impl Band {
    pub fn add(&mut self, mark: usize, score: f64) {
        self.scores.resize(MARKS.len(), VecDeque::new());
        self.edges.resize(MARKS.len(), *CLAIMED_EDGES);
        let scores = &mut self.scores[mark];
        scores.push_back(score.clamp(-SCORE_MAX, SCORE_MAX));
        if scores.len() > SCORES_MAX {
            scores.pop_front();
        }
        self.edges[mark] = edges(scores);
    }

    /// Standard deviations from the forecast at which each of [`QUANTILES`] lies.
    pub fn quantiles(&self, progress: f64) -> Edges {
        let at = mark(progress);
        let Some(next) = MARKS.get(at + 1) else { return self.at(at) };
        let part = ((progress - MARKS[at]) / (next - MARKS[at])).clamp(0.0, 1.0);
        let (low, high) = (self.at(at), self.at(at + 1));
        std::array::from_fn(|n| low[n] + part * (high[n] - low[n]))
    }

    fn at(&self, mark: usize) -> Edges {
        self.edges.get(mark).copied().unwrap_or(*CLAIMED_EDGES)
    }
}

fn edges(scores: &VecDeque<f64>) -> Edges {
    let count = scores.len() as f64;
    let age = |n: usize| 0.5_f64.powf((count - 1.0 - n as f64) / HALF_LIFE);
    let claim = CLAIM / (1.0 + (count / 4.0).powi(2)) / CLAIMED as f64;
    let claimed = (0..CLAIMED).map(|n| (normal((n as f64 + 0.5) / CLAIMED as f64), claim));
    // What is claimed is no sample, and needs no correction for being a small one.
    let squares: f64 = (0..scores.len()).map(|n| age(n).powi(2)).sum();
    let mut points: Vec<_> = scores.iter().enumerate().map(|(n, score)| (*score, age(n))).chain(claimed).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    QUANTILES.map(|q| quantile(&points, squares, q))
}

/// Of weighed points in their order. Of n equal ones it is the (n + 1) q-th, so that the next is below it with chance q.
fn quantile(points: &[(f64, f64)], squares: f64, q: f64) -> f64 {
    let sum: f64 = points.iter().map(|(_, weight)| weight).sum();
    let one = squares / sum;
    let target = (sum + one) * q - one / 2.0;
    let mut below = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (value, weight) in points {
        let centre = below + weight / 2.0;
        if centre >= target {
            return last.map_or(*value, |(from, at)| from + (value - from) * (target - at) / (centre - at).max(1e-12));
        }
        last = Some((*value, centre));
        below += weight;
    }
    last.map_or(0.0, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Without that of 95 %.
    fn three(band: &Band, progress: f64) -> [f64; 3] {
        let [low, middle, high, _] = band.quantiles(progress);
        [low, middle, high]
    }

    #[test]
    fn before_the_first_job_ends_the_forecast_is_believed() {
        let [low, middle, high] = three(&Band::default(), 0.3);
        assert!((low + 1.28).abs() < 0.15 && middle.abs() < 1e-6 && (high - 1.28).abs() < 0.15, "{low} {high}");
    }

    #[test]
    fn who_was_always_late_is_expected_late() {
        let mut band = Band::default();
        for n in 0..20 {
            (0..MARKS.len()).for_each(|mark| band.add(mark, 2.0 + 0.1 * f64::from(n % 5)));
        }
        let [low, middle, high] = three(&band, 0.4);
        assert!(low > 1.5 && (middle - 2.2).abs() < 0.15 && high < 2.5, "{low} {middle} {high}");
    }

    /// The figure that it is for: of the next scores four in five lie within, whatever their distribution.
    #[test]
    fn four_in_five_of_the_next_are_within() {
        let mut seed = 1_u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as f64 / (1_u64 << 31) as f64
        };
        let (mut band, mut within) = (Band::default(), 0);
        for n in 0..1_000 {
            // Skewed, and five times as wide as claimed.
            let score = 5.0 * draw().powi(3);
            let [low, _, high] = three(&band, 0.5);
            within += u32::from(n >= 20 && (low..=high).contains(&score));
            band.add(mark(0.5), score);
        }
        let part = f64::from(within) / 980.0;
        assert!((0.76..0.84).contains(&part), "{part}");
    }

    proptest! {
        #[test]
        fn the_edges_never_cross(scores in prop::collection::vec((0..MARKS.len(), -50.0..50.0_f64), 0..200), progress in 0.0..1.0_f64) {
            let mut band = Band::default();
            scores.iter().for_each(|(mark, score)| band.add(*mark, *score));
            let [low, middle, high, most] = band.quantiles(progress);
            prop_assert!(low <= middle && middle <= high && high <= most && low.is_finite() && most.is_finite());
            // What is kept beside the scores is what follows from them.
            let read: Band = rmp_serde::from_slice(&rmp_serde::to_vec_named(&band).unwrap()).unwrap();
            prop_assert_eq!(read, band);
        }
    }
}
