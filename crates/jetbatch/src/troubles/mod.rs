//! What keeps work from going on, told by whoever finds it out and read by whoever shows it. Any room tells; a head
//! writes what it was told into the bucket `troubles`, again while it is told again, and an alert at each one's
//! beginning and end.
mod board;
mod held;
mod write;

pub use board::{Board, Mirror, read};

use crate::{bus::Bus, metrics::Metrics};
use domain::trouble::{Kind, Scope, Trouble};
use held::Held;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;

/// Cheap to clone.
#[derive(Clone)]
pub struct Troubles(Arc<Inner>);

struct Inner {
    ours: Arc<Ours>,
    bus: Bus,
    head: String,
    _task: AbortOnDropHandle<()>,
}

/// What this head tells.
struct Ours {
    held: Mutex<Held>,
    changed: Notify,
    metrics: Arc<Metrics>,
}

impl Troubles {
    /// Of a head with a name of its own.
    pub fn open(bus: &Bus, metrics: &Arc<Metrics>, head: impl Into<String>) -> Self {
        let (bus, head) = (bus.clone(), head.into());
        let ours = Arc::new(Ours { held: Mutex::default(), changed: Notify::new(), metrics: metrics.clone() });
        let task = tokio::spawn(write::run(ours.clone(), bus.clone(), head.clone()));
        Self(Arc::new(Inner { ours, bus, head, _task: AbortOnDropHandle::new(task) }))
    }

    /// Tells a trouble, or that it lasts: what is not told again within [`held::TOLD_FOR`] is over. It costs nothing where
    /// nothing changed; the first `since` stands.
    pub fn tell(&self, scope: Scope, trouble: Trouble) {
        self.0.ours.show_if(|held| held.tell(scope, trouble, false, Instant::now()));
    }

    /// The same of all that was found by watching, and the end of what was found before.
    pub fn found(&self, found: Vec<(Scope, Trouble)>) {
        let places = found.iter().map(|(scope, trouble)| (scope.clone(), trouble.what)).collect();
        self.0.ours.show_if(|held| {
            let is_less = held.clear_found(&places);
            let now = Instant::now();
            found.into_iter().fold(is_less, |any, (scope, trouble)| held.tell(scope, trouble, true, now) || any)
        });
    }

    /// It is over. It costs nothing where nothing was told.
    pub fn clear(&self, scope: &Scope, kind: Kind) {
        self.0.ours.show_if(|held| held.clear(scope, kind));
    }

    /// What this head tells of a scope.
    pub fn of(&self, scope: &Scope) -> Vec<Trouble> {
        self.0.ours.lock().of(scope)
    }

    /// Withdraws all that this head told, when it ends.
    pub async fn leave(&self) {
        self.0.ours.lock().clear_all();
        write::settle(&self.0.ours, &self.0.bus, &self.0.head).await;
    }
}

impl Ours {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_if(&self, change: impl FnOnce(&mut Held) -> bool) {
        let is_changed = change(&mut self.lock());
        if is_changed {
            self.show();
        }
    }

    /// Has it written, and counted.
    fn show(&self) {
        self.changed.notify_one();
        self.metrics.troubles(self.lock().counts());
    }
}
