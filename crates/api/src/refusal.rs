use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// What the door says when it says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    pub error: Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    pub message: String,
    pub code: ErrorCode,
    /// The field, parameter or header that is wrong.
    pub param: Option<String>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal $status:literal,)*) => {
        /// Why it says no. Each has one HTTP status, so that what a client sees follows from it alone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
            /// One that this version does not know; no door says it.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                    Self::Unknown => "unknown",
                }
            }

            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown => 500,
                }
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request" 400,
    InvalidJson = "invalid_json" 400,
    /// The body ended before its end.
    IncompleteBody = "incomplete_body" 400,
    /// A page of another site may not change anything.
    ForeignOrigin = "foreign_origin" 403,
    NotFound = "not_found" 404,
    JobNotFound = "job_not_found" 404,
    DeadNotFound = "dead_not_found" 404,
    MethodNotAllowed = "method_not_allowed" 405,
    /// The body came too slowly.
    Timeout = "timeout" 408,
    /// The job does not take this now, or its key is another's.
    Conflict = "conflict" 409,
    TooLarge = "too_large" 413,
    UnsupportedMediaType = "unsupported_media_type" 415,
    /// The file ends before the range begins.
    Range = "range" 416,
    /// Too many at once; try again in a moment.
    Busy = "busy" 503,
    /// NATS or the store is away; try again.
    Unavailable = "unavailable" 503,
    StorageFull = "storage_full" 507,
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let words = Self::ALL.iter().map(|code| code.as_str());
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
        let error = Refused { message: "no".into(), code: ErrorCode::JobNotFound, param: None };
        let json = r#"{"error":{"message":"no","code":"job_not_found","param":null}}"#;
        assert_eq!(serde_json::to_string(&Refusal { error: error.clone() }).unwrap(), json);
        assert_eq!(serde_json::from_str::<Refusal>(json).unwrap().error, error);
        let newer = json.replace("job_not_found", "quota_exceeded");
        assert_eq!(serde_json::from_str::<Refusal>(&newer).unwrap().error.code, ErrorCode::Unknown);
    }
}
