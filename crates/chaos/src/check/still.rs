//! Jobs that stand still must say why. Told of each look at the jobs that run, this finds the times in which one came no
//! further and gave no reason.
use super::Complaints;
use domain::JobId;
use std::collections::HashMap;

/// A job may come no further for so long before its status must say why.
const REASON_WITHIN_MS: u64 = 10_000;
/// And for so many times the longest run that lately ended: work that takes long is no fault.
const RUNS: u64 = 3;
const LATELY_MS: u64 = 120_000;
/// From one look to the next, with the time that a look takes.
const COARSE_MS: u64 = 1_500;

/// A look at a job that runs, and that waits for no other.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub job: JobId,
    /// It came no further since.
    pub since_ms: u64,
    pub says: Says,
}

/// What its status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Why,
    Nothing,
    /// No head tells its status.
    Unread,
}

/// A time without progress and without a reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bare {
    from_ms: u64,
    to_ms: u64,
}

/// A job that was there at the last look.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// When it was first looked at, or last gave a reason.
    clear_ms: u64,
    bare: Bare,
}

#[derive(Debug, Default)]
pub struct Stills {
    open: HashMap<JobId, Open>,
    bare: Vec<(JobId, Bare)>,
    looks: u64,
    /// Times that jobs stood still and said why.
    reasons: u64,
}

/// What came of all looks.
#[derive(Debug, Default)]
pub struct Reasons {
    pub looks: u64,
    pub reasons: u64,
    /// Without progress and reason, at most.
    pub longest_ms: u64,
    pub complaints: Complaints,
}

impl Stills {
    /// One look at all jobs that run.
    pub fn round(&mut self, at_ms: u64, looks: &[Look]) {
        let mut before = std::mem::take(&mut self.open);
        for look in looks {
            self.looks += 1;
            let open = self.look(before.remove(&look.job), look, at_ms);
            self.open.insert(look.job, open);
        }
        before.into_iter().for_each(|(job, open)| self.close(job, open.bare));
    }

    fn look(&mut self, before: Option<Open>, look: &Look, at_ms: u64) -> Open {
        let Open { mut clear_ms, bare } = before.unwrap_or(Open { clear_ms: at_ms, bare: Bare::default() });
        if look.says == Says::Why {
            self.reasons += u64::from(bare.to_ms > clear_ms || before.is_none());
            clear_ms = at_ms;
        }
        let now = Bare { from_ms: clear_ms.max(look.since_ms), to_ms: at_ms };
        if now.from_ms != bare.from_ms {
            self.close(look.job, bare);
        }
        Open { clear_ms, bare: now }
    }

    fn close(&mut self, job: JobId, bare: Bare) {
        if bare.to_ms > bare.from_ms {
            self.bare.push((job, bare));
        }
    }

    /// `blind`: times in which nobody could tell, because who tells was broken. After each, there is all the time again.
    /// `runs`: when each ended, and how long it took.
    pub fn end(mut self, blind: &[(u64, u64)], runs: &[(u64, u64)]) -> Reasons {
        self.round(u64::MAX, &[]);
        let mut found = Reasons { looks: self.looks, reasons: self.reasons, ..Reasons::default() };
        if self.looks == 0 {
            found.complaints.add(|| "no job was ever looked at while it ran".to_owned());
        }
        for (job, bare) in self.bare {
            let longest = seen(bare, blind);
            found.longest_ms = found.longest_ms.max(longest);
            if longest > allowed(bare, runs) + COARSE_MS {
                found.complaints.add(|| {
                    let s = longest as f64 / 1_000.0;
                    format!("job {job} came no further for {s:.1} s and did not say why, until {}", bare.to_ms)
                });
            }
        }
        found
    }
}

fn allowed(bare: Bare, runs: &[(u64, u64)]) -> u64 {
    let lately = bare.from_ms.saturating_sub(LATELY_MS)..=bare.to_ms;
    let longest = runs.iter().filter(|(ended, _)| lately.contains(ended)).map(|(_, took)| *took).max();
    REASON_WITHIN_MS.max(RUNS * longest.unwrap_or(0))
}

