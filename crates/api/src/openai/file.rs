use super::FileId;
use domain::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::{IntoParams, ToSchema};

/// A file that can be read by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiFile)]
pub struct File {
    #[schema(value_type = String)]
    pub id: FileId,
    /// `file`.
    pub object: String,
    pub bytes: u64,
    pub created_at: u64,
    pub expires_at: Option<u64>,
    pub filename: String,
    pub purpose: Purpose,
    /// `processed`.
    pub status: String,
    pub status_details: Option<String>,
}

/// What a file is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[schema(as = FilePurpose)]
pub enum Purpose {
    /// An input, or what may become one.
    Batch,
    /// A job's output or errors.
    BatchOutput,
    UserData,
}

impl Purpose {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// What a client may say of a file that it uploads.
    pub const GIVEN: [Self; 2] = [Self::Batch, Self::UserData];
}

impl File {
    pub fn new(id: FileId, bytes: u64, filename: impl Into<String>, purpose: Purpose, created: Timestamp) -> Self {
        Self {
            id,
            object: "file".to_owned(),
            bytes,
            created_at: super::unix(created),
            expires_at: None,
            filename: filename.into(),
            purpose,
            status: "processed".to_owned(),
            status_details: None,
        }
    }

    #[must_use]
    pub fn until(self, expires: Option<Timestamp>) -> Self {
        Self { expires_at: expires.map(super::unix), ..self }
    }
}

/// Some of the files, newest first unless asked for otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiFilePage)]
pub struct FilePage {
    /// `list`.
    pub object: String,
    pub data: Vec<File>,
    #[schema(value_type = Option<String>)]
    pub first_id: Option<FileId>,
    #[schema(value_type = Option<String>)]
    pub last_id: Option<FileId>,
    pub has_more: bool,
}

impl FilePage {
    pub fn new(data: Vec<File>, has_more: bool) -> Self {
        let id = |file: Option<&File>| file.map(|file| file.id);
        let (first_id, last_id) = (id(data.first()), id(data.last()));
        Self { object: "list".to_owned(), data, first_id, last_id, has_more }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Purpose>)]
    pub purpose: Option<String>,
    /// Those after this file: `last_id` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// 1 to 10,000, which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
    /// `desc` (default: newest first) or `asc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^(asc|desc)$")]
    pub order: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiFileDeleted)]
pub struct DeletedFile {
    #[schema(value_type = String)]
    pub id: FileId,
    /// `file`.
    pub object: String,
    pub deleted: bool,
}

/// How long a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpiresAfter {
    pub anchor: Anchor,
    /// 3,600 to 2,592,000.
    pub seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    CreatedAt,
}

impl ExpiresAfter {
    pub const SECONDS: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

    /// None where it is out of bounds.
    pub fn of(seconds: u64) -> Option<Self> {
        Self::SECONDS.contains(&seconds).then_some(Self { anchor: Anchor::CreatedAt, seconds })
    }
}
