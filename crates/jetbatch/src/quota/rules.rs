//! What was set for tenants as a door knows it: it follows the bucket, so that a change anywhere counts here a moment
//! later, and no request waits for NATS.
use super::read;
use crate::bus::{Bucket, Entry, ReadError};
use domain::{Tenant, quota::Limits};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

type Known = HashMap<Tenant, Limits>;

#[derive(Default)]
pub struct Rules(RwLock<Known>);

impl Rules {
    /// Follows the bucket until `stop`.
    pub async fn run(&self, bucket: Bucket, stop: CancellationToken) {
        while let Some(Err(error)) = stop.run_until_cancelled(self.follow(&bucket)).await {
            tracing::warn!(%error, "the bucket of limits cannot be watched; trying again");
            stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
        }
    }

    /// All are read before any is forgotten.
    async fn follow(&self, bucket: &Bucket) -> Result<Infallible, ReadError> {
        let (mut watch, mut all) = (bucket.watch(">").await?, Known::new());
        while !watch.caught_up() {
            put(&mut all, &watch.next().await?);
        }
        *self.write() = all;
        loop {
            let entry = watch.next().await?;
            put(&mut self.write(), &entry);
        }
    }

    /// What this door has just written need not come round first.
    pub fn note(&self, tenant: Tenant, limits: Limits) {
        self.write().insert(tenant, limits);
    }

    /// What was set for a tenant.
    pub fn of(&self, tenant: Tenant) -> Limits {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned().unwrap_or_default()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cannot be read sets nothing.
fn put(known: &mut Known, entry: &Entry) {
    let Ok(tenant) = entry.key.parse() else { return };
    match read(entry) {
        Some((_, limits)) => drop(known.insert(tenant, limits)),
        None => drop(known.remove(&tenant)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Op;
    use domain::quota::{Limit, Most};

    #[test]
    fn the_last_that_was_set_counts() {
        let (rules, blue) = (Rules::default(), "blue".parse().unwrap());
        let put = |json: &str, op| {
            let value = json.to_owned().into();
            put(&mut rules.write(), &Entry { key: "blue".into(), value, rev: 1, op, time_ms: 0, pending: 0 });
        };
        put(r#"{"v":1,"limits":{"uploads":2}}"#, Op::Put);
        assert_eq!(rules.of(blue).get(Limit::Uploads), Some(Most::Of(2)));
        assert!(rules.of(Tenant::default()).is_empty());
        put(r#"{"v":9,"limits":{"uploads":3}}"#, Op::Put);
        assert!(rules.of(blue).is_empty(), "what a newer jetbatch means is not known");
        put(r#"{"v":1,"limits":{"uploads":2}}"#, Op::Put);
        put("", Op::Delete);
        assert!(rules.of(blue).is_empty());
    }
}
