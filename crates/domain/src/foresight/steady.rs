//! What is shown of a forecast. It does not flicker: from one reading to the next it moves by more than a fifth only where
//! something happened, and then says what.
use super::walk::{Basis, Raw};
use crate::{JobId, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{EnumDiscriminants, IntoStaticStr};

/// The logarithm of the step that nothing need explain.
const STEP: f64 = 0.18;
/// A part of the work or of its speed changed by so much explains a larger one.
const CHANGE: f64 = 0.08;
/// Smaller steps are taken with this delay, and a part of what remains.
const DELAY_MS: f64 = 3_000.0;
const DELAY_PART: f64 = 0.01;

/// Less is as good as this much.
const LEFT_MS: f64 = 1_000.0;

/// Why a forecast moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumDiscriminants)]
#[serde(rename_all = "snake_case")]
#[strum_discriminants(name(Why), doc = "Why an estimate moved, in a word.")]
#[strum_discriminants(derive(Serialize, Deserialize, IntoStaticStr), serde(rename_all = "snake_case"))]
#[strum_discriminants(strum(serialize_all = "snake_case", const_into_str))]
#[cfg_attr(feature = "schema", strum_discriminants(derive(utoipa::ToSchema), schema(as = EtaMoved)))]
pub enum Cause {
    WorkerJoined,
    WorkerLost,
    /// A more urgent job came. None: of another tenant.
    CutIn(Option<JobId>),
    /// A more urgent job went.
    MadeWay(Option<JobId>),
    /// It was resumed, or its deadline or its priority was changed.
    Steered,
    /// A chunk failed, or its result was lost.
    Retried,
    /// The pool works again.
    PoolMended,
    AnswersLonger,
    AnswersShorter,
    RateFell,
    RateRose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub at: Timestamp,
    pub cause: Cause,
}

impl Why {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// When a job will be done: by `p10` with one chance in ten, by `p50` with even odds, by `p90` with nine in ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub p10: Timestamp,
    pub p50: Timestamp,
    pub p90: Timestamp,
    /// By then with nineteen chances in twenty.
    pub p95: Timestamp,
    /// The last move by more than a fifth.
    pub moved: Option<Moved>,
    /// What the forecast rests on now.
    pub basis: Basis,
}

/// A reading, and what it rested on when it moved last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    at: Timestamp,
    /// Remaining at `at`, ms, ascending.
    left: [f64; 4],
    /// When it moved last, and now.
    basis: Basis,
    newest: Basis,
    moved: Option<Moved>,
}

impl Shown {
    pub const fn first(raw: &Raw, left: [f64; 4], at: Timestamp, moved: Option<Moved>) -> Self {
        Self { at, left, basis: raw.basis, newest: raw.basis, moved }
    }

    pub fn next(&self, raw: &Raw, left: [f64; 4], at: Timestamp, told: Option<Cause>) -> Self {
        let passed = at.since(self.at) as f64;
        let old = self.left.map(|left| (left - passed).max(LEFT_MS));
        let steps: [f64; 4] = std::array::from_fn(|n| (left[n].max(LEFT_MS) / old[n]).ln());
        let large = steps[1].abs() > STEP || steps[2].abs() > STEP;
        if let Some(cause) = told.or_else(|| if large { self.basis.changed(&raw.basis) } else { None })
            && large
        {
            return Self::first(raw, left, at, Some(Moved { at, cause }));
        }
        let part = 1.0 - (-passed / (DELAY_MS + DELAY_PART * left[1])).exp();
        let step = |step: f64| if step.abs() > STEP { step.clamp(-STEP, STEP) } else { step * part };
        let mut left: [f64; 4] = std::array::from_fn(|n| old[n] * step(steps[n]).exp());
        left.sort_by(f64::total_cmp);
        // Smoothed moves rest on what there is now, so that nothing is blamed on what is long past.
        let basis = if large { self.basis } else { self.basis.nearer(&raw.basis, part * 0.1) };
        Self { at, left, basis, newest: raw.basis, moved: self.moved }
    }

    pub fn reading(&self) -> Reading {
        let [p10, p50, p90, p95] = self.left.map(|left| self.at.plus(left.ceil() as u64));
        Reading { p10, p50, p90, p95, moved: self.moved, basis: self.newest }
    }
}

