//! Does a fault, holds it, and heals it.
use crate::{
    nats::{Nats, Watch},
    plan::{Cache, Ill, Injection, Kind, Target},
    run::now_ms,
    stand::{Process, Stand, Switch},
};
use async_nats::jetstream::{self, ErrorCode};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, sleep},
};

/// The nodes may take so long to find each other, and work to go on, before the next of them is hurt.
const HEALTH_WITHIN: Duration = Duration::from_secs(30);
const ASK_WITHIN: Duration = Duration::from_secs(20);
/// What was done must be undone, however long it takes.
const HEAL_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);
/// How long an engine that flaps is bad, and then well.
const FLAP: Duration = Duration::from_millis(700);

/// What became of a fault.
#[derive(Debug)]
pub enum Done {
    Injected,
    /// It had nothing to break, or no means to.
    Skipped(String),
}

pub struct Faults {
    stand: Arc<Stand>,
    nats: Nats,
    watch: Watch,
    /// At most one node is hurt at a time. When the last one was.
    cluster: Arc<Mutex<u64>>,
    store: Arc<Mutex<()>>,
}

/// What is broken and not yet healed belongs to this fault alone.
pub enum Hold {
    Process(OwnedMutexGuard<Process>),
    Cluster {
        _guard: OwnedMutexGuard<u64>,
    },
    /// The store and the streams.
    Place {
        _guard: OwnedMutexGuard<()>,
    },
}

impl Faults {
    pub fn new(stand: Arc<Stand>, nats: Nats, watch: Watch) -> Self {
        Self { stand, nats, watch, cluster: Arc::default(), store: Arc::default() }
    }

    /// Waits until nobody else's fault is in the way.
    pub async fn hold(&self, fault: &Injection) -> Hold {
        match fault.kind {
            Kind::Kill(Target::Worker(n)) | Kind::Freeze(Target::Worker(n)) | Kind::Spoil(_, n) => {
                Hold::Process(self.stand.workers[usize::from(n)].clone().lock_owned().await)
            }
            Kind::Kill(Target::Head(n)) | Kind::Freeze(Target::Head(n)) => {
                Hold::Process(self.stand.heads[usize::from(n)].process.clone().lock_owned().await)
            }
            Kind::Kill(Target::Node(_)) | Kind::Freeze(Target::Node(_)) | Kind::Cut(_) | Kind::RestartAll => {
                let mut _guard = self.cluster.clone().lock_owned().await;
                self.calm(*_guard).await;
                *_guard = now_ms();
                Hold::Cluster { _guard }
            }
            Kind::Delete(_) | Kind::FillStore | Kind::LoseStore | Kind::FillStream(_) | Kind::PurgeResults => {
                Hold::Place { _guard: self.store.clone().lock_owned().await }
            }
        }
    }

    /// Waits until the nodes have found each other and work has gone on since one of them was hurt: elections that
    /// begin anew before they are over would never end.
    async fn calm(&self, since_ms: u64) {
        let until = Instant::now() + HEALTH_WITHIN;
        self.healthy(HEALTH_WITHIN).await;
        while !self.watch.log().went_on(since_ms) && Instant::now() < until {
            sleep(PAUSE).await;
        }
    }

    pub async fn healthy(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while !self.stand.cluster.is_healthy().await {
            if Instant::now() > until {
                return false;
            }
            sleep(PAUSE).await;
        }
        true
    }

    pub async fn perform(&self, fault: &Injection, hold: Hold) -> io::Result<Done> {
        let time = Duration::from_millis(fault.hold_ms);
        match (fault.kind, hold) {
            (Kind::Kill(_), Hold::Process(process)) => self.kill(process, time).await,
            (Kind::Freeze(_), Hold::Process(process)) => freeze(process, time).await,
            (Kind::Kill(Target::Node(n)), _) => self.kill(self.node(n).await, time).await,
            (Kind::Freeze(Target::Node(n)), _) => freeze(self.node(n).await, time).await,
            (Kind::Cut(n), _hold) => self.cut(n, time).await,
            (Kind::RestartAll, _hold) => self.restart_all(time).await,
            (Kind::Delete(cache), _hold) => Ok(self.delete(cache).await),
            (Kind::FillStore, _hold) => self.fill_store(time).await,
            (Kind::LoseStore, _hold) => self.lose_store(time).await,
            (Kind::FillStream(cache), _hold) => self.fill_stream(cache, time).await,
            (Kind::PurgeResults, _hold) => Ok(self.purge_results().await),
            (Kind::Spoil(ill, n), _hold) => self.spoil(ill, n, time).await,
            (Kind::Kill(_) | Kind::Freeze(_), _) => Ok(Done::Skipped("nothing is held".to_owned())),
        }
    }

