//! What all heads tell, as it stands in the bucket: followed, or read once.
use crate::bus::{Bucket, Bus, Entry, Op, ReadError};
use domain::trouble::Scope;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use wire::{Told, bucket};

/// A head that is silent for longer tells nothing any more; it tells three times as often.
const SILENT: Duration = Duration::from_secs(35);
const PAUSE: Duration = Duration::from_secs(1);

/// The values of a bucket of short-lived JSON, and when each came.
pub struct Mirror<T> {
    held: Arc<Mutex<HashMap<String, (T, Instant)>>>,
    _task: AbortOnDropHandle<()>,
}

impl<T: DeserializeOwned + Clone + Send + 'static> Mirror<T> {
    /// Follows the bucket until it is dropped.
    pub fn follow(bucket: Bucket) -> Self {
        let held: Arc<Mutex<_>> = Arc::default();
        let task = tokio::spawn(run(bucket, held.clone()));
        Self { held, _task: AbortOnDropHandle::new(task) }
    }

    /// What came within so long a time.
    pub fn within(&self, time: Duration) -> Vec<(String, T)> {
        let mut held = lock(&self.held);
        held.retain(|_, (_, at)| at.elapsed() < SILENT);
        let fresh = held.iter().filter(|(_, (_, at))| at.elapsed() < time);
        fresh.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }
}

type Values<T> = Mutex<HashMap<String, (T, Instant)>>;

async fn run<T: DeserializeOwned>(bucket: Bucket, held: Arc<Values<T>>) {
    loop {
        let Err(error) = follow(&bucket, &held).await;
        tracing::debug!(%error, "a bucket cannot be followed; trying again");
        sleep(PAUSE).await;
    }
}

async fn follow<T: DeserializeOwned>(bucket: &Bucket, held: &Values<T>) -> Result<Infallible, ReadError> {
    let mut watch = bucket.watch(">").await?;
    loop {
        let Entry { key, value, op, .. } = watch.next().await?;
        match serde_json::from_slice(&value) {
            Ok(value) if op == Op::Put => drop(lock(held).insert(key, (value, Instant::now()))),
            _ => drop(lock(held).remove(&key)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_of_a_room(told: &Told) -> bool {
    !told.is_found && told.trouble.what.stops()
}

/// All that is told.
pub struct Board(Mirror<Told>);

impl Board {
    pub fn follow(bus: &Bus) -> Self {
        Self(Mirror::follow(bus.bucket(bucket::TROUBLES)))
    }

    /// What rooms tell that stops jobs, one trouble a scope: the one that began first.
    pub fn worst(&self) -> HashMap<Scope, Told> {
        let mut worst: HashMap<Scope, Told> = HashMap::new();
        for (_, told) in self.0.within(SILENT).into_iter().filter(|(_, told)| is_of_a_room(told)) {
            let rank = |told: &Told| (told.trouble.since, told.trouble.what);
            match worst.get(&told.scope) {
                Some(held) if rank(held) <= rank(&told) => {}
                Some(_) | None => drop(worst.insert(told.scope.clone(), told)),
            }
        }
        worst
    }
}

/// What stands there now, the oldest first; nothing where there is no bucket.
pub async fn read(bus: &Bus) -> Result<Vec<Told>, ReadError> {
    let mut watch = match bus.bucket(bucket::TROUBLES).watch(">").await {
        Err(ReadError::NoStream { .. }) => return Ok(Vec::new()),
        watch => watch?,
    };
    let mut told: Vec<Told> = Vec::new();
    while !watch.caught_up() {
        let entry = watch.next().await?;
        told.extend(serde_json::from_slice(&entry.value).ok().filter(|_| entry.op == Op::Put));
    }
    told.sort_by_key(|told: &Told| told.trouble.since);
    Ok(told)
}
