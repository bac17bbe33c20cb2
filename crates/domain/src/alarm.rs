//! When somebody is to be told that a job will miss its deadline, and why. A pure rule on its readings: an alarm is raised
//! when more than one chance in ten misses, and lowered when less than one in twenty did for three readings.
use crate::{
    JobId, Timestamp,
    foresight::{Basis, Cause, Moved, Reading},
    trouble::Trouble,
};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// Readings in a row that lower an alarm.
const CALM_MAX: u8 = 3;

/// What is told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Alarm {
    /// More than one chance in ten misses the deadline.
    AtRisk,
    /// Less than one chance in ten still makes it.
    Certain,
    /// It was at risk, and for some time less than one chance in twenty missed.
    Recovered,
    Missed,
    Met,
}

impl Alarm {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// That a job is at risk, since when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// Less than one chance in ten still makes it.
    #[serde(default, skip_serializing_if = "crate::event::is_false")]
    pub certain: bool,
    pub since: Timestamp,
    pub reason: Reason,
}

/// Why a job is at risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub what: What,
    /// When that was, where it has a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The job that cut in, where it is of the same tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// By how much it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// What it waits for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RiskWhat))]
pub enum What {
    WorkerLost,
    /// A more urgent job came.
    CutIn,
    /// It was paused and resumed, or its deadline or priority was moved.
    Steered,
    /// Chunks failed.
    Retried,
    AnswersLonger,
    RateFell,
    /// It cannot go on.
    Stalled,
    /// Nothing changed: it is more than its window holds.
    TooMuch,
}

impl What {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// What is seen of a job at one reading.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub now: Timestamp,
    pub deadline: Timestamp,
    pub reading: Option<&'a Reading>,
    pub stalled: Option<&'a Trouble>,
}

/// A job's readings, as far as its alarm asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    risk: Option<Risk>,
    /// Readings in a row that were calm.
    calm: u8,
    /// What the first reading rested on, and that after the last recovery.
    first: Option<Basis>,
    /// What was left by p10, p90 and p95 when it was read last, milliseconds: one that stalls needs as much still.
    left: Option<[u64; 3]>,
}

impl Watch {
    /// As it was told before.
    pub fn resume(risk: Option<Risk>) -> Self {
        Self { risk, ..Self::default() }
    }

    pub const fn risk(&self) -> Option<&Risk> {
        self.risk.as_ref()
    }

    /// What is to be told after this reading. What nobody knows anything of stays as it is.
    pub fn see(&mut self, seen: &Seen<'_>) -> Option<Alarm> {
        if let Some(reading) = seen.reading {
            self.first.get_or_insert(reading.basis);
        }
        let left = self.left(seen)?;
        let late = |ms: u64| seen.now.plus(ms) > seen.deadline;
        let [certain, at_risk, unsure] = left.map(late);
        self.left = Some(left);
        self.calm = if unsure { 0 } else { self.calm.saturating_add(1) };
        let was = self.risk.as_ref().map(|risk| risk.certain);
        match (was, at_risk, certain) {
            (None | Some(false), _, true) => Some(self.raise(seen, true)),
            (None, true, false) => Some(self.raise(seen, false)),
            (Some(_), ..) if self.calm >= CALM_MAX => Some(self.lower(seen)),
            (Some(true), ..) if !certain && self.calm > 0 => self.soften(),
            _ => None,
        }
    }

    fn left(&self, seen: &Seen<'_>) -> Option<[u64; 3]> {
        match (seen.reading, seen.stalled) {
            (Some(reading), _) => Some([reading.p10, reading.p90, reading.p95].map(|end| end.since(seen.now))),
            (None, Some(_)) => self.left,
            (None, None) => None,
        }
    }

    fn raise(&mut self, seen: &Seen<'_>, certain: bool) -> Alarm {
        let reason = self.reason(seen);
        let since = self.risk.as_ref().map_or(seen.now, |risk| risk.since);
        self.risk = Some(Risk { certain, since, reason });
        if certain { Alarm::Certain } else { Alarm::AtRisk }
    }

