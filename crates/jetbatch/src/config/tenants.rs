//! What is said of tenants: the table `[tenants.NAME]`.
use super::Config;
use domain::{Tenant, quota::Limits};
use serde::Deserialize;

/// What is said of one tenant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// What it may have at the doors, over `[limits]`.
    pub limits: Limits,
    /// Where the hooks of its jobs go that name no URL themselves.
    pub webhook_url: Option<String>,
    /// The environment variable that holds the tenant's own secret.
    pub webhook_secret_env: Option<String>,
}

impl Config {
    /// What a tenant may have, where nothing was set since.
    pub fn limits(&self, tenant: Tenant) -> Limits {
        self.tenants.get(&tenant).map_or_else(|| self.limits.clone(), |own| own.limits.over(&self.limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::quota::{Limit, Most};

    #[test]
    fn a_tenant_has_its_own_limits_over_those_of_all() {
        let text = "[limits]\nrunning_jobs = 3\nuploads = 2\n[tenants.blue.limits]\nrunning_jobs = 'unlimited'";
        let config = Config::parse(text).unwrap();
        let get = |tenant: &str, limit| config.limits(tenant.parse().unwrap()).get(limit);
        assert_eq!(get("red", Limit::RunningJobs), Some(Most::Of(3)));
        assert_eq!(get("blue", Limit::RunningJobs), Some(Most::Unlimited));
        assert_eq!((get("blue", Limit::Uploads), get("blue", Limit::StoredBytes)), (Some(Most::Of(2)), None));
    }
}
