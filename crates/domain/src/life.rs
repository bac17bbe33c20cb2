//! What is known of a worker beyond its process: how those ended that had its name before, and what it was told. A process
//! that dies in the middle of its work can tell nobody; the next one under its name does. No clock: times come in.
use crate::{Timestamp, health::Order};
use serde::{Deserialize, Serialize};

/// Deaths one after the other, after which a worker is bad: one may be anything.
pub const DEATHS_MAX: u32 = 2;
/// Chunks that are done one at a time before such a worker may take several again.
pub const TRIALS: u32 = 5;
/// Chunks that are done before its deaths are forgotten.
pub const FORGIVEN_AFTER: u32 = 200;
/// A process that cannot be looked at, and did not beat for so long, is gone; it beats every five seconds.
const SILENT_MS: u64 = 12_000;
/// A process that is there and does not beat may be another one that was given its number.
const BEGINS_MS: u64 = 60_000;

/// A process, and where its number means something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub host: String,
    /// Where processes have these numbers: a container has its own.
    pub space: String,
    pub pid: u32,
    pub started: Timestamp,
}

/// Whether a process is there, as far as it can be seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    There,
    Gone,
    Unseen,
}

/// Why a model could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoEngine {
    pub since: Timestamp,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// Who has the name. Nobody, where the last one ended as it should.
    pub process: Option<Process>,
    /// Whether it takes work: who is gone then has died.
    pub at_work: bool,
    /// Processes that died at work, one after the other.
    pub deaths: u32,
    /// What it was told, as far as that outlives a process.
    pub order: Option<Order>,
    pub no_engine: Option<NoEngine>,
}

impl Life {
    /// Whether another process has the name. It beat last so many milliseconds ago, if it is known to beat at all.
    pub fn is_held(&self, sign: Sign, beat_ms: Option<u64>, now: Timestamp) -> bool {
        let Some(process) = &self.process else { return false };
        match sign {
            Sign::There => beat_ms.is_some() || now.since(process.started) < BEGINS_MS,
            Sign::Gone => false,
            Sign::Unseen => beat_ms.is_some_and(|age| age < SILENT_MS),
        }
    }

    /// What the next process under its name begins with.
    #[must_use]
    pub fn next(self, process: Process, is_held: bool) -> Self {
        let died = self.at_work && self.process.is_some() && !is_held;
        let deaths = self.deaths + u32::from(died);
        Self { process: Some(process), at_work: false, deaths, ..self }
    }

    /// It ended as it should.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { process: None, at_work: false, ..self }
    }

    /// What it is told outlives its process where it is not about that process.
    #[must_use]
    pub fn told(self, order: Order) -> Self {
        match order {
            Order::Drain => Self { order: None, ..self },
            Order::Quarantine => Self { order: Some(order), ..self },
            Order::Trust => Self { order: None, deaths: 0, ..self },
        }
    }

    /// After so many chunks that this process has done.
    #[must_use]
    pub fn done(self, chunks: u32) -> Self {
        let deaths = match chunks {
            FORGIVEN_AFTER.. => 0,
            TRIALS.. => self.deaths.min(1),
            _ => self.deaths,
        };
        Self { deaths, ..self }
    }
}

/// Who is likely to have been lost with a chunk that was not heard of again: the one that dies again and again where nobody
/// else of its pool has died. None: it may have been anyone, or the chunk's own fault.
pub fn suspect<'a>(deaths: impl IntoIterator<Item = (&'a str, u32)>) -> Option<&'a str> {
    let mut died = deaths.into_iter().filter(|(_, deaths)| *deaths > 0);
    let (worker, deaths) = died.next()?;
    (deaths >= DEATHS_MAX && died.next().is_none()).then_some(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process { host: "box".into(), space: "1".into(), pid, started: Timestamp::new(1_000) }
    }

    fn at_work(deaths: u32) -> Life {
        Life { process: Some(process(7)), at_work: true, deaths, ..Life::default() }
    }

    #[test]
    fn who_is_gone_while_at_work_has_died() {
        assert_eq!(at_work(1).next(process(8), false).deaths, 2);
        assert_eq!(Life { at_work: false, ..at_work(1) }.next(process(8), false).deaths, 1, "it was being loaded");
        assert_eq!(at_work(1).next(process(8), true).deaths, 1, "two with one name: nobody has died");
        let stopped = at_work(1).ended();
        assert_eq!((stopped.process.clone(), stopped.clone().next(process(8), false).deaths), (None, 1));
        assert_eq!(Life::default().next(process(8), false), Life { process: Some(process(8)), ..Life::default() });
    }

    #[test]
    fn deaths_are_forgotten_with_what_is_done() {
        let after = |chunks| at_work(9).done(chunks).deaths;
        assert_eq!([after(0), after(TRIALS - 1), after(TRIALS), after(FORGIVEN_AFTER)], [9, 9, 1, 0]);
    }

    #[test]
    fn who_beats_or_is_there_has_its_name() {
        let held = |sign, beat, now| at_work(0).is_held(sign, beat, Timestamp::new(now));
        assert!(!held(Sign::Gone, Some(0), 1_000));
        assert!(held(Sign::Unseen, Some(5_000), 1_000) && !held(Sign::Unseen, Some(12_000), 1_000));
        assert!(!held(Sign::Unseen, None, 1_000));
        assert!(held(Sign::There, None, 60_999) && !held(Sign::There, None, 61_000), "another one has its number");
        assert!(held(Sign::There, Some(29_000), 1_000_000));
        assert!(!at_work(0).ended().is_held(Sign::There, Some(0), Timestamp::new(0)));
    }

    #[test]
    fn what_an_operator_wants_outlives_the_process() {
        let told = |order| at_work(3).told(order).next(process(8), false);
        assert_eq!(told(Order::Quarantine).order, Some(Order::Quarantine));
        assert_eq!(told(Order::Drain).order, None, "it is started again to work");
        assert_eq!((told(Order::Trust).order, told(Order::Trust).deaths), (None, 1), "and has died since");
    }

    #[test]
    fn one_that_dies_alone_is_suspect() {
        assert_eq!(suspect([("a", 0), ("b", DEATHS_MAX), ("c", 0)]), Some("b"));
        assert_eq!(suspect([("a", 0), ("b", DEATHS_MAX - 1)]), None, "once may be anything");
        assert_eq!(suspect([("a", 1), ("b", 9)]), None, "what kills two is no worker's fault");
        assert_eq!(suspect([]), None);
    }
}
