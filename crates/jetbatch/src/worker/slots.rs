//! How many requests run and wait, so that the engine's slots stay full across chunks and no chunk is pulled before
//! it can begin.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    slots: usize,
    /// Of `places`.
    most: u32,
    /// A few more than the engine runs at once: the next request must be there when a slot falls free.
    places: Semaphore,
    /// Requests of pulled chunks that have not begun; a chunk that is not decoded yet counts as one.
    waiting: AtomicUsize,
    running: AtomicUsize,
    changed: Notify,
}

impl Slots {
    pub fn new(slots: usize) -> Self {
        let slots = slots.max(1);
        let most = slots + slots / 4 + 1;
        let places = Semaphore::new(most);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let (waiting, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { slots, most, places, waiting, running, changed: Notify::new() }))
    }

    pub fn count(&self) -> usize {
        self.0.slots
    }

    pub fn busy(&self) -> usize {
        self.0.running.load(Ordering::Relaxed).min(self.0.slots)
    }

    /// Waits until less than half of the slots' worth of requests is waiting.
    pub async fn hungry(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.0.waiting.load(Ordering::Acquire) <= self.0.slots / 2 {
                return;
            }
            changed.await;
        }
    }

    /// A request will come. Dropped, it will not.
    pub fn announce(&self) -> Announced {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        Announced(self.clone())
    }

    /// A place for an announced request.
    pub async fn take(&self, announced: Announced) -> Place<'_> {
        let permit = self.0.places.acquire().await.expect("the semaphore is never closed");
        self.begin(announced, Some(permit))
    }

    /// All places, once nothing runs: for a chunk that is to run alone.
    pub async fn all(&self) -> SemaphorePermit<'_> {
        self.0.places.acquire_many(self.0.most).await.expect("the semaphore is never closed")
    }

    /// A place under [`Slots::all`].
    pub fn extra(&self, announced: Announced) -> Place<'_> {
        self.begin(announced, None)
    }

    fn begin<'a>(&'a self, announced: Announced, permit: Option<SemaphorePermit<'a>>) -> Place<'a> {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        drop(announced);
        Place { slots: self, _permit: permit }
    }
}

pub struct Announced(Slots);

impl Drop for Announced {
    fn drop(&mut self) {
        let Inner { slots, waiting, changed, .. } = &*self.0.0;
        if waiting.fetch_sub(1, Ordering::AcqRel) == slots / 2 + 1 {
            changed.notify_waiters();
        }
    }
}

pub struct Place<'a> {
    slots: &'a Slots,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.slots.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_worker_is_hungry_until_half_its_slots_wait() {
        let slots = Slots::new(4);
        let mut waiting: Vec<_> = (0..3).map(|_| slots.announce()).collect();
        assert!(slots.hungry().now_or_never().is_none());
        let place = slots.take(waiting.pop().unwrap()).await;
        assert!(slots.hungry().now_or_never().is_some());
        assert_eq!(slots.busy(), 1);
        drop(place);
        assert_eq!(slots.busy(), 0);
    }

    #[tokio::test]
    async fn a_chunk_that_runs_alone_waits_for_the_others_and_they_for_it() {
        let slots = Slots::new(4);
        let place = slots.take(slots.announce()).await;
        assert!(slots.all().now_or_never().is_none());
        drop(place);
        let all = slots.all().await;
        drop(slots.extra(slots.announce()));
        assert!(slots.take(slots.announce()).now_or_never().is_none());
        drop(all);
        assert!(slots.take(slots.announce()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_dropped_chunk_makes_a_worker_hungry_again() {
        let slots = Slots::new(2);
        let waiting: Vec<_> = (0..9).map(|_| slots.announce()).collect();
        let hungry = slots.hungry();
        tokio::pin!(hungry);
        assert!(hungry.as_mut().now_or_never().is_none());
        drop(waiting);
        hungry.await;
    }
}
