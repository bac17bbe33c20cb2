//! What a run has shown, as one table.
use crate::{
    check::{Complaints, Pace, Reasons, Recovery, Stall, Tally},
    plan::Sort,
    run::Injected,
};
use domain::status::State;
use std::{collections::BTreeMap, fmt};

/// Work that stands still for so long is told with what was broken then, or shortly before: nodes that are well again
/// look for leaders.
const LONG_MS: u64 = 8_000;
const BEFORE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    /// When it began, of the clock that all processes share.
    pub began_ms: u64,
    pub lasted_s: u64,
    pub faults: Vec<Injected>,
    pub states: BTreeMap<State, u64>,
    pub requests: u64,
    /// Over all jobs, of the files as they are at the end.
    pub tally: Tally,
    /// Jobs whose client saw something else while it ran.
    pub seen: Complaints,
    /// Status against lines, log and what was done.
    pub status: Complaints,
    pub log: Complaints,
    pub worked_late: u64,
    pub fold: Complaints,
    pub left: Complaints,
    pub submitted_again: u64,
    pub chunks: u64,
    pub again: u64,
    pub requests_again: u64,
    /// Requests of the chunks that the workers held, at most, when faults took them away.
    pub in_flight_max: u64,
    pub failed: u64,
    pub fallen: u64,
    pub pace: Pace,
    pub reasons: Reasons,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        let silent = &self.reasons.complaints;
        let complaints = [&self.seen, &self.status, &self.log, &self.fold, &self.left, silent];
        let is_spared = self.requests_again <= self.in_flight_max;
        let is_quiet = complaints.iter().all(|found| found.count == 0);
        self.tally.is_clean() && self.worked_late == 0 && is_spared && is_quiet
    }

    /// Examples of all that is wrong.
    pub fn complaints(&self) -> impl Iterator<Item = &String> {
        let silent = &self.reasons.complaints;
        let all = [&self.tally.complaints, &self.seen, &self.status, &self.log, &self.fold, &self.left, silent];
        all.into_iter().flat_map(|found| &found.examples)
    }

    /// Each time in which work stood still for long, and the faults of that time.
    pub fn stalls(&self) -> impl Iterator<Item = String> {
        let long = self.pace.stalls.iter().filter(|stall| stall.lasted_ms >= LONG_MS);
        long.map(|stall| {
            let until = stall.from_ms + stall.lasted_ms;
            let faults = self.faults.iter().filter(|fault| fault.skipped.is_none());
            let there = faults.filter(|fault| fault.at_ms < until && fault.healed_ms + BEFORE_MS > stall.from_ms);
            let names: Vec<String> = there.map(|fault| fault.fault.to_string()).collect();
            format!("no work for {}: {}", self.stall(*stall), names.join("; "))
        })
    }

    fn stall(&self, Stall { from_ms, lasted_ms }: Stall) -> String {
        format!("{}, {} into the run", Seconds(lasted_ms), Seconds(from_ms.saturating_sub(self.began_ms)))
    }

    fn recovery(&self, which: impl Fn(Sort) -> bool) -> Recovery {
        let faults = self.faults.iter().filter(|fault| fault.skipped.is_none());
        let pairs = faults.zip(&self.pace.recoveries);
        Recovery::of(pairs.filter(|(fault, _)| which(fault.fault.kind.sort())).filter_map(|(_, time)| *time))
    }

    /// Each sort of fault, how often it was done, and how soon work went on.
    fn sorts(&self) -> Vec<(&'static str, usize, Recovery)> {
        let count = |sort| self.faults.iter().filter(|f| f.fault.kind.sort() == sort && f.skipped.is_none()).count();
        let one = |(sort, name, _)| (name, count(sort), self.recovery(|other| other == sort));
        Sort::ALL.into_iter().map(one).filter(|(_, count, _)| *count > 0).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, what: &str, seen: &dyn fmt::Display| writeln!(f, "| {what} | {seen} |");
        let skipped = self.faults.iter().filter(|fault| fault.skipped.is_some()).count();
        let injected = self.faults.len() - skipped;
        row(f, "what", &format!("seed {}, {} s", self.seed, self.lasted_s))?;
        row(f, "---", &"---")?;
        row(f, "faults", &injected)?;
        for (name, count, recovery) in self.sorts() {
            row(f, name, &format!("{count}; recovery {recovery}"))?;
        }
        if skipped > 0 {
            row(f, "faults that could not be done", &skipped)?;
        }
        let states: Vec<(&str, u64)> = self.states.iter().map(|(state, count)| (state.as_str(), *count)).collect();
        row(f, "jobs", &List(&states))?;
        row(f, "requests", &self.requests)?;
        let Tally { answered, refused, failed, unanswered, lost, doubled, wrong, .. } = &self.tally;
        let none = self.requests.saturating_sub(answered + refused + failed + unanswered + lost);
        let lines = [
            ("answered", *answered),
            ("refused", *refused),
            ("given up", *failed),
            ("unanswered", *unanswered),
            ("of jobs that were never planned", none),
        ];
        row(f, "lines", &List(&lines))?;
        row(f, "lost", lost)?;
        row(f, "doubled", doubled)?;
        row(f, "wrong", wrong)?;
        row(f, "seen otherwise by a client", &self.seen.count)?;
        row(f, "states and counts that are not right", &self.status.count)?;
        row(f, "faults of the log", &self.log.count)?;
        row(f, "chunks begun after a cancel or in a pause", &self.worked_late)?;
        row(f, "statuses unlike a fresh fold", &self.fold.count)?;
        row(f, "messages and files left behind", &self.left.count)?;
        let Reasons { looks, reasons, longest_ms, complaints } = &self.reasons;
        row(f, "jobs that stood still and did not say why", &complaints.count)?;
        let said = format!("{reasons} times, of {looks} looks; silent for {} at most", Seconds(*longest_ms));
        row(f, "jobs that stood still and said why", &said)?;
        row(f, "longest stall", &self.stall(self.pace.longest()))?;
        row(f, "recovery after a kill", &self.recovery(Sort::is_kill))?;
        row(f, "recovery after any fault", &self.recovery(|_| true))?;
        row(f, "chunks delivered again", &format!("{} of {}", self.again, self.chunks))?;
        let again = format!("{}, of {} in flight at faults at most", self.requests_again, self.in_flight_max);
        row(f, "requests in them", &again)?;
        row(f, "attempts that failed", &self.failed)?;
        row(f, "submissions sent again", &self.submitted_again)?;
        row(f, "processes that ended by themselves", &self.fallen)
    }
}

