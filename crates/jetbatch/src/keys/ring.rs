//! The keys as a door knows them: it follows their bucket, so that one that is revoked anywhere is revoked here a moment
//! later, and no request waits for NATS.
use super::{is_of, read};
use crate::{
    bus::{Bucket, Entry, ReadError},
    clock,
};
use domain::key::{Key, KeyId, Refused, Standing, Token};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Known = HashMap<KeyId, Arc<Key>>;

#[derive(Default)]
pub struct Ring {
    known: RwLock<Known>,
    /// Whether the bucket was read to its end once.
    complete: watch::Sender<bool>,
}

impl Ring {
    /// Follows the bucket until `stop`.
    pub async fn run(&self, bucket: Bucket, stop: CancellationToken) {
        while let Some(Err(error)) = stop.run_until_cancelled(self.follow(&bucket)).await {
            tracing::warn!(%error, "the bucket of keys cannot be watched; trying again");
            stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
        }
    }

    /// All are read before any is forgotten: one that is not there any more is not taken any more.
    async fn follow(&self, bucket: &Bucket) -> Result<Infallible, ReadError> {
        let (mut watch, mut all) = (bucket.watch(">").await?, Known::new());
        while !watch.caught_up() {
            put(&mut all, &watch.next().await?);
        }
        *self.write() = all;
        self.complete.send_replace(true);
        loop {
            let entry = watch.next().await?;
            put(&mut self.write(), &entry);
        }
    }

    /// What this door has just written need not come round first.
    pub fn note(&self, key: Key) {
        self.write().insert(key.id, Arc::new(key));
    }

    /// Resolves when all keys are known.
    pub async fn completed(&self) {
        // The sender is `self`, so it cannot be gone.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The key of a token, where it is taken now.
    pub fn find(&self, token: &Token) -> Result<Arc<Key>, Refused> {
        let key = self.read().get(&token.id).cloned().ok_or(Refused::Unknown)?;
        key.check(clock::now(), |digest| is_of(digest, token)).map(|()| key)
    }

    /// Whether a key that was taken is taken still.
    pub fn is_valid(&self, id: KeyId) -> bool {
        self.read().get(&id).is_some_and(|key| key.standing(clock::now()) == Standing::Valid)
    }

    /// Whether no key is taken.
    pub fn is_empty(&self) -> bool {
        self.read().values().all(|key| key.standing(clock::now()) != Standing::Valid)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record that cannot be read is no key that is taken.
fn put(known: &mut Known, entry: &Entry) {
    let Ok(id) = entry.key.parse() else { return };
    match read(entry) {
        Some(key) => drop(known.insert(id, Arc::new(key))),
        None => drop(known.remove(&id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bus::Op, keys::digest};
    use domain::{Tenant, key::Draft, key::Roles};

    #[test]
    fn a_ring_is_what_was_written_last() {
        let (ring, token) = (Ring::default(), Token { id: KeyId::new(7), secret: [3; 32] });
        let (tenant, roles, pools) = (Tenant::default(), Roles::common(), Vec::new());
        let draft = Draft { name: "a".into(), tenant, roles, pools, expires_in: None };
        let mut key = draft.key(token.id, digest(&token), clock::now()).unwrap();
        assert_eq!(ring.find(&token), Err(Refused::Unknown));
        let put = |key: &Key, op| {
            let (name, value) = (key.id.to_string(), super::super::json(key).into());
            put(&mut ring.write(), &Entry { key: name, value, rev: 1, op, time_ms: 0, pending: 0 });
        };
        put(&key, Op::Put);
        assert!(ring.find(&token).is_ok() && ring.is_valid(token.id) && !ring.is_empty());
        assert_eq!(ring.find(&Token { secret: [4; 32], ..token.clone() }), Err(Refused::Unknown));
        key.revoke(clock::now());
        put(&key, Op::Put);
        assert_eq!(ring.find(&token), Err(Refused::Revoked));
        assert!(ring.is_empty() && !ring.is_valid(token.id));
        put(&key, Op::Delete);
        assert_eq!(ring.find(&token), Err(Refused::Unknown));
    }
}
