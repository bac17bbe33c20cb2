use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use strum::{IntoStaticStr, VariantArray};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// What the door says when it says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Refusal)]
pub struct ErrorBody {
    pub error: ErrorObject,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Refused)]
pub struct ErrorObject {
    pub message: String,
    /// What OpenAI's clients tell errors apart by.
    #[serde(rename = "type", default)]
    pub kind: ErrorKind,
    pub code: ErrorCode,
    /// The field, parameter or header that is wrong.
    pub param: Option<String>,
}

impl ErrorObject {
    pub fn new(message: impl Into<String>, code: ErrorCode, param: Option<String>) -> Self {
        Self { message: message.into(), kind: code.kind(), code, param }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    #[default]
    InvalidRequestError,
    RateLimitError,
    ServerError,
}

/// Why it says no. Each has one HTTP status, so that what a client sees follows from it alone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ErrorCode {
    InvalidRequest,
    InvalidJson,
    /// The body ended before its end.
    IncompleteBody,
    /// A page of another site may not change anything.
    ForeignOrigin,
    /// Meant for another host than this door.
    Misdirected,
    /// No key, or one that is not taken; in the word of OpenAI's.
    InvalidApiKey,
    /// The key does not allow this.
    MissingRole,
    NotFound,
    JobNotFound,
    DeadNotFound,
    WorkerNotFound,
    KeyNotFound,
    FileNotFound,
    UploadNotFound,
    BatchNotFound,
    ModelNotFound,
    MethodNotAllowed,
    /// The body came too slowly.
    Timeout,
    /// The job does not take this now, or its key is another's.
    Conflict,
    /// The file is not the one that `If-Match` names.
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    /// The file ends before the range begins.
    Range,
    /// A limit of the tenant's, which `param` names; in the word of OpenAI's.
    RateLimitExceeded,
    /// Too many at once; try again in a moment.
    Busy,
    /// NATS or the store is away; try again.
    Unavailable,
    StorageFull,
    /// The job's pool refuses jobs whose windows will not hold.
    WindowTooShort,
    /// The job goes on, and its answer can be read later.
    AnswerPending,
    /// One that this version does not know; no door says it.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    pub const fn kind(self) -> ErrorKind {
        match self.status() {
            429 => ErrorKind::RateLimitError,
            500.. => ErrorKind::ServerError,
            _ => ErrorKind::InvalidRequestError,
        }
    }

    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidJson | Self::IncompleteBody => 400,
            Self::InvalidApiKey => 401,
            Self::ForeignOrigin | Self::MissingRole => 403,
            Self::NotFound
            | Self::JobNotFound
            | Self::DeadNotFound
            | Self::WorkerNotFound
            | Self::KeyNotFound
            | Self::FileNotFound
            | Self::UploadNotFound
            | Self::BatchNotFound
            | Self::ModelNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Range => 416,
            Self::Misdirected => 421,
            Self::RateLimitExceeded => 429,
            Self::WindowTooShort => 422,
            Self::Unknown => 500,
            Self::Busy | Self::Unavailable => 503,
            Self::AnswerPending => 504,
            Self::StorageFull => 507,
        }
    }
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let words = Self::VARIANTS.iter().filter(|code| **code != Self::Unknown).map(|code| code.as_str());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
    }
}

impl ToSchema for ErrorCode {
    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_promised() {
        let error = ErrorObject::new("no", ErrorCode::JobNotFound, None);
        let json = r#"{"error":{"message":"no","type":"invalid_request_error","code":"job_not_found","param":null}}"#;
        assert_eq!(serde_json::to_string(&ErrorBody { error: error.clone() }).unwrap(), json);
        assert_eq!(serde_json::from_str::<ErrorBody>(json).unwrap().error, error);
        let newer = json.replace("job_not_found", "quota_exceeded");
        assert_eq!(serde_json::from_str::<ErrorBody>(&newer).unwrap().error.code, ErrorCode::Unknown);
    }
}
