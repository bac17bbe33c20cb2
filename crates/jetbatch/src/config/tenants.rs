//! What is set of a tenant: the table `[tenants.NAME]`.
use super::{Config, LoadError};
use domain::{Tenant, quota::Limits, schedule::Weights};
use serde::Deserialize;

const WEIGHT_MIN: f64 = 0.01;
const WEIGHT_MAX: f64 = 100.0;

/// What is set of one tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// How much of a pool it gets beside others of the same class that have work. Scheduler and forecast read it at their
    /// start; what is sent is no fact, so a changed weight changes nothing that was.
    pub weight: f64,
    /// What it may have at the doors, over `[limits]`.
    pub limits: Limits,
    /// Where the hooks of its jobs go that name no URL themselves.
    pub webhook_url: Option<String>,
    /// The environment variable that holds the tenant's own secret.
    pub webhook_secret_env: Option<String>,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self { weight: 1.0, limits: Limits::default(), webhook_url: None, webhook_secret_env: None }
    }
}

impl Config {
    /// How much each tenant gets beside the others.
    pub fn weights(&self) -> Weights {
        Weights::new(self.tenants.iter().map(|(tenant, config)| (*tenant, config.weight)))
    }

    /// What a tenant may have, where nothing was set since.
    pub fn limits(&self, tenant: Tenant) -> Limits {
        self.tenants.get(&tenant).map_or_else(|| self.limits.clone(), |own| own.limits.over(&self.limits))
    }

    pub(super) fn check_tenants(&self) -> Result<(), LoadError> {
        let bad = |config: &TenantConfig| !(WEIGHT_MIN..=WEIGHT_MAX).contains(&config.weight);
        match self.tenants.iter().find(|(_, config)| bad(config)) {
            Some((tenant, config)) => Err(LoadError::Weight { tenant: *tenant, weight: config.weight }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::quota::{Limit, Most};

    #[test]
    fn a_tenant_weighs_one_unless_it_is_set() {
        let weights = Config::parse("[tenants.blue]\nweight = 2.5\n[tenants.red]").unwrap().weights();
        let of = |tenant: &str| weights.of(tenant.parse().unwrap());
        assert_eq!((of("blue"), of("red"), of("green")), (2.5, 1.0, 1.0));
        for bad in ["0", "-1", "nan", "1000"] {
            let error = Config::parse(&format!("[tenants.blue]\nweight = {bad}")).unwrap_err().to_string();
            assert!(error.contains("tenants.blue.weight"), "{error}");
        }
    }

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
