//! The worker's name, and what is known under it beyond this process ([`domain::life`]), in the bucket `lives`. Where that
//! cannot be read or written the worker works without, under a name that is its process's alone.
use crate::{
    bus::{Append, Bucket, PublishError, ReadError},
    clock,
    shared::Shared,
};
use domain::{
    Pool, Timestamp, WorkerName,
    health::Order,
    life::{self, Life, NoEngine, Process, Sign},
};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::Mutex, time::timeout};
use wire::{Heartbeat, bucket};

/// Nobody waits longer for what is known.
const WITHIN: Duration = Duration::from_secs(2);
/// Workers of one pool on one machine that get names one after the other.
const NAMES_MAX: u32 = 256;
const HOST_CHARS_MAX: usize = 32;
const TRIES_MAX: u32 = 4;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the worker's life could not be read")]
    Read(#[from] ReadError),
    #[error("the worker's life could not be written")]
    Write(#[from] PublishError),
}

/// A name that this process has.
pub struct Tenure {
    pub name: String,
    pool: Pool,
    bucket: Bucket,
    /// None: nothing is known, and nothing kept.
    life: Option<Mutex<Life>>,
    done: AtomicU32,
}

impl Tenure {
    /// The configured name, whoever has it; else the first of its machine's and its pool's that nobody has.
    pub async fn open(shared: &Shared, pool: &Pool) -> Self {
        let lives = Lives { bucket: shared.bus.bucket(bucket::LIVES), beats: shared.bus.bucket(bucket::WORKERS), pool };
        let configured = shared.config.worker.name.as_deref().filter(|name| !name.is_empty());
        let found = timeout(WITHIN, lives.claim(configured)).await;
        let (name, life) = match found {
            Ok(Ok(Some((name, life)))) => (name, Some(Mutex::new(life))),
            Ok(Ok(None)) | Err(_) => (configured.map_or_else(super::name, str::to_owned), None),
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "what is known of the worker is not used");
                (configured.map_or_else(super::name, str::to_owned), None)
            }
        };
        Self { name, pool: pool.clone(), bucket: lives.bucket, life, done: AtomicU32::new(0) }
    }

    /// Processes before this one that died at work, and what the worker was told.
    pub async fn known(&self) -> (u32, Option<Order>) {
        let Some(life) = &self.life else { return (0, None) };
        let life = life.lock().await;
        (life.deaths, life.order)
    }

    /// It begins to take work: where it is gone now, it has died.
    pub async fn works(&self) {
        self.change(|life| Life { at_work: true, ..life }).await;
    }

    pub async fn told(&self, order: Order) {
        self.change(|life| life.told(order)).await;
    }

    pub async fn done(&self) {
        let chunks = self.done.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if matches!(chunks, life::TRIALS | life::FORGIVEN_AFTER) {
            self.change(|life| life.done(chunks)).await;
        }
    }

    /// Its model is loaded, so that no worker's reason why it could not be counts any more.
    pub async fn loaded(&self) {
        self.change(|life| Life { no_engine: None, ..life }).await;
        if timeout(WITHIN, self.forget_reasons()).await.is_err() {
            tracing::debug!("why a model could not be loaded is not forgotten yet");
        }
    }

    async fn forget_reasons(&self) -> Result<(), Error> {
        for Kept { key, life, rev } in lives(&self.bucket, self.pool.as_str()).await? {
            if life.no_engine.is_some() {
                // Who changes it meanwhile has an engine, or a newer reason.
                self.bucket.update(&key, json(&Life { no_engine: None, ..life }), rev).await?;
            }
        }
        Ok(())
    }

    /// Its model cannot be loaded, and it ends.
    pub async fn unloadable(&self, since: Timestamp, why: String) {
        self.change(|life| Life { no_engine: Some(NoEngine { since, why }), ..life.ended() }).await;
    }

    pub async fn ended(&self) {
        self.change(Life::ended).await;
    }

    /// Who is likely to have been lost with a chunk that was not heard of again.
    pub async fn suspect(&self) -> Option<String> {
        self.life.as_ref()?;
        let lives = timeout(WITHIN, lives(&self.bucket, self.pool.as_str())).await.ok()?.ok()?;
        let deaths = lives.iter().filter_map(|kept| Some((kept.key.split_once('.')?.1, kept.life.deaths)));
        life::suspect(deaths).map(str::to_owned)
    }

    async fn change(&self, change: impl FnOnce(Life) -> Life) {
        let Some(life) = &self.life else { return };
        let mut life = life.lock().await;
        let changed = change(life.clone());
        if changed == *life {
            return;
        }
        *life = changed;
        let key = key(&self.pool, &self.name);
        let put = self.bucket.put(&key, json(&life));
        if !matches!(timeout(WITHIN, put).await, Ok(Ok(_))) {
            tracing::debug!(worker = self.name, "what is known of the worker was not stored");
        }
    }
}

