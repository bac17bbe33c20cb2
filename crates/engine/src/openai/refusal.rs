//! A request that will never be answered: OpenAI's error object, with status 400.

use serde::Serialize;

use crate::{Answer, Usage};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    message: String,
    r#type: &'static str,
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

impl Refusal {
    fn new(param: Option<String>, code: Option<&'static str>, message: String) -> Self {
        Self { message, r#type: "invalid_request_error", param, code }
    }

    /// The body is not a JSON object.
    pub fn json(error: &serde_json::Error) -> Self {
        Self::new(None, None, format!("The body is not a JSON object: {error}"))
    }

    /// A value of the wrong type or range.
    pub fn invalid(param: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let param = param.into();
        let message = format!("Invalid value for `{param}`: {why}");
        Self::new(Some(param), Some("invalid_value"), message)
    }

    pub fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: `{param}`");
        Self::new(Some(param.to_owned()), Some("missing_required_parameter"), message)
    }

    /// A field that OpenAI knows, that would change the answer, and that no engine here can honour.
    pub fn unsupported(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        let message = format!("Unsupported parameter: `{param}`: {why}");
        Self::new(Some(param), Some("unsupported_parameter"), message)
    }

    pub fn unknown(param: &str) -> Self {
        let message = format!("Unrecognized request argument supplied: {param}");
        Self::new(Some(param.to_owned()), Some("unknown_parameter"), message)
    }

    pub fn too_long(param: &'static str, tokens: usize, context: usize) -> Self {
        let message = format!(
            "This model's maximum context length is {context} tokens, and the prompt takes {tokens} of them. \
             Shorten the prompt."
        );
        Self::new(Some(param.to_owned()), Some("context_length_exceeded"), message)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = serde_json::json!({ "error": refusal }).to_string();
        Self { status: 400, body, usage: Usage::default() }
    }
}
