//! What is known of an uploaded file beside its bytes.
use domain::{Tenant, Timestamp};
use serde::{Deserialize, Serialize};

/// A record in the bucket `files`, as JSON, by the upload's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub v: u32,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    pub filename: String,
    pub purpose: String,
    pub bytes: u64,
    pub created: Timestamp,
    /// From then on it is not there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}