impl Basis {
    /// What changed most, if it is enough to explain a step.
    pub fn changed(&self, now: &Self) -> Option<Cause> {
        if self.workers != now.workers {
            return Some(if now.workers > self.workers { Cause::WorkerJoined } else { Cause::WorkerLost });
        }
        let (tokens, pace) = ((now.tokens / self.tokens.max(1.0)).ln(), (now.pace / self.pace).ln());
        match () {
            () if tokens.abs().max(pace.abs()) < CHANGE => None,
            () if tokens.abs() >= pace.abs() && tokens > 0.0 => Some(Cause::AnswersLonger),
            () if tokens.abs() >= pace.abs() => Some(Cause::AnswersShorter),
            () if pace > 0.0 => Some(Cause::RateFell),
            () => Some(Cause::RateRose),
        }
    }

    fn nearer(&self, now: &Self, part: f64) -> Self {
        let mix = |old: f64, new: f64| old + part * (new - old);
        Self { workers: now.workers, pace: mix(self.pace, now.pace), tokens: mix(self.tokens, now.tokens) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASIS: Basis = Basis { workers: 2.0, pace: 5.0, tokens: 10_000.0 };

    fn raw(basis: Basis) -> Raw {
        Raw {
            pool: "a".parse().unwrap(),
            ms: 0.0,
            doubt: 0.1,
            plain: 0.0,
            longest: 0.0,
            lately: 0.0,
            lasting: 0.0,
            before: 0.0,
            basis,
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::new(1_000_000 + ms)
    }

    fn shown() -> Shown {
        Shown::first(&raw(BASIS), [80_000.0, 100_000.0, 130_000.0, 140_000.0], at(0), None)
    }

    #[test]
    fn a_step_that_nothing_explains_is_no_larger_than_a_fifth() {
        let next = shown().next(&raw(BASIS), [200_000.0, 300_000.0, 400_000.0, 420_000.0], at(1_000), None);
        let left = next.reading().p50.since(at(1_000)) as f64;
        assert!((left / 99_000.0 - 1.0) < 0.2 && left > 110_000.0, "{left}");
        assert_eq!(next.moved, None);
    }

    #[test]
    fn what_happened_moves_it_at_once_and_is_named() {
        let far = [200_000.0, 300_000.0, 400_000.0, 420_000.0];
        let slower = Basis { pace: 8.0, ..BASIS };
        let longer = Basis { tokens: 15_000.0, pace: 5.5, ..BASIS };
        let lost = Basis { workers: 1.0, ..BASIS };
        for (basis, told, cause) in [
            (BASIS, Some(Cause::Steered), Cause::Steered),
            (slower, None, Cause::RateFell),
            (longer, None, Cause::AnswersLonger),
            (lost, None, Cause::WorkerLost),
        ] {
            let next = shown().next(&raw(basis), far, at(1_000), told);
            assert_eq!(next.reading().p50, at(301_000));
            assert_eq!(next.moved, Some(Moved { at: at(1_000), cause }));
        }
    }

    #[test]
    fn a_small_step_is_smoothed_and_time_passes() {
        let next =
            shown().next(&raw(BASIS), [85_000.0, 105_000.0, 135_000.0, 145_000.0], at(1_000), Some(Cause::Retried));
        let p50 = next.reading().p50;
        assert!(p50 > at(100_000) && p50 < at(104_000));
        assert_eq!(next.moved, None);
    }

    proptest! {
        #[test]
        fn it_never_crosses_itself_nor_flickers(steps in prop::collection::vec((1u64..20_000, 1.0..500_000.0_f64, 0.01..1.0_f64), 1..50)) {
            let (mut shown, mut now) = (shown(), 0);
            for (passed, ms, width) in steps {
                let old = shown.reading();
                now += passed;
                shown = shown.next(&raw(BASIS), [ms * (1.0 - width), ms, ms * (1.0 + width), ms * (1.0 + 1.3 * width)], at(now), None);
                let new = shown.reading();
                prop_assert!(new.p10 <= new.p50 && new.p50 <= new.p90 && new.p90 <= new.p95 && new.p10 >= at(now));
                let (was, is) = (old.p50.since(at(now)).max(1_000) as f64, new.p50.since(at(now)) as f64);
                prop_assert!(is <= was * 1.2 + 2.0 && is >= was / 1.2 - 2.0, "{was} {is}");
            }
        }
    }
}