struct Lives<'a> {
    bucket: Bucket,
    beats: Bucket,
    pool: &'a Pool,
}

impl Lives<'_> {
    async fn claim(&self, configured: Option<&str>) -> Result<Option<(String, Life)>, Error> {
        if let Some(name) = configured {
            return Ok(self.take(name, true).await?.map(|life| (name.to_owned(), life)));
        }
        for number in 1..=NAMES_MAX {
            let name = named(self.pool, number);
            if let Some(life) = self.take(&name, false).await? {
                return Ok(Some((name, life)));
            }
        }
        Ok(None)
    }

    /// None: another process has it, or others took it at the same moment.
    async fn take(&self, name: &str, is_given: bool) -> Result<Option<Life>, Error> {
        let (key, own) = (key(self.pool, name), process());
        for _ in 0..TRIES_MAX {
            let (before, rev) = match self.bucket.get(&key).await? {
                Some((bytes, rev)) => (serde_json::from_slice::<Life>(&bytes).unwrap_or_default(), rev),
                None => (Life::default(), 0),
            };
            let sign = before.process.as_ref().map_or(Sign::Gone, |process| look(process, &own));
            let is_held = before.is_held(sign, self.beat_ms(&key).await?, clock::now());
            if is_held && !is_given {
                return Ok(None);
            }
            let life = before.next(own.clone(), is_held);
            if let Append::Stored(_) = self.bucket.update(&key, json(&life), rev).await? {
                return Ok(Some(life));
            }
        }
        Ok(None)
    }

    /// How long ago the worker of this name beat.
    async fn beat_ms(&self, key: &str) -> Result<Option<u64>, ReadError> {
        let beat = self.beats.get(key).await?;
        let beat = beat.and_then(|(bytes, _)| serde_json::from_slice::<Heartbeat>(&bytes).ok());
        Ok(beat.map(|beat| clock::now().since(beat.at)))
    }
}

/// A life as it stands in the bucket.
struct Kept {
    key: String,
    life: Life,
    rev: u64,
}

/// All that is known of a pool's workers.
async fn lives(bucket: &Bucket, pool: &str) -> Result<Vec<Kept>, ReadError> {
    let mut lives = Vec::new();
    for key in bucket.keys_below(pool).await? {
        let Some((bytes, rev)) = bucket.get(&key).await? else { continue };
        lives.extend(serde_json::from_slice(&bytes).ok().map(|life| Kept { key, life, rev }));
    }
    Ok(lives)
}

fn json(life: &Life) -> Vec<u8> {
    serde_json::to_vec(life).expect("a life is plain JSON")
}

/// As of its heartbeat.
fn key(pool: &Pool, name: &str) -> String {
    Heartbeat::key(pool, name)
}

fn named(pool: &Pool, number: u32) -> String {
    let whole = format!("{}-{pool}", super::host(HOST_CHARS_MAX));
    let name = if number == 1 { whole } else { format!("{whole}-{number}") };
    WorkerName::of(&name).to_string()
}

fn process() -> Process {
    let space = std::fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
    Process {
        host: super::host(usize::MAX),
        space: space.unwrap_or_default(),
        pid: std::process::id(),
        started: clock::now(),
    }
}

/// Whether a process is there. One with our own number was there before us.
fn look(process: &Process, own: &Process) -> Sign {
    if (&process.host, &process.space) != (&own.host, &own.space) {
        return Sign::Unseen;
    }
    let is_there = || match i32::try_from(process.pid) {
        Ok(pid) => !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)),
        Err(_) => false,
    };
    if process.pid != own.pid && is_there() { Sign::There } else { Sign::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_seen_where_they_run() {
        let own = process();
        let of = |pid| Process { pid, ..own.clone() };
        assert_eq!(look(&of(std::os::unix::process::parent_id()), &own), Sign::There);
        assert_eq!([look(&own, &own), look(&of(u32::MAX), &own)], [Sign::Gone; 2]);
        assert_eq!(look(&Process { space: "another".into(), ..own.clone() }, &own), Sign::Unseen);
    }

    #[test]
    fn names_are_of_machine_and_pool() {
        let pool: Pool = "tiny".parse().unwrap();
        assert!(named(&pool, 1).ends_with("-tiny") && named(&pool, 2).ends_with("-tiny-2"));
    }
}
