//! Whether a job is taken whose window cannot hold.
use crate::{
    Timestamp,
    event::{Code, LineError},
    foresight::Quoted,
    line::clipped,
    time,
    warning::Warning,
};
use serde::Deserialize;

/// What a pool does with jobs whose windows will not hold with nine chances in ten. Of several pools, the strictest counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// They are taken, and nobody asks.
    #[default]
    Accept,
    /// They are taken, and say so.
    Warn,
    Refuse,
}

/// What is said of a job's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Warned(String),
    Refused(String),
}

impl Admission {
    /// `quoted`: None where nobody forecasts. What nobody can foresee is no reason to refuse a job.
    pub fn judge(self, deadline: Timestamp, quoted: Option<&Quoted>) -> Verdict {
        if self == Self::Accept {
            return Verdict::Holds;
        }
        let unknown = |why: &str| Verdict::Warned(format!("nobody can tell whether the window will hold: {why}"));
        let Some(quoted) = quoted else { return unknown("no projector answers") };
        let Some(finish) = quoted.finish else {
            let pools: Vec<_> = quoted.unknown.iter().map(|pool| pool.as_str()).collect();
            return unknown(&format!("of pool {} no work was seen, or it has no worker", pools.join(", ")));
        };
        if finish.p90 <= deadline {
            return Verdict::Holds;
        }
        let late = time::spelled(time::rounded(finish.p90.since(deadline)));
        let shortest = quoted.shortest_ms.map(|ms| time::spelled(time::rounded(ms)));
        let shortest = shortest.map_or_else(String::new, |window| format!("; the shortest that holds is {window}"));
        let said = format!("with nine chances in ten its end comes up to {late} after the window{shortest}");
        if self == Self::Refuse { Verdict::Refused(said) } else { Verdict::Warned(said) }
    }
}

const PARAM: &str = "completion_window";

/// As a warning of a job with so many requests: they may all be late.
pub fn warning(said: &str, requests: u64) -> Warning {
    let (param, message) = (Some(PARAM.to_owned()), clipped(said.to_owned()));
    Warning { code: Code::WindowTooShort, param, count: requests, line: 1, message }
}

/// As the reason why a job is not taken.
pub fn error(said: &str) -> LineError {
    LineError {
        code: Code::WindowTooShort,
        line: None,
        param: Some(PARAM.to_owned()),
        message: clipped(said.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eta::Eta;

    #[test]
    fn only_what_is_foreseen_is_refused() {
        let at = Timestamp::new;
        let finish = Some(Eta { p10: at(50_000), p50: at(60_000), p90: at(90_000) });
        let late = Quoted { finish, shortest_ms: Some(95_000), ..Quoted::default() };
        let unknown = Quoted { unknown: vec!["a".parse().unwrap()], ..Quoted::default() };
        let said = "with nine chances in ten its end comes up to 30s after the window; the shortest that holds is 95s";
        for (admission, deadline, quoted, verdict) in [
            (Admission::Accept, 60_000, Some(&late), Verdict::Holds),
            (Admission::Warn, 60_000, Some(&late), Verdict::Warned(said.into())),
            (Admission::Refuse, 60_000, Some(&late), Verdict::Refused(said.into())),
            (Admission::Refuse, 90_000, Some(&late), Verdict::Holds),
        ] {
            assert_eq!(admission.judge(at(deadline), quoted), verdict);
        }
        for quoted in [None, Some(&unknown)] {
            assert!(matches!(Admission::Refuse.judge(at(1), quoted), Verdict::Warned(_)));
        }
        assert_eq!(Admission::Accept.max(Admission::Refuse).max(Admission::Warn), Admission::Refuse);
    }
}
