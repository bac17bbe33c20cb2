//! What webhooks may do, and where a tenant's go.
use super::{Config, LoadError};
use crate::{bus::Secret, sign::Signer};
use domain::{
    Tenant,
    webhook::{Fault, NONE, Pace, Rule, Target},
};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// `whsec_...`: signs the hooks of every tenant that has no secret of its own. While it is changed, the new one and the
    /// old one with a blank between them.
    pub secret: Option<Secret>,
    /// Whether hooks may go to addresses that are not on the Internet.
    pub allow_private: bool,
    /// Whether hooks may go without TLS.
    pub allow_http: bool,
    /// Before a hook that failed is tried again: doubled each time, to an hour.
    pub first_ms: u64,
    /// How long a hook is tried. A URL that only fails for so long is switched off for as long.
    pub retry_s: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { secret: None, allow_private: false, allow_http: false, first_ms: 5_000, retry_s: 86_400 }
    }
}

impl Webhooks {
    pub const fn rule(&self) -> Rule {
        Rule { allow_private: self.allow_private, allow_http: self.allow_http }
    }

    pub const fn pace(&self) -> Pace {
        Pace { first_ms: self.first_ms, retry_ms: self.retry_s.saturating_mul(1_000) }
    }
}

/// Why a job's hooks may not go where it wants them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MayNot {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("'webhook_url' is not taken here: nothing signs webhooks; set webhooks.secret (docs/webhooks.md)")]
    NoSecret,
}

impl Config {
    /// Whether a job's hooks may go where it wants them.
    pub fn check_webhook(&self, tenant: Tenant, url: &str) -> Result<(), MayNot> {
        if url == NONE { Ok(()) } else { self.may_call(tenant, url).map(drop) }
    }

    /// A URL that a tenant's hooks may go to.
    fn may_call(&self, tenant: Tenant, url: &str) -> Result<Target, MayNot> {
        let target = Target::read(url)?;
        self.webhooks.rule().check(&target)?;
        if self.webhook_secret_env(tenant).is_none() && self.webhooks.secret.is_none() {
            return Err(MayNot::NoSecret);
        }
        Ok(target)
    }

    /// Where the hooks of a tenant's job go.
    pub fn webhook_url<'a>(&'a self, tenant: Tenant, job: Option<&'a str>) -> Option<&'a str> {
        job.or_else(|| self.tenants.get(&tenant)?.webhook_url.as_deref()).filter(|url| *url != NONE)
    }

    /// Of the tenant's own secret.
    pub fn webhook_secret_env(&self, tenant: Tenant) -> Option<&str> {
        self.tenants.get(&tenant)?.webhook_secret_env.as_deref()
    }

    pub(super) fn check_webhooks(&self) -> Result<(), LoadError> {
        let fault = |key: String, why: String| LoadError::Webhook { key, why };
        if let Some(secret) = &self.webhooks.secret {
            let read = Signer::read(secret.reveal());
            read.map_err(|why| fault("webhooks.secret".to_owned(), why.to_string()))?;
        }
        for (tenant, set) in &self.tenants {
            let told = set.webhook_url.as_deref().map(|url| self.may_call(*tenant, url)).transpose();
            told.map_err(|why| fault(format!("tenants.{tenant}.webhook_url"), why.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn a_jobs_own_url_comes_before_its_tenants() {
        let text = format!("[webhooks]\nsecret = '{SECRET}'\n[tenants.blue]\nwebhook_url = 'https://blue.example/h'");
        let config = Config::parse(&text).unwrap();
        let (blue, red) = ("blue".parse().unwrap(), Tenant::default());
        assert_eq!(config.webhook_url(blue, None), Some("https://blue.example/h"));
        assert_eq!(config.webhook_url(blue, Some("https://own.example")), Some("https://own.example"));
        assert_eq!((config.webhook_url(red, None), config.webhook_url(blue, Some("none"))), (None, None));
        assert_eq!(config.may_call(red, "https://10.0.0.1"), Err(MayNot::Fault(Fault::Private)));
        assert!(!format!("{config:?}").contains("MfKQ"));
    }

    #[test]
    fn what_cannot_be_signed_or_called_is_refused_at_the_start() {
        let blue = "[tenants.blue]\nwebhook_url = 'https://blue.example/h'";
        for (text, word) in [
            (blue.to_owned(), "tenants.blue.webhook_url: 'webhook_url' is not taken here"),
            (format!("[webhooks]\nsecret = '{SECRET}'\n{}", blue.replace("https", "http")), "webhooks.allow_http"),
            ("[webhooks]\nsecret = 'hunter2'".to_owned(), "webhooks.secret: a secret must be"),
            ("[webhooks]\nretry_s = 9999999".to_owned(), "webhooks.retry_s"),
        ] {
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
        }
        assert!(Config::parse(&format!("{blue}\nwebhook_secret_env = 'BLUE'")).is_ok());
        assert_eq!(Config::default().may_call(Tenant::default(), "https://a.example"), Err(MayNot::NoSecret));
    }
}
