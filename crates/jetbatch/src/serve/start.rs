use super::{
    Error, Role, Roles, Running,
    door::{self, Loading},
    engines,
};
use crate::{
    archiver,
    bus::{self, Bus, server, server::Server},
    config::{Config, PoolConfig},
    control, gateway, installation, intake, lease,
    log::Feed,
    metrics::Metrics,
    projector, scheduler,
    shared::Shared,
    streams::DECLARED,
    troubles::Troubles,
    webhooks, worker,
};
use domain::Pool;
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use store::{Store, StoreError};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// The longest wait for the store's first answer.
const STORE_WITHIN: Duration = Duration::from_secs(5);

/// Brings up NATS where none is configured, the streams, the store, and then the rooms. It does not wait for models:
/// a worker loads its own before it takes work.
pub async fn start(config: Config, roles: Roles) -> Result<Running, Error> {
    if config.pools.is_empty() {
        return Err(Error::NoPools);
    }
    super::rlimit::raise();
    if roles.has(Role::Webhooks) {
        webhooks::check(&config).map_err(|e| Error::Room { role: Role::Webhooks, source: e.into() })?;
    }
    let (server, nats) = nats(&config).await?;
    let config = Config { nats, ..config };
    // The address is taken before anything is promised to anyone.
    let door = if roles.has(Role::Gateway) { Some(listen("http.listen", config.http.listen).await?) } else { None };
    let side = match config.worker.listen.filter(|_| roles.has(Role::Worker)) {
        Some(address) => Some(listen("worker.listen", address).await?),
        None => None,
    };
    let name = worker::name();
    let shared = shared(config, server.as_ref(), &roles, &name).await?;
    let is_known = roles.needs_no_store() || identify(&shared).await?;
    let http = door.as_ref().and_then(|door| door.local_addr().ok());
    let mut running = Running::new(http, name, &shared, server);
    if !roles.needs_no_store() {
        running.join(&shared, is_known);
    }
    for role in roles.iter().filter(|role| *role != Role::Gateway) {
        running.open(role, &shared);
    }
    if let Some(side) = side {
        running.tell(side, &shared);
    }
    if let Some(door) = door {
        let (shared, stop) = (shared, running.token(Role::Gateway));
        running.spawn(Role::Gateway, async move { gateway::run(shared, door, stop).await });
    }
    Ok(running)
}

/// The settings to connect with, and our own server where no other is configured.
pub async fn nats(config: &Config) -> Result<(Option<Server>, bus::Settings), Error> {
    let settings = bus::context::resolve(&config.nats)?;
    if settings.url.is_some() {
        return Ok((None, server::signed(&settings).await));
    }
    let server = Server::start(&settings).await?;
    let settings = server.settings(&settings);
    Ok((Some(server), settings))
}

pub async fn connect(nats: &bus::Settings, name: &str, server: Option<&Server>) -> Result<Bus, bus::ConnectError> {
    match server {
        Some(server) => Bus::connect_own(nats, &DECLARED, name, server).await,
        None => Bus::connect(nats, &DECLARED, name).await,
    }
}

pub fn pools(config: &Config) -> Vec<String> {
    config.pools.keys().map(Pool::to_string).collect()
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { key, address, source })
}

async fn shared(config: Config, server: Option<&Server>, roles: &Roles, name: &str) -> Result<Shared, Error> {
    let bus = connect(&config.nats, &format!("jetbatch {roles}"), server).await?;
    open_streams(&bus, &config, roles).await?;
    let store = store(&config, roles)?;
    let metrics = Arc::new(Metrics::default());
    let troubles = Troubles::open(&bus, &metrics, name);
    let shared = Shared { config: Arc::new(config), bus, store, metrics, troubles, feed: Feed::default() };
    if !roles.needs_no_store() {
        greet(&shared).await?;
    }
    Ok(shared)
}

/// A worker alone may have no right to look at streams: they are the heads'.
async fn open_streams(bus: &Bus, config: &Config, roles: &Roles) -> Result<(), bus::ApplyError> {
    let changes = match bus.open_streams(&pools(config)).await {
        Err(denied @ bus::ApplyError::Denied { .. }) if roles.needs_no_store() => {
            tracing::info!(%denied, "streams are left to the heads");
            return Ok(());
        }
        changes => changes?,
    };
    for change in changes {
        tracing::debug!(%change, "brought to its file");
    }
    Ok(())
}

/// A worker alone is given no store: it needs no credentials, and nothing to write to.
fn store(config: &Config, roles: &Roles) -> Result<Store, Error> {
    let none = || store::Settings { url: "memory:///".to_owned(), ..store::Settings::default() };
    Ok(Store::open(&if roles.needs_no_store() { none() } else { config.store.clone() })?)
}

/// A store that is away is used when it comes, and then held against NATS. One that refuses is a mistake in the settings,
/// told at once.
async fn greet(shared: &Shared) -> Result<(), Error> {
    let url = &shared.config.store.url;
    match timeout(STORE_WITHIN, shared.store.rights()).await {
        Ok(Ok(rights)) => installation::show(shared, rights),
        Ok(Err(StoreError::Refused { path, why })) => {
            return Err(Error::Refused { url: url.clone(), why: format!("{why} (at {path})") });
        }
        Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "the store does not work yet"),
        Err(_) => tracing::warn!(seconds = STORE_WITHIN.as_secs(), "the store gave no answer yet"),
    }
    Ok(())
}

