//! How many requests run and wait, so that the engine's slots stay full across chunks and no chunk is pulled before
//! it can begin.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// With fewer requests waiting than this the next chunk is fetched, however few slots there are: a chunk takes some
/// milliseconds to come, and a small request is over in less.
const ENOUGH_MIN: usize = 4;

/// Requests at the engine beyond its slots. The way there and back takes longer than a small request does.
const SPARE_MIN: usize = 3;

/// Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    slots: usize,
    /// Of `places`.
    most: u32,
    /// A few more than the engine runs at once: the next request must be there when a slot falls free.
    places: Semaphore,
    /// Requests of pulled chunks that have not begun; a chunk that is not decoded yet counts as enough.
    waiting: AtomicUsize,
    /// So many need not be added to.
    enough: usize,
    running: AtomicUsize,
    changed: Notify,
}

impl Slots {
    pub fn new(slots: usize) -> Self {
        let slots = slots.max(1);
        let most = slots + slots / 4 + SPARE_MIN;
        let places = Semaphore::new(most);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let (waiting, running) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let enough = (slots / 2).max(ENOUGH_MIN);
        Self(Arc::new(Inner { slots, most, places, waiting, enough, running, changed: Notify::new() }))
    }

    pub fn count(&self) -> usize {
        self.0.slots
    }

    pub fn busy(&self) -> usize {
        self.0.running.load(Ordering::Relaxed).min(self.0.slots)
    }

    /// Waits until so few requests wait that another chunk is to be fetched: half of the slots, or a few.
    pub async fn hungry(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.0.waiting.load(Ordering::Acquire) <= self.0.enough {
                return;
            }
            changed.await;
        }
    }

    /// A request will come. Dropped, it will not.
    pub fn announce(&self) -> Announced {
        self.announced(1)
    }

    /// A chunk's first request will come. Until it begins, the others are announced or not, and no more is fetched.
    pub fn announce_chunk(&self) -> Announced {
        self.announced(self.0.enough + 1)
    }

    fn announced(&self, weight: usize) -> Announced {
        self.0.waiting.fetch_add(weight, Ordering::AcqRel);
        Announced { slots: self.clone(), weight }
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

pub struct Announced {
    slots: Slots,
    weight: usize,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let Inner { waiting, enough, changed, .. } = &*self.slots.0;
        let before = waiting.fetch_sub(self.weight, Ordering::AcqRel);
        if before > *enough && before - self.weight <= *enough {
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
        let slots = Slots::new(20);
        let mut waiting: Vec<_> = (0..11).map(|_| slots.announce()).collect();
        assert!(slots.hungry().now_or_never().is_none());
        let place = slots.take(waiting.pop().unwrap()).await;
        assert!(slots.hungry().now_or_never().is_some());
        assert_eq!(slots.busy(), 1);
        drop(place);
        assert_eq!(slots.busy(), 0);
    }

    #[tokio::test]
    async fn no_second_chunk_is_fetched_before_the_first_begins() {
        let slots = Slots::new(1);
        let first = slots.announce_chunk();
        let rest: Vec<_> = (0..ENOUGH_MIN + 1).map(|_| slots.announce()).collect();
        assert!(slots.hungry().now_or_never().is_none());
        let _place = slots.take(first).await;
        assert!(slots.hungry().now_or_never().is_none(), "one more than enough waits");
        drop(rest);
        assert!(slots.hungry().now_or_never().is_some());
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
