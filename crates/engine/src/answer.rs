//! What a request is answered with.
use domain::request::Refusal;
use serde::{Deserialize, Serialize};

/// Tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    /// The part of `prompt` that a cache answered. Zero where the engine does not say.
    pub cached: u64,
}

/// What an answer is, so that nobody looks for it in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Good,
    /// The engine does not take the request.
    Refused,
    /// Its prompt does not fit into the model's context.
    TooLong,
}

/// What goes into the output or the error file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub kind: Kind,
    /// HTTP status: 200 of a good one, else a 4xx.
    pub status: u16,
    /// JSON text: a `chat.completion`, a `text_completion`, or `{"error": {message, type, param, code}}`.
    pub body: String,
    pub usage: Usage,
}

impl Answer {
    pub const fn good(body: String, usage: Usage) -> Self {
        Self { kind: Kind::Good, status: 200, body, usage }
    }

    pub const fn is_good(&self) -> bool {
        matches!(self.kind, Kind::Good)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let kind = if refusal.is_too_long() { Kind::TooLong } else { Kind::Refused };
        let body = serde_json::json!({ "error": refusal }).to_string();
        Self { kind, status: 400, body, usage: Usage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_kind_whatever_its_words() {
        let long = Answer::from(Refusal::too_long("messages", 9, 8));
        assert_eq!((long.kind, long.status), (Kind::TooLong, 400));
        assert!(long.body.contains(r#""code":"context_length_exceeded""#), "{}", long.body);
        let other = Answer::from(Refusal::invalid("messages", "context_length_exceeded"));
        assert_eq!((other.kind, other.is_good()), (Kind::Refused, false));
    }
}
