//! What is said before a job runs: so many of its requests will be answered with an error, and why.
use crate::{
    event::{Code, LineError},
    limits::WARNINGS_REPORTED_MAX,
    line::{below_body, clipped},
    request::Refusal,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Requests that an engine will refuse for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Warning {
    pub code: Code,
    /// The field, as `body.stream`; absent where the reasons are many.
    pub param: Option<String>,
    pub count: u64,
    /// The first of them, 1-based.
    pub line: u64,
    /// What is said of the first one.
    pub message: String,
}

impl Warning {
    /// Whether its requests will be answered with an error; else only their time is short.
    pub const fn is_of_requests(&self) -> bool {
        !self.code.is_of_window()
    }

    /// As an error of a file that is to have none.
    pub fn error(&self) -> LineError {
        let message = match self.count {
            1 => self.message.clone(),
            count => clipped(format!("{count} requests, the first of them here: {}", self.message)),
        };
        LineError { code: self.code, line: Some(self.line), param: self.param.clone(), message }
    }
}

/// Collects warnings, in the order of their first lines.
#[derive(Debug, Default)]
pub struct Warnings {
    kinds: HashMap<(Code, String, String), usize>,
    list: Vec<Warning>,
}

impl Warnings {
    pub fn add(&mut self, line: u64, refusal: &Refusal) {
        let param = below_body(refusal.param.as_deref());
        let kind = (Code::of(refusal), kind(&param), kind(&refusal.message));
        match self.kinds.get(&kind) {
            Some(at) => self.list[*at].count += 1,
            None if self.kinds.len() < WARNINGS_REPORTED_MAX => {
                self.kinds.insert(kind, self.list.len());
                let (param, message) = (Some(clipped(param)), clipped(refusal.message.clone()));
                self.list.push(Warning { code: Code::of(refusal), param, count: 1, line, message });
            }
            None => self.other(line, refusal),
        }
    }

    /// One entry for all kinds beyond those that are told.
    fn other(&mut self, line: u64, refusal: &Refusal) {
        if let Some(other) = self.list.get_mut(WARNINGS_REPORTED_MAX) {
            other.count += 1;
            return;
        }
        let message = clipped(format!("refused for other reasons, the first: {}", refusal.message));
        self.list.push(Warning { code: Code::of(refusal), param: None, count: 1, line, message });
    }

    pub fn list(self) -> Vec<Warning> {
        self.list
    }
}

/// The letters of a text, without what differs from line to line: numbers, and what is quoted.
fn kind(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        match at % 2 {
            0 => kind.extend(part.chars().filter(|c| c.is_alphabetic())),
            _ => kind.push('`'),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_for_each_kind() {
        let mut warnings = Warnings::default();
        warnings.add(3, &Refusal::unsupported("stream", "no"));
        warnings.add(4, &Refusal::invalid("temperature", "9 is not between 0 and 2"));
        warnings.add(7, &Refusal::unsupported("stream", "no"));
        warnings.add(8, &Refusal::invalid("temperature", "7.5 is not between 0 and 2"));
        warnings.add(9, &Refusal::unknown("messages[0].id"));
        warnings.add(10, &Refusal::unknown("messages[12].id"));
        let list = warnings.list();
        let found: Vec<_> = list.iter().map(|w| (w.code, w.param.as_deref().unwrap(), w.count, w.line)).collect();
        let want = [
            (Code::UnsupportedParameter, "body.stream", 2, 3),
            (Code::InvalidValue, "body.temperature", 2, 4),
            (Code::UnknownParameter, "body.messages[0].id", 2, 9),
        ];
        assert_eq!(found, want);
        assert_eq!(list[1].message, "Invalid value for `temperature`: 9 is not between 0 and 2");
        assert_eq!(list[0].error().line, Some(3));
        assert!(list[0].error().message.starts_with("2 requests, the first of them here: "));
    }

    #[test]
    fn their_number_has_a_bound_and_no_request_is_lost() {
        let mut warnings = Warnings::default();
        let name = |n: u64| (0..n % 977).map(|_| 'x').collect::<String>();
        (1..=5_000).for_each(|n| warnings.add(n, &Refusal::unknown(&name(n))));
        let list = warnings.list();
        assert_eq!(list.len(), WARNINGS_REPORTED_MAX + 1);
        assert_eq!(list.iter().map(|warning| warning.count).sum::<u64>(), 5_000);
        assert_eq!(list.last().unwrap().param, None);
    }
}