    fn lower(&mut self, seen: &Seen<'_>) -> Alarm {
        (self.risk, self.first) = (None, seen.reading.map(|reading| reading.basis));
        Alarm::Recovered
    }

    /// It is at risk still, and that was told.
    fn soften(&mut self) -> Option<Alarm> {
        if let Some(risk) = &mut self.risk {
            risk.certain = false;
        }
        None
    }

    /// What happened last that makes a job late; else what has changed slowly since the first reading.
    fn reason(&self, seen: &Seen<'_>) -> Reason {
        if let Some(trouble) = seen.stalled {
            let cause = Some(trouble.cause.clone());
            return Reason { what: What::Stalled, at: Some(trouble.since), job: None, percent: None, cause };
        }
        let Some(reading) = seen.reading else { return Reason::of(What::TooMuch) };
        let first = self.first.unwrap_or(reading.basis);
        let moved = reading.moved.and_then(|moved| Reason::moved(moved, &first, &reading.basis));
        let slow = || first.changed(&reading.basis).and_then(|cause| Reason::slow(cause, &first, &reading.basis));
        moved.or_else(slow).unwrap_or(Reason::of(What::TooMuch))
    }
}

impl Reason {
    const fn of(what: What) -> Self {
        Self { what, at: None, job: None, percent: None, cause: None }
    }

    /// None: that made no job late.
    fn moved(moved: Moved, first: &Basis, now: &Basis) -> Option<Self> {
        let reason = Self::slow(moved.cause, first, now)?;
        Some(Self { at: Some(moved.at), ..reason })
    }

    fn slow(cause: Cause, first: &Basis, now: &Basis) -> Option<Self> {
        let percent = |part: f64| Some((part * 100.0).round() as u32).filter(|percent| *percent > 0);
        let (job, what, percent) = match cause {
            Cause::WorkerLost => (None, What::WorkerLost, None),
            Cause::CutIn(job) => (job, What::CutIn, None),
            Cause::Steered => (None, What::Steered, None),
            Cause::Retried => (None, What::Retried, None),
            Cause::AnswersLonger => (None, What::AnswersLonger, percent(now.tokens / first.tokens.max(1.0) - 1.0)),
            Cause::RateFell => (None, What::RateFell, percent(1.0 - first.pace / now.pace.max(1e-9))),
            Cause::WorkerJoined | Cause::MadeWay(_) | Cause::PoolMended | Cause::AnswersShorter | Cause::RateRose => {
                return None;
            }
        };
        Some(Self { job, percent, ..Self::of(what) })
    }

