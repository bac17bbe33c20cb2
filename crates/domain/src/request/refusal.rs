//! Why a body is not taken: the words of OpenAI's error object.
use serde::Serialize;

const TOO_LONG: &str = "context_length_exceeded";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub message: String,
    pub r#type: &'static str,
    /// The field, as `messages[0].content`.
    pub param: Option<String>,
    pub code: Option<&'static str>,
    #[serde(skip)]
    pub scope: Scope,
}

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The body is not of the shape that every engine reads: the whole input is refused before anything runs.
    Input,
    /// The request asks for what is not served: it alone is answered with the error.
    Request,
}

impl Refusal {
    fn new(scope: Scope, param: Option<String>, code: &'static str, message: String) -> Self {
        Self { message, r#type: "invalid_request_error", param, code: Some(code), scope }
    }

    /// The body is not a JSON object.
    pub fn json(error: &dyn std::fmt::Display) -> Self {
        Self::new(Scope::Input, None, "invalid_json", format!("The body is not a JSON object: {error}"))
    }

    /// A value of the wrong JSON type.
    pub fn wrong_type(param: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let param = param.into();
        let message = format!("Invalid type for `{param}`: {why}");
        Self::new(Scope::Input, Some(param), "invalid_type", message)
    }

    /// A field that stands twice.
    pub fn twice(param: impl Into<String>) -> Self {
        let param = param.into();
        let message = format!("`{param}` stands twice");
        Self::new(Scope::Input, Some(param), "duplicate_parameter", message)
    }

    /// A required field that is absent or null.
    pub fn missing(param: &str) -> Self {
        let message = format!("Missing required parameter: `{param}`");
        Self::new(Scope::Input, Some(param.to_owned()), "missing_required_parameter", message)
    }

    /// A value that is out of range, or that no engine can do.
    pub fn invalid(param: impl Into<String>, why: impl std::fmt::Display) -> Self {
        let param = param.into();
        let message = format!("Invalid value for `{param}`: {why}");
        Self::new(Scope::Request, Some(param), "invalid_value", message)
    }

    /// A field that OpenAI knows, that would change the answer, and that no engine here can honour.
    pub fn unsupported(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        let message = format!("Unsupported parameter: `{param}`: {why}");
        Self::new(Scope::Request, Some(param), "unsupported_parameter", message)
    }

    /// A line that is no request, as the reason in it says: it stands for a row of a table that none could be made of.
    pub fn row(why: impl Into<String>) -> Self {
        Self::new(Scope::Request, None, "invalid_row", why.into())
    }

    /// Whether the whole input is refused for it.
    pub fn is_shape(&self) -> bool {
        self.scope == Scope::Input
    }

    /// The same, told of the request alone.
    pub fn alone(self) -> Self {
        Self { scope: Scope::Request, ..self }
    }

    /// A field of no meaning here, which may have been meant to change the answer.
    pub fn unknown(param: &str) -> Self {
        let message = format!("Unrecognized request argument supplied: `{param}`");
        Self::new(Scope::Request, Some(param.to_owned()), "unknown_parameter", message)
    }

    /// A prompt that does not fit into the model's context.
    pub fn too_long(param: impl Into<String>, tokens: usize, context: usize) -> Self {
        let message = format!(
            "This model's maximum context length is {context} tokens, and the prompt takes {tokens} of them. \
             Shorten the prompt."
        );
        Self::new(Scope::Request, Some(param.into()), TOO_LONG, message)
    }

    pub fn is_too_long(&self) -> bool {
        self.code == Some(TOO_LONG)
    }

    /// Keeps the first refusal of a request's own for later: what is wrong with the shape is told before it, wherever it
    /// stands.
    pub(super) fn into_first(self, first: &mut Option<Self>) -> Result<(), Self> {
        match self.scope {
            Scope::Input => Err(self),
            Scope::Request => {
                first.get_or_insert(self);
                Ok(())
            }
        }
    }

    /// Itself, unless the other is about the shape.
    pub(super) fn or_shape(self, other: Self) -> Self {
        if other.scope == Scope::Input { other } else { self }
    }
}
