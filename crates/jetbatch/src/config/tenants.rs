//! What is set of a tenant: `[tenants.NAME]`.
use super::{Config, LoadError};
use domain::schedule::Weights;
use serde::Deserialize;

const WEIGHT_MIN: f64 = 0.01;
const WEIGHT_MAX: f64 = 100.0;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// How much of a pool it gets beside others of the same class that have work. Scheduler and forecast read it at their
    /// start; what is sent is no fact, so a changed weight changes nothing that was.
    pub weight: f64,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self { weight: 1.0 }
    }
}

impl Config {
    /// How much each tenant gets beside the others.
    pub fn weights(&self) -> Weights {
        Weights::new(self.tenants.iter().map(|(tenant, config)| (*tenant, config.weight)))
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
}
