use crate::Kind;
use domain::{Tenant, quota::Limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a tenant may have, and has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantLimits {
    pub object: Kind,
    pub tenant: Tenant,
    /// What holds. What is not there is without limit.
    pub limits: Limits,
    /// What of it was set since the heads were configured.
    pub set: Limits,
    /// Left out in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
}

/// What a tenant has of what can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    pub running_jobs: u64,
    pub queued_requests: u64,
    pub stored_bytes: u64,
    /// At this door.
    pub uploads: u64,
}

/// What tenants may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllLimits {
    pub object: Kind,
    /// Of tenants of which nothing is said.
    pub default: Limits,
    /// Tenants of which something is said, by name.
    pub data: Vec<TenantLimits>,
}