    async fn spoil(&self, ill: Ill, worker: u8, time: Duration) -> io::Result<Done> {
        if !self.stand.has_switches {
            return Ok(Done::Skipped("a model cannot be told to misbehave".to_owned()));
        }
        let switch = match ill {
            Ill::Fails | Ill::Flaps => Switch::fail(&self.stand.dir, worker),
            Ill::Hangs => Switch::hang(&self.stand.dir, worker),
        };
        match ill {
            Ill::Fails | Ill::Hangs => switch.hold(time).await?,
            Ill::Flaps => {
                let until = Instant::now() + time;
                while Instant::now() < until {
                    switch.hold(FLAP).await?;
                    sleep(FLAP).await;
                }
            }
        }
        Ok(Done::Injected)
    }

    async fn node(&self, number: u8) -> OwnedMutexGuard<Process> {
        self.stand.cluster.nodes[usize::from(number)].process.clone().lock_owned().await
    }

    async fn kill(&self, mut process: OwnedMutexGuard<Process>, time: Duration) -> io::Result<Done> {
        process.kill().await?;
        sleep(time).await;
        process.start(&self.stand.dir)?;
        Ok(Done::Injected)
    }

    async fn cut(&self, number: u8, time: Duration) -> io::Result<Done> {
        let gate = &self.stand.cluster.nodes[usize::from(number)].gate;
        gate.cut();
        sleep(time).await;
        gate.heal();
        Ok(Done::Injected)
    }

    async fn restart_all(&self, time: Duration) -> io::Result<Done> {
        let mut nodes = Vec::new();
        for node in &self.stand.cluster.nodes {
            nodes.push(node.process.clone().lock_owned().await);
        }
        for node in &mut nodes {
            node.kill().await?;
        }
        sleep(time).await;
        nodes.iter_mut().try_for_each(|node| node.start(&self.stand.dir))?;
        Ok(Done::Injected)
    }

    async fn delete(&self, cache: Cache) -> Done {
        let until = Instant::now() + ASK_WITHIN;
        loop {
            let why = match self.nats.js.delete_stream(cache.stream()).await {
                Ok(_) => return Done::Injected,
                Err(error) => error,
            };
            let is_absent = matches!(why.kind(), jetstream::context::DeleteStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
            if is_absent || Instant::now() > until {
                return Done::Skipped(why.to_string());
            }
            sleep(PAUSE).await;
        }
    }

    async fn purge_results(&self) -> Done {
        let until = Instant::now() + ASK_WITHIN;
        loop {
            let why = match self.nats.js.get_stream(Cache::Results.stream()).await {
                Ok(stream) => match stream.purge().await {
                    Ok(purged) if purged.purged == 0 => return Done::Skipped("RESULTS is empty".to_owned()),
                    Ok(_) => return Done::Injected,
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() > until {
                return Done::Skipped(why);
            }
            sleep(PAUSE).await;
        }
    }

    async fn fill_store(&self, time: Duration) -> io::Result<Done> {
        if !self.stand.disk.fill() {
            return Ok(Done::Skipped("the store has no disk of its own".to_owned()));
        }
        sleep(time).await;
        self.stand.disk.free();
        Ok(Done::Injected)
    }

    async fn lose_store(&self, time: Duration) -> io::Result<Done> {
        self.stand.disk.lose()?;
        sleep(time).await;
        self.stand.disk.find()?;
        Ok(Done::Injected)
    }

    async fn fill_stream(&self, cache: Cache, time: Duration) -> io::Result<Done> {
        let Some((bytes, most)) = self.bound(cache, None, ASK_WITHIN).await else {
            return Ok(Done::Skipped(format!("{} cannot be read", cache.stream())));
        };
        if self.bound(cache, Some(bytes.max(1)), ASK_WITHIN).await.is_none() {
            return Ok(Done::Skipped(format!("{} cannot be changed", cache.stream())));
        }
        sleep(time).await;
        let healed = self.bound(cache, Some(most), HEAL_WITHIN).await;
        healed.map(|_| Done::Injected).ok_or_else(|| io::Error::other("a full stream could not be healed"))
    }

    /// The bytes that a stream holds and may hold, after it was given another bound.
    async fn bound(&self, cache: Cache, most: Option<i64>, within: Duration) -> Option<(i64, i64)> {
        let until = Instant::now() + within;
        loop {
            match self.try_bound(cache, most).await {
                Ok(found) => return Some(found),
                Err(_) if Instant::now() > until => return None,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn try_bound(
        &self,
        cache: Cache,
        most: Option<i64>,
    ) -> Result<(i64, i64), Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.nats.js.get_stream(cache.stream()).await?;
        let info = stream.cached_info();
        if let Some(max_bytes) = most {
            self.nats.js.update_stream(jetstream::stream::Config { max_bytes, ..info.config.clone() }).await?;
        }
        Ok((i64::try_from(info.state.bytes).unwrap_or(i64::MAX), info.config.max_bytes))
    }
}

async fn freeze(process: OwnedMutexGuard<Process>, time: Duration) -> io::Result<Done> {
    process.freeze();
    sleep(time).await;
    process.thaw();
    Ok(Done::Injected)
}