struct List<'a, T>(&'a [(&'a str, T)]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&all.join(", "))
    }
}

struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0 as f64 / 1_000.0)
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] = [self.p50_ms, self.p99_ms, self.longest_ms].map(Seconds);
        write!(f, "p50 {p50}, p99 {p99}, longest {longest}, of {}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Injection, Kind, Target};

    #[test]
    fn no_more_may_be_run_again_than_was_in_flight() {
        let report = |requests_again| Report { requests_again, in_flight_max: 5, ..Report::default() };
        assert!(report(5).is_clean());
        assert!(!report(6).is_clean());
    }

    #[test]
    fn a_job_that_was_silent_is_no_clean_run() {
        let mut report = Report::default();
        report.reasons.complaints.add(|| "job a did not say why".to_owned());
        assert!(!report.is_clean());
        assert_eq!(report.complaints().count(), 1);
    }

    #[test]
    fn a_long_stall_is_told_with_its_faults() {
        let fault = |number, at_ms| {
            let kind = Kind::Kill(Target::Worker(0));
            let fault = Injection { number, after_ms: 0, kind, hold_ms: 500 };
            Injected { at_ms, healed_ms: at_ms + 500, fault, skipped: None }
        };
        let faults = vec![fault(0, 1_000), fault(1, 8_000), fault(2, 12_000), fault(3, 25_000)];
        let stalls = vec![Stall { from_ms: 3_000, lasted_ms: 100 }, Stall { from_ms: 10_000, lasted_ms: 9_000 }];
        let report = Report { faults, pace: Pace { stalls, ..Pace::default() }, ..Report::default() };
        let told: Vec<String> = report.stalls().collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("no work for 9.0 s, 10.0 s into the run: fault 1 "), "{told:?}");
        assert!(told[0].contains("; fault 2 ") && !told[0].contains("fault 3"), "{told:?}");
    }
}
