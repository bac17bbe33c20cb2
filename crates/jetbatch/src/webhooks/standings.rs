//! How the URLs stand that failed last: in memory, and in the bucket `webhooks` for the next leader.
use crate::bus::{Bucket, Bus, Op, ReadError};
use domain::{
    Timestamp,
    webhook::{Pace, Standing, Target},
};
use std::collections::HashMap;
use wire::bucket;

/// A URL, as a hash: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(String);

impl Place {
    pub fn of(target: &Target) -> Self {
        Self(blake3::hash(target.as_str().as_bytes()).to_hex().to_string())
    }
}

pub struct Standings {
    bucket: Bucket,
    known: HashMap<Place, Standing>,
}

impl Standings {
    /// What cannot be read is found out anew.
    pub async fn open(bus: &Bus) -> Self {
        let bucket = bus.bucket(bucket::WEBHOOKS);
        let known = read(&bucket).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "which webhooks failed last is not known");
            HashMap::new()
        });
        Self { bucket, known }
    }

    pub fn of(&self, place: &Place) -> Option<&Standing> {
        self.known.get(place)
    }

    /// What the bucket has forgotten.
    pub fn forget(&mut self, now: Timestamp) {
        self.known.retain(|_, standing| !standing.is_forgotten(now));
    }

    /// URLs that are switched off.
    pub fn off(&self) -> usize {
        self.known.values().filter(|standing| standing.is_off).count()
    }

    pub async fn taken(&mut self, place: &Place) {
        let Some(before) = self.known.remove(place) else { return };
        if before.is_off {
            tracing::info!(host = before.host, "webhooks to this host are switched on again: one was taken");
        }
        if let Err(error) = self.bucket.delete(&place.0).await {
            tracing::warn!(%error, host = before.host, "that webhooks to this host are taken was not written");
        }
    }

    pub async fn failed(&mut self, place: &Place, host: &str, gone: bool, now: Timestamp, pace: Pace) {
        let before = self.known.get(place);
        let standing = Standing::failed(before, host, gone, now, pace);
        if standing.is_off && !before.is_some_and(|before| before.is_off) {
            let (failures, since_ms) = (standing.failures, standing.since.get());
            tracing::warn!(host, failures, since_ms, gone, "webhooks to this host are switched off");
        }
        let value = serde_json::to_vec(&standing).expect("a standing is plain JSON");
        if let Err(error) = self.bucket.put(&place.0, value).await {
            tracing::warn!(%error, host, "that webhooks to this host failed was not written");
        }
        self.known.insert(place.clone(), standing);
    }
}

async fn read(bucket: &Bucket) -> Result<HashMap<Place, Standing>, ReadError> {
    let (mut watch, mut known) = (bucket.watch(">").await?, HashMap::new());
    while !watch.caught_up() {
        let entry = watch.next().await?;
        let standing = serde_json::from_slice(&entry.value).ok().filter(|_| entry.op == Op::Put);
        known.extend(standing.map(|standing| (Place(entry.key), standing)));
    }
    Ok(known)
}
