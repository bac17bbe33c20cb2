//! Tenants' limits on NATS: the bucket `limits` has what was set for each, over what heads are configured to.
mod rules;

pub use rules::Rules;

use crate::{
    bus::{Append, Bucket, Bus, Entry, Op, PublishError, ReadError},
    config::Config,
};
use api::{AllLimits, Kind, TenantLimits};
use domain::{Tenant, quota::Limits};
use std::collections::{BTreeMap, BTreeSet};
use wire::{StoredLimits, bucket};

/// Of one who writes against others who write the same record.
const TRIES_MAX: u32 = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("others change the limits of tenant {0} at the same time; try again")]
    Contended(Tenant),
    #[error("the limits could not be read")]
    Read(#[from] ReadError),
    #[error("the limits could not be stored")]
    Write(#[from] PublishError),
}

/// Where they are.
pub fn bucket(bus: &Bus) -> Bucket {
    bus.bucket(bucket::LIMITS)
}

/// What was set, by tenant. What cannot be read is left out.
pub async fn list(bucket: &Bucket) -> Result<BTreeMap<Tenant, Limits>, Error> {
    let (mut watch, mut all) = (bucket.watch(">").await?, BTreeMap::new());
    while !watch.caught_up() {
        all.extend(read(&watch.next().await?));
    }
    Ok(all)
}

/// What was set for one.
pub async fn find(bucket: &Bucket, tenant: Tenant) -> Result<Limits, Error> {
    let entry = bucket.last(tenant.as_str()).await?;
    Ok(entry.and_then(|entry| read(&entry)).map(|(_, limits)| limits).unwrap_or_default())
}

/// What tenants may have, where a head is so configured and this was set.
pub fn shown(config: &Config, set: &BTreeMap<Tenant, Limits>) -> AllLimits {
    let tenants: BTreeSet<Tenant> = config.tenants.keys().chain(set.keys()).copied().collect();
    let one = |tenant| {
        let set = set.get(&tenant).cloned().unwrap_or_default();
        let limits = set.over(&config.limits(tenant));
        TenantLimits { object: Kind::Limits, tenant, limits, set, used: None }
    };
    AllLimits { object: Kind::List, default: config.limits.clone(), data: tenants.into_iter().map(one).collect() }
}

/// Changes what is set for a tenant. Compared and set, so that nobody's change is written over unseen.
pub async fn change(bucket: &Bucket, tenant: Tenant, to: impl Fn(Limits) -> Limits) -> Result<Limits, Error> {
    for _ in 0..TRIES_MAX {
        let entry = bucket.last(tenant.as_str()).await?;
        let (old, rev) = entry.map_or_else(Default::default, |entry| {
            let limits = read(&entry).map(|(_, limits)| limits).unwrap_or_default();
            (limits, entry.rev)
        });
        let limits = to(old);
        let json = serde_json::to_vec(&StoredLimits::new(limits.clone())).expect("limits are plain JSON");
        if let Append::Stored(_) = bucket.update(tenant.as_str(), json, rev).await? {
            return Ok(limits);
        }
    }
    Err(Error::Contended(tenant))
}

/// None: it is gone, or of a newer jetbatch.
fn read(entry: &Entry) -> Option<(Tenant, Limits)> {
    let stored = serde_json::from_slice::<StoredLimits>(&entry.value).ok().filter(|_| entry.op == Op::Put)?;
    let limits = Some(stored.limits).filter(|_| stored.v <= StoredLimits::VERSION)?;
    Some((entry.key.parse().ok()?, limits))
}
