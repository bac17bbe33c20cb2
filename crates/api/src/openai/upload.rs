use super::{ExpiresAfter, File, Purpose};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use uuid::Uuid;

/// An upload in parts: `upload_` and its id without hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(pub Uuid);

/// A part of one: `part_` and its id without hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartId(pub Uuid);

macro_rules! spelled {
    ($($type:ident $prefix:literal),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $type {
            type Err = super::id::Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = text.strip_prefix($prefix).ok_or(super::id::Unknown)?;
                super::id::simple(id).map(Self)
            }
        }
    )*};
}

spelled!(UploadId "upload_", PartId "part_");
super::id::as_text!(UploadId, PartId);

/// What is to be uploaded in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiCreateUpload)]
pub struct CreateUpload {
    pub filename: String,
    #[schema(pattern = "^(batch|user_data)$")]
    pub purpose: String,
    /// Of all parts together.
    pub bytes: u64,
    #[serde(default)]
    pub mime_type: Option<String>,
    #[serde(default)]
    pub expires_after: Option<ExpiresAfter>,
}

/// The parts, in the order in which they make the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiCompleteUpload)]
pub struct CompleteUpload {
    pub part_ids: Vec<String>,
    /// Of the whole file, in hexadecimal digits.
    #[serde(default)]
    pub md5: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OpenAiUploadStatus)]
pub enum UploadStatus {
    Pending,
    Completed,
    Cancelled,
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiUpload)]
pub struct Upload {
    #[schema(value_type = String)]
    pub id: UploadId,
    /// `upload`.
    pub object: String,
    pub bytes: u64,
    pub created_at: u64,
    pub expires_at: u64,
    pub filename: String,
    pub purpose: Purpose,
    pub status: UploadStatus,
    /// When it is completed.
    pub file: Option<File>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiUploadPart)]
pub struct UploadPart {
    #[schema(value_type = String)]
    pub id: PartId,
    /// `upload.part`.
    pub object: String,
    pub created_at: u64,
    #[schema(value_type = String)]
    pub upload_id: UploadId,
}