/// The longest part that lies outside of what was blind.
fn seen(Bare { from_ms, to_ms }: Bare, blind: &[(u64, u64)]) -> u64 {
    let mut blind: Vec<_> = blind.iter().filter(|(from, to)| *from < to_ms && *to > from_ms).copied().collect();
    blind.sort_unstable();
    let (mut longest, mut clear) = (0, from_ms);
    for (from, to) in blind {
        longest = longest.max(from.saturating_sub(clear));
        clear = clear.max(to);
    }
    longest.max(to_ms.saturating_sub(clear))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 30;

    fn job() -> JobId {
        JobId::keyed("t", "a")
    }

    /// A history: each second, since when the job came no further, and what its status says. None: it does not run.
    fn history(look: impl Fn(u64) -> Option<(u64, Says)>) -> Stills {
        let mut stills = Stills::default();
        for s in 0..END {
            let seen = look(s).map(|(since, says)| Look { job: job(), since_ms: since * 1_000, says });
            stills.round(s * 1_000, seen.as_slice());
        }
        stills
    }

    fn faults(stills: Stills, blind: &[(u64, u64)]) -> u64 {
        stills.end(blind, &[]).complaints.count
    }

    #[test]
    fn a_job_that_stands_still_in_silence_is_found() {
        let silent = || history(|s| Some((s.min(5), Says::Nothing)));
        let found = silent().end(&[], &[]);
        assert_eq!((found.complaints.count, found.longest_ms, found.reasons), (1, 24_000, 0));
        assert!(found.complaints.examples[0].contains("came no further for 24.0 s"), "{:?}", found.complaints);
        assert_eq!(faults(history(|s| Some((s.min(5), Says::Unread))), &[]), 1, "a status that nobody tells, too");
        assert_eq!(faults(history(|s| (s < 18).then_some((5, Says::Nothing))), &[]), 1, "though it ended by itself");
    }

    #[test]
    fn a_reason_in_time_is_enough_and_a_late_or_lost_one_is_not() {
        let told =
            |from, to| history(move |s| Some((5, if (from..to).contains(&s) { Says::Why } else { Says::Nothing })));
        assert_eq!(faults(told(14, END), &[]), 0);
        assert_eq!(told(14, END).end(&[], &[]).reasons, 1);
        assert_eq!(faults(told(18, END), &[]), 1);
        assert_eq!(faults(told(14, 16), &[]), 1, "it is gone, and the job stands still");
        assert_eq!(faults(told(0, END), &[]), 0);
    }

    #[test]
    fn a_job_that_comes_further_needs_no_reason() {
        assert_eq!(faults(history(|s| Some((s / 9 * 9, Says::Nothing))), &[]), 0);
        assert_eq!(faults(history(|s| (s % 9 != 0).then_some((0, Says::Nothing))), &[]), 0, "it waited in between");
    }

    #[test]
    fn who_could_not_tell_has_all_the_time_again() {
        let silent = || history(|s| Some((s.min(5), Says::Nothing)));
        assert_eq!(faults(silent(), &[(8_000, 12_000), (20_000, 22_000)]), 0);
        assert_eq!(faults(silent(), &[(8_000, 12_000)]), 1);
        assert_eq!(faults(silent(), &[(0, 1_000), (40_000, 50_000)]), 1);
    }

    #[test]
    fn who_works_long_may_be_silent_longer() {
        let silent = |runs: &[(u64, u64)]| history(|s| Some((s.min(5), Says::Nothing))).end(&[], runs).complaints.count;
        assert_eq!(silent(&[(4_000, 3_000), (5_000, 8_000)]), 0);
        assert_eq!(silent(&[(4_000, 3_000), (5_000, 7_000)]), 1);
        assert_eq!(silent(&[(40_000, 8_000)]), 1, "it ended later");
    }

    #[test]
    fn who_never_looks_finds_nothing_and_says_so() {
        assert_eq!(faults(history(|_| None), &[]), 1);
    }
}