/// Whether the store is known to be this NATS's.
async fn identify(shared: &Shared) -> Result<bool, Error> {
    match timeout(STORE_WITHIN, installation::join(shared)).await {
        Ok(Err(error)) if error.is_final() => Err(error.into()),
        Ok(joined) => Ok(installation::told(shared, joined)),
        Err(_) => Ok(installation::told(shared, Err(installation::Error::Silent))),
    }
}

impl Running {
    fn new(http: Option<SocketAddr>, name: String, shared: &Shared, server: Option<Server>) -> Self {
        let drain = Duration::from_secs(shared.config.worker.drain_s);
        let troubles = shared.troubles.clone();
        let (rooms, live, stops) = (JoinSet::new(), HashMap::new(), BTreeMap::new());
        Self { http, name, rooms, live, stops, drain, loading: Loading::default(), troubles, server }
    }

    fn token(&mut self, role: Role) -> CancellationToken {
        self.stops.entry(role).or_default().clone()
    }

    fn open(&mut self, role: Role, shared: &Shared) {
        let (stop, shared) = (self.token(role), shared.clone());
        match role {
            Role::Gateway => {}
            Role::Intake => self.spawn(role, async move { intake::run(shared, stop).await }),
            Role::Scheduler => {
                self.lead(role, &shared, &stop, scheduler::run);
                self.spawn(role, async move { control::run(shared, stop).await });
            }
            Role::Worker => self.open_pools(&shared, &stop),
            Role::Archiver => {
                let name = self.name.clone();
                self.spawn(role, async move { archiver::run(shared, &name, stop).await });
            }
            Role::Projector => self.lead(role, &shared, &stop, projector::run),
            Role::Webhooks => self.lead(role, &shared, &stop, webhooks::run),
        }
    }

    /// Watches that store, NATS and the other heads are of one installation.
    fn join(&mut self, shared: &Shared, is_known: bool) {
        let (name, stop) = (self.name.clone(), self.token(Role::Projector));
        let (given, until) = (shared.clone(), stop.clone());
        self.spawn(Role::Projector, async move { installation::watch(given, is_known, until).await });
        let shared = shared.clone();
        self.spawn(Role::Projector, async move {
            installation::agree(shared, name, stop).await;
            Ok::<_, Infallible>(())
        });
    }

    /// Opens a room that runs on one head at a time.
    fn lead<R, E>(
        &mut self,
        role: Role,
        shared: &Shared,
        stop: &CancellationToken,
        room: impl Fn(Shared, CancellationToken) -> R + Send + 'static,
    ) where
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let (shared, stop, name) = (shared.clone(), stop.clone(), self.name.clone());
        let given = shared.clone();
        let room = move |stop| room(given.clone(), stop);
        self.spawn(role, async move { lease::lead(&shared, role.as_str(), &name, stop, room).await });
    }

    fn open_pools(&mut self, shared: &Shared, stop: &CancellationToken) {
        for pool in shared.config.worker_pools() {
            let Some(settings) = shared.config.pools.get(&pool).cloned() else { continue };
            let (shared, stop, loading) = (shared.clone(), stop.clone(), self.loading.clone());
            loading.begin();
            let id = self.rooms.spawn(work(shared, pool, settings, loading, stop)).id();
            self.live.insert(id, Role::Worker);
        }
    }

    /// Opens the workers' own door.
    fn tell(&mut self, side: TcpListener, shared: &Shared) {
        let (shared, loading, stop) = (shared.clone(), self.loading.clone(), self.token(Role::Worker));
        self.spawn(Role::Worker, door::run(side, shared, loading, stop));
    }

    fn spawn<E>(&mut self, role: Role, room: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let room = async move { room.await.map_err(|e| Error::Room { role, source: e.into() }) };
        let id = self.rooms.spawn(room).id();
        self.live.insert(id, role);
    }
}

async fn work(
    shared: Shared,
    pool: Pool,
    settings: PoolConfig,
    loading: Loading,
    stop: CancellationToken,
) -> Result<(), Error> {
    let tenure = worker::Tenure::open(&shared, &pool).await;
    let engine = settings.engine.kind().as_str();
    let starting = worker::Starting { shared: &shared, pool: &pool, tenure: &tenure, engine };
    let engine = tokio::select! {
        engine = starting.load(engines::open(&shared, &pool, settings.engine)) => engine?,
        () = stop.cancelled() => {
            starting.leave().await;
            return Ok(());
        }
    };
    let about = engine.about();
    tracing::info!(%pool, model = about.model, device = about.device, slots = about.slots, "the engine is loaded");
    loading.end();
    let role = Role::Worker;
    worker::run(shared, pool, tenure, engine, stop).await.map_err(|e| Error::Room { role, source: e.into() })
}
