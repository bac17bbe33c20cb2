//! What the door says when it says no: an [`api::Refusal`]. Every error of what it stands on becomes one of its codes here,
//! and a code is one HTTP status.
use crate::{
    bus::{PublishError, ReadError},
    store::StoreError,
};
use api::ErrorCode;
use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use domain::{JobId, submission::Fault};

pub type Answer = Result<Response, Refusal>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    /// The field, parameter or header that is wrong.
    pub param: Option<String>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None }
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

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let param = match &fault {
            Fault::NoInput | Fault::TwoInputs => "input",
            Fault::NoRequests | Fault::TooManyRequests(_) => "requests",
            Fault::Window(_) => "completion_window",
            Fault::Endpoint(_) => "endpoint",
            Fault::NoPriority => "priority",
            Fault::MetadataPairs(_) | Fault::MetadataSize(_) => "metadata",
            Fault::TooLong(name) => name,
        };
        Self::invalid(fault.to_string()).param(param)
    }
}

impl From<PublishError> for Refusal {
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

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "the status bucket could not be read");
        Self::unavailable("statuses cannot be read now")
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store failed");
        if error.is_full() {
            let why = "the store of files is full, and nothing was kept; send it again when there is room";
            return Self::new(ErrorCode::StorageFull, why);
        }
        Self::unavailable("the store of files does not work now")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, Self { code, message, param }) = (self.status(), self);
        let body = api::Refusal { error: api::Refused { message, code, param } };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match code {
            ErrorCode::Busy | ErrorCode::Unavailable => {
                drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1")))
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
