//! What is to be told to a URL.
use domain::{
    JobId, Tenant,
    webhook::{HookId, Topic},
};
use serde::{Deserialize, Serialize};

/// A hook as it waits in HOOKS, as JSON, until it is taken or given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub id: HookId,
    #[serde(rename = "type")]
    pub topic: Topic,
    pub job: JobId,
    /// Whose secret signs it.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    pub url: String,
    /// What is sent, to the byte.
    pub body: String,
}
