//! What the door says when it says no: an [`api::ErrorBody`]. Every error of what it stands on becomes one of its codes here,
//! and a code is one HTTP status.
use crate::{
    bus::{PublishError, ReadError},
    input,
    log::LogError,
};
use api::ErrorCode;
use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use domain::{JobId, key::Refused, quota::Exceeded, submission::Mistake};
use store::StoreError;

const MESSAGE_CHARS_MAX: usize = 1_000;

pub type Answer = Result<Response, Rejection>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub code: ErrorCode,
    pub message: String,
    /// The field, parameter or header that is wrong.
    pub param: Option<String>,
    /// When to try again, in seconds, where that is known.
    pub wait_s: Option<u32>,
}

impl Rejection {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, wait_s: None }
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub fn param(mut self, name: impl Into<String>) -> Self {
        self.param = Some(name.into());
        self
    }

    pub fn no_job(job: JobId) -> Self {
        Self::new(ErrorCode::JobNotFound, format!("there is no job {job}"))
    }

    pub fn no_route(path: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is nothing at {path}; GET / names what there is"))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TooLarge, message)
    }

    pub fn too_slow() -> Self {
        Self::new(ErrorCode::Timeout, "the body came too slowly and was given up")
    }

    pub fn cut_off(why: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::IncompleteBody, format!("the body could not be read: {why}"))
    }

    pub fn media(found: &str, taken: &str) -> Self {
        let found = if found.is_empty() { "a body without Content-Type".to_owned() } else { format!("'{found}'") };
        let message = format!("{found} is not taken here; send {taken}");
        Self::new(ErrorCode::UnsupportedMediaType, message).param("Content-Type")
    }

    pub fn busy(what: &str) -> Self {
        Self::new(ErrorCode::Busy, format!("too many {what} at once; try again in a moment"))
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }
}

impl From<Mistake> for Rejection {
    fn from(mistake: Mistake) -> Self {
        let param = match &mistake {
            Mistake::NoInput | Mistake::TwoInputs => "input",
            Mistake::NoRequests | Mistake::TooManyRequests(_) => "requests",
            Mistake::Window(_) => "completion_window",
            Mistake::Endpoint(_) => "endpoint",
            Mistake::NoPriority => "priority",
            Mistake::MetadataPairs(_) | Mistake::MetadataSize(_) => "metadata",
            Mistake::TooLong(name) => name,
            Mistake::Webhook(_) => "webhook_url",
        };
        Self::invalid(mistake.to_string()).param(param)
    }
}

impl From<Exceeded> for Rejection {
    fn from(exceeded: Exceeded) -> Self {
        let refusal = Self::new(ErrorCode::RateLimitExceeded, exceeded.to_string()).param(exceeded.limit.as_str());
        Self { wait_s: Some(exceeded.wait_s), ..refusal }
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorCode::InvalidApiKey, refused.to_string())
    }
}

impl From<PublishError> for Rejection {
    fn from(error: PublishError) -> Self {
        tracing::warn!(%error, "a message could not be published");
        match &error {
            PublishError::TooLarge { .. } => Self::too_large("the submission is too large for one message"),
            PublishError::Unknown { .. } => Self::unavailable(
                "NATS gave no answer, so the job may have been taken or not; send it again with the same \
                 Idempotency-Key or id",
            ),
            PublishError::Full { .. } => Self::unavailable("too many submissions wait to be taken in; try again later"),
            _ => Self::unavailable("NATS does not take the message now; nothing was submitted"),
        }
    }
}

impl From<ReadError> for Rejection {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "the status bucket could not be read");
        Self::unavailable("statuses cannot be read now")
    }
}

impl From<LogError> for Rejection {
    fn from(error: LogError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the log could not be read");
        Self::unavailable("the log cannot be read now")
    }
}

impl From<input::Error> for Rejection {
    fn from(error: input::Error) -> Self {
        match error {
            input::Error::Publish(error) => error.into(),
            input::Error::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store failed");
        if error.is_full() {
            let why = "the store of files is full, and nothing was kept; send it again when there is room";
            return Self::new(ErrorCode::StorageFull, why);
        }
        Self::unavailable("the store of files does not work now")
    }
}

/// A message may hold what was sent, and that may be long.
pub(super) fn cut(mut message: String) -> String {
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(at);
        message.push_str("...");
    }
    message
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (status, Self { code, message, param, wait_s }) = (self.status(), self);
        let body = api::ErrorBody { error: api::ErrorObject::new(cut(message), code, param) };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match code {
            ErrorCode::Busy | ErrorCode::Unavailable => {
                drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")))
            }
            ErrorCode::RateLimitExceeded => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait_s.unwrap_or(1)));
                // A body that was not wanted is not read.
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            ErrorCode::InvalidApiKey => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What is left of the body is not worth reading.
            ErrorCode::TooLarge | ErrorCode::Timeout | ErrorCode::StorageFull => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
