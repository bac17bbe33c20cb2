//! What pools have before them, as who projects tells it.
use crate::{bus::Bus, heard::Heard};
use domain::foresight::Ahead;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;
use wire::Aheads;

/// It is told every second; after this time nobody tells.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

type Told = Arc<Mutex<Option<(Instant, Arc<[Ahead]>)>>>;

pub struct Pools {
    told: Told,
    _task: AbortOnDropHandle<()>,
}

impl Pools {
    pub fn follow(bus: &Bus) -> Self {
        let (mut heard, told) = (Heard::open(bus, Aheads), Told::default());
        let kept = told.clone();
        let task = tokio::spawn(async move {
            loop {
                match serde_json::from_slice::<Vec<Ahead>>(&heard.next().await.payload) {
                    Ok(ahead) => *kept.lock().expect("nobody panics with it") = Some((Instant::now(), ahead.into())),
                    Err(error) => tracing::debug!(%error, "what pools have before them cannot be read"),
                }
            }
        });
        Self { told, _task: AbortOnDropHandle::new(task) }
    }

    /// None: nobody forecasts now.
    pub fn now(&self) -> Option<Arc<[Ahead]>> {
        let told = self.told.lock().expect("nobody panics with it").clone();
        told.filter(|(at, _)| at.elapsed() < TOLD_WITHIN).map(|(_, ahead)| ahead)
    }
}