    /// `the rate fell by 40 %`.
    pub fn words(&self) -> String {
        let by = self.percent.map(|percent| format!(" by {percent} %")).unwrap_or_default();
        match (self.what, &self.job, &self.cause) {
            (What::WorkerLost, ..) => "a worker was lost".to_owned(),
            (What::CutIn, Some(job), _) => format!("job {job} cut in"),
            (What::CutIn, None, _) => "a more urgent job cut in".to_owned(),
            (What::Steered, ..) => "it was resumed, or its deadline or priority was moved".to_owned(),
            (What::Retried, ..) => "chunks failed and run again".to_owned(),
            (What::AnswersLonger, ..) => match self.percent {
                Some(percent) => format!("answers are {percent} % longer than expected"),
                None => "answers are longer than expected".to_owned(),
            },
            (What::RateFell, ..) => format!("the rate fell{by}"),
            (What::Stalled, _, Some(cause)) => format!("it cannot go on: {cause}"),
            (What::Stalled, _, None) => "it cannot go on".to_owned(),
            (What::TooMuch, ..) => "it is more than its window holds".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Kind;

    const BASIS: Basis = Basis { workers: 2.0, pace: 5.0, tokens: 10_000.0 };

    fn at(ms: u64) -> Timestamp {
        Timestamp::new(1_000_000 + ms)
    }

    fn reading(ends: [u64; 4]) -> Reading {
        let [p10, p50, p90, p95] = ends.map(at);
        Reading { p10, p50, p90, p95, moved: None, basis: BASIS }
    }

    fn see(watch: &mut Watch, now: u64, reading: &Reading) -> Option<Alarm> {
        watch.see(&Seen { now: at(now), deadline: at(100), reading: Some(reading), stalled: None })
    }

    /// p10, p90 and p95 in turn; the deadline is at 100.
    #[test]
    fn an_alarm_is_raised_at_once_and_lowered_with_patience() {
        use Alarm::*;
        let mut watch = Watch::default();
        let calm = [50, 60, 90, 95];
        for (now, ends, want) in [
            (0, calm, None),
            (1, [50, 60, 90, 105], None),
            (2, [50, 60, 101, 120], Some(AtRisk)),
            (3, [50, 60, 101, 120], None),
            (4, [101, 120, 150, 160], Some(Certain)),
            (5, [101, 120, 150, 160], None),
            (6, calm, None),
            (7, [50, 60, 90, 105], None),
            (8, calm, None),
            (9, calm, None),
            (10, calm, Some(Recovered)),
            (11, calm, None),
            (12, [101, 120, 150, 160], Some(Certain)),
        ] {
            assert_eq!(see(&mut watch, now, &reading(ends)), want, "at {now}");
        }
        assert_eq!(watch.risk().map(|risk| (risk.certain, risk.since)), Some((true, at(12))));
    }

    #[test]
    fn what_was_told_is_not_told_again_after_a_restart() {
        let mut watch = Watch::default();
        let late = reading([50, 60, 101, 120]);
        assert_eq!(see(&mut watch, 0, &late), Some(Alarm::AtRisk));
        let json = serde_json::to_string(watch.risk().unwrap()).unwrap();
        assert_eq!(json, r#"{"since":1000000,"reason":{"what":"too_much"}}"#);
        let mut watch = Watch::resume(serde_json::from_str(&json).unwrap());
        assert_eq!(see(&mut watch, 1, &late), None);
    }

    #[test]
    fn the_reason_is_what_happened_last_or_what_changed_slowly() {
        let other = JobId::keyed("t", "urgent");
        let slower = Basis { pace: 10.0, ..BASIS };
        let longer = Basis { tokens: 15_000.0, ..BASIS };
        let moved = |cause| Some(Moved { at: at(7), cause });
        for (moved, basis, want) in [
            (None, BASIS, "it is more than its window holds"),
            (moved(Cause::WorkerLost), BASIS, "a worker was lost"),
            (moved(Cause::CutIn(Some(other))), slower, &*format!("job {other} cut in")),
            (moved(Cause::RateFell), slower, "the rate fell by 50 %"),
            (moved(Cause::MadeWay(Some(other))), slower, "the rate fell by 50 %"),
            (None, longer, "answers are 50 % longer than expected"),
        ] {
            let mut watch = Watch { first: Some(BASIS), ..Watch::default() };
            let late = Reading { moved, basis, ..reading([50, 60, 101, 120]) };
            assert_eq!(see(&mut watch, 8, &late), Some(Alarm::AtRisk));
            assert_eq!(watch.risk().unwrap().reason.words(), want);
        }
    }

    /// What it needed when it stalled, it needs still.
    #[test]
    fn a_job_that_stalls_is_at_risk_when_its_time_runs_out() {
        let mut watch = Watch::default();
        assert_eq!(see(&mut watch, 0, &reading([40, 50, 60, 70])), None);
        let trouble = Trouble::new(Kind::Worker, "no worker serves pool 'a'".to_owned(), "start one", at(1));
        let mut look =
            |now| watch.see(&Seen { now: at(now), deadline: at(100), reading: None, stalled: Some(&trouble) });
        assert_eq!([20, 40, 41, 50, 61].map(&mut look), [None, None, Some(Alarm::AtRisk), None, Some(Alarm::Certain)]);
        let reason = &watch.risk().unwrap().reason;
        assert_eq!((reason.words().as_str(), reason.at), ("it cannot go on: no worker serves pool 'a'", Some(at(1))));
    }

    #[test]
    fn of_a_job_that_nobody_knows_of_nothing_is_told() {
        let seen = Seen { now: at(1_000), deadline: at(100), reading: None, stalled: None };
        assert_eq!(Watch::default().see(&seen), None);
    }
}
