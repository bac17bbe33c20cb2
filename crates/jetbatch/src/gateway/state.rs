//! What the door has, for all who ask.
use super::{
    ahead::Pools,
    auth::Demand,
    error::Rejection,
    gate::Gate,
    health::Health,
    host::Names,
    limits,
    openai::{Catalog, Lifecycles},
    quota::Quota,
    status_watch::StatusWatch,
    timeline::Timelines,
};
use crate::{bus::Bucket, keys::Ring, shared::Shared, troubles::Mirror};
use domain::JobId;
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wire::{Heartbeat, StoredStatus, Told, bucket};

pub struct AppState {
    pub shared: Shared,
    pub status_watch: Arc<StatusWatch>,
    pub status: Bucket,
    pub workers: Mirror<Heartbeat>,
    /// What all heads tell of work that cannot go on.
    pub troubles: Mirror<Told>,
    /// What pools have before them.
    pub pools: Pools,
    pub health: Health,
    pub stop: CancellationToken,
    pub names: Names,
    pub gate: Gate,
    /// What is known of uploads.
    pub files: Bucket,
    pub catalog: Catalog,
    pub lifecycles: Lifecycles,
    pub keys: Ring,
    pub quota: Arc<Quota>,
    pub demand: Demand,
    pub timelines: Timelines,
    uploads: Arc<Semaphore>,
    asks: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    quotes: Arc<Semaphore>,
    json_kib: Arc<Semaphore>,
    event_streams: Arc<Semaphore>,
}

impl AppState {
    /// `connections`: as many as there may be.
    pub fn new(shared: Shared, connections: usize, stop: CancellationToken) -> Self {
        let status = shared.bus.bucket(bucket::STATUS);
        let files = shared.bus.bucket(bucket::FILES);
        let workers = Mirror::follow(shared.bus.bucket(bucket::WORKERS));
        let troubles = Mirror::follow(shared.bus.bucket(bucket::TROUBLES));
        let pools = Pools::follow(&shared.bus);
        let names = Names::new(shared.config.http.listen, &shared.config.http.hosts);
        let demand = shared.config.http.demand();
        let places = |n| Arc::new(Semaphore::new(n));
        Self {
            shared,
            status,
            files,
            workers,
            troubles,
            pools,
            stop,
            names,
            gate: Gate::default(),
            status_watch: Arc::default(),
            health: Health::default(),
            catalog: Catalog::default(),
            lifecycles: Lifecycles::default(),
            keys: Ring::default(),
            quota: Arc::default(),
            demand,
            timelines: Timelines::default(),
            asks: places(limits::ASKS_MAX),
            uploads: places(limits::UPLOADS_MAX),
            downloads: places(limits::DOWNLOADS_MAX),
            quotes: places(limits::QUOTES_MAX),
            json_kib: places(limits::JSON_KIB_MAX as usize),
            event_streams: places(limits::event_streams(connections)),
        }
    }

    pub fn any_upload_place(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        self.uploads.clone().try_acquire_owned().map_err(|_| Rejection::busy("uploads"))
    }

    pub fn ask_place(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        self.asks.clone().try_acquire_owned().map_err(|_| Rejection::busy("requests that wait for their answer"))
    }

    pub fn download_place(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        self.downloads.clone().try_acquire_owned().map_err(|_| Rejection::busy("downloads"))
    }

    pub fn quote_place(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        self.quotes.clone().try_acquire_owned().map_err(|_| Rejection::busy("quotes"))
    }

    pub fn event_place(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        self.event_streams.clone().try_acquire_owned().map_err(|_| Rejection::busy("event streams"))
    }

    /// Memory for a JSON body of so many bytes.
    pub fn json_place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, limits::JSON_KIB_MAX);
        self.json_kib.clone().try_acquire_many_owned(kib).map_err(|_| Rejection::busy("large bodies"))
    }

    pub fn is_connected(&self) -> bool {
        self.shared.bus.is_connected()
    }

    /// A job's status, whose ever it is: [`super::app::App`] shows it to whom it may be shown.
    pub(super) async fn stored(&self, job: JobId) -> Result<Option<(StoredStatus, u64)>, Rejection> {
        let got = timeout(limits::STATUS_WITHIN, self.status.get(&job.to_string())).await;
        let got = got.map_err(|_| Rejection::unavailable("the status bucket does not answer"))??;
        let Some((value, rev)) = got else { return Ok(None) };
        let stored = decode(&value)?;
        self.status_watch.index().note(&stored, rev);
        Ok(Some((stored, rev)))
    }
}

pub(super) fn decode(value: &[u8]) -> Result<StoredStatus, Rejection> {
    serde_json::from_slice(value).map_err(|error| {
        tracing::error!(%error, "a status cannot be read; it may be of a newer jetbatch");
        Rejection::unavailable("the job's status cannot be read by this version")
    })
}
