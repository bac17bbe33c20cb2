use crate::{Eta, Kind, Time};
use domain::{
    JobId, Pool,
    event::LineError,
    foresight::{Endangered, Quoted},
    time,
    warning::Warning,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a submission would come to if it were made now. Nothing is submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    pub object: Kind,
    /// Whether it would be taken: its input validates.
    pub valid: bool,
    pub requests: u64,
    pub bytes: u64,
    /// The first hundred mistakes of the input.
    pub errors: Vec<LineError>,
    pub errors_total: u64,
    /// Requests that would be answered with an error, by kind.
    pub warnings: Vec<Warning>,
    /// Tokens that are expected, as far as anything is known of the pool's answers.
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// The window that was asked for, and the deadline that it would be.
    pub completion_window: String,
    pub deadline: Time,
    /// When its first requests would begin to run.
    pub start: Option<Eta>,
    /// When it would be done. Null: nobody knows, and `unknown` says of which pools.
    pub finish: Option<Eta>,
    /// Whether the window would be kept with nine chances in ten.
    pub holds: Option<bool>,
    /// The shortest window that would be, rounded up.
    pub shortest_window: Option<String>,
    /// Jobs that keep their deadlines with nine chances in ten now, and would not then: at most twenty.
    pub endangered: Vec<EndangeredJob>,
    /// Pools that were never seen at work, or have no worker.
    pub unknown: Vec<Pool>,
}

/// A job that another would make late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndangeredJob {
    pub job: JobId,
    pub deadline: Time,
    /// By when it is done with nine chances in ten, now and then.
    pub p90_before: Time,
    pub p90_then: Time,
}

/// What validation found of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    pub requests: u64,
    pub bytes: u64,
    pub errors: Vec<LineError>,
    pub errors_total: u64,
    pub warnings: Vec<Warning>,
    /// Warnings refuse it.
    pub strict: bool,
}

impl Quote {
    /// `quoted`: none of an input that would not be taken.
    pub fn new(input: Input, window_ms: u64, deadline: Time, quoted: Option<Quoted>) -> Self {
        let Input { requests, bytes, errors, errors_total, warnings, strict } = input;
        let valid = errors_total == 0 && (!strict || warnings.is_empty());
        let quoted = quoted.unwrap_or_default();
        Self {
            object: Kind::Quote,
            valid,
            requests,
            bytes,
            errors,
            errors_total,
            warnings,
            prompt_tokens: quoted.prompt_tokens,
            completion_tokens: quoted.answer_tokens,
            completion_window: time::spelled(window_ms),
            deadline,
            start: quoted.start.map(Eta::from),
            finish: quoted.finish.map(Eta::from),
            holds: quoted.finish.map(|finish| finish.p90 <= deadline.0),
            shortest_window: quoted.shortest_ms.map(|ms| time::spelled(time::rounded(ms))),
            endangered: quoted.endangered.into_iter().map(EndangeredJob::from).collect(),
            unknown: quoted.unknown,
        }
    }
}

impl From<Endangered> for EndangeredJob {
    fn from(one: Endangered) -> Self {
        let Endangered { job, deadline, before, then } = one;
        Self { job, deadline: deadline.into(), p90_before: before.into(), p90_then: then.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Timestamp, eta};

    #[test]
    fn a_quote_reads_as_promised() {
        let at = Timestamp::new;
        let eta = |ms| Some(eta::Eta { p10: at(ms), p50: at(ms + 1), p90: at(ms + 2) });
        let quoted =
            Quoted { start: eta(1), finish: eta(3_600_000), shortest_ms: Some(3_600_002), ..Quoted::default() };
        let input = Input { requests: 3, bytes: 30, ..Input::default() };
        let quote = Quote::new(input, 7_200_000, at(7_200_000).into(), Some(quoted));
        assert_eq!((quote.valid, quote.holds, quote.shortest_window.as_deref()), (true, Some(true), Some("61m")));
        let json = serde_json::to_string(&quote).unwrap();
        let want =
            r#"{"object":"quote","valid":true,"requests":3,"bytes":30,"errors":[],"errors_total":0,"warnings":[],"#;
        assert!(json.starts_with(want), "{json}");
        assert!(json.contains(r#""completion_window":"2h","deadline":"1970-01-01T02:00:00.000Z""#), "{json}");
        assert_eq!(serde_json::from_str::<Quote>(&json).unwrap(), quote);
    }

    #[test]
    fn an_input_that_is_refused_has_no_forecast() {
        let input = Input { errors_total: 2, ..Input::default() };
        let quote = Quote::new(input, 1_000, at(1_000), None);
        assert_eq!((quote.valid, quote.holds, quote.finish), (false, None, None));
    }

    fn at(ms: u64) -> Time {
        Time(Timestamp::new(ms))
    }
}
