//! What signs: a tenant's own secret, or the installation's.
use crate::{
    config::Config,
    sign::{BadSecret, Signer},
};
use domain::Tenant;
use std::collections::HashMap;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("tenants.{tenant}.webhook_secret_env names {name}, which is not in the environment")]
    Missing { tenant: Tenant, name: String },
    #[error("{name}, the secret of the webhooks of tenant '{tenant}'")]
    Bad { tenant: Tenant, name: String, source: BadSecret },
    #[error("webhooks.secret")]
    Common(#[from] BadSecret),
}

pub struct Secrets {
    common: Option<Signer>,
    own: HashMap<Tenant, Signer>,
}

impl Secrets {
    pub fn open(config: &Config) -> Result<Self, Error> {
        let common = config.webhooks.secret.as_ref().map(|secret| Signer::read(secret.reveal())).transpose()?;
        let named = config.tenants.keys().filter_map(|tenant| Some((*tenant, config.webhook_secret_env(*tenant)?)));
        let own = named.map(|(tenant, name)| Ok((tenant, own(tenant, name)?))).collect::<Result<_, Error>>()?;
        Ok(Self { common, own })
    }

    pub fn of(&self, tenant: Tenant) -> Option<&Signer> {
        self.own.get(&tenant).or(self.common.as_ref())
    }
}

fn own(tenant: Tenant, name: &str) -> Result<Signer, Error> {
    let secret = std::env::var(name).map_err(|_| Error::Missing { tenant, name: name.to_owned() })?;
    Signer::read(&secret).map_err(|source| Error::Bad { tenant, name: name.to_owned(), source })
}
