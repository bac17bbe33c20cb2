//! How many requests run and wait, so that the engine's slots stay full across chunks and no chunk is pulled before
//! it can begin.
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};
use tokio::sync::{Mutex, Notify, Semaphore, SemaphorePermit};

/// With fewer requests waiting than this the next chunk is fetched, however few slots there are: a chunk takes some
/// milliseconds to come, and a small request is over in less.
const ENOUGH_MIN: usize = 4;

/// Chunks fetched at once, at most: small ones cost less together.
const CHUNKS_MAX: usize = 32;

/// Requests at the engine beyond its slots. The way there and back takes longer than a small request does.
const SPARE_MIN: usize = 3;

/// Cheap to clone.
#[derive(Clone)]
pub struct Slots(Arc<Inner>);

struct Inner {
    slots: AtomicUsize,
    /// Of `places`, when nothing runs.
    most: AtomicU32,
    /// A few more than the engine runs at once: the next request must be there when a slot falls free.
    places: Semaphore,
    /// Requests of pulled chunks that have not begun; a chunk that is not decoded yet counts as enough.
    waiting: AtomicUsize,
    /// So many need not be added to.
    enough: AtomicUsize,
    /// Places that are not given back, since there are fewer slots than when they were taken.
    debt: AtomicUsize,
    /// Held while their number changes, and while all are wanted.
    resize: Mutex<()>,
    running: AtomicUsize,
    /// Requests of the chunk that came last; so many may be in the next.
    last: AtomicUsize,
    changed: Notify,
}

impl Slots {
    pub fn new(slots: usize) -> Self {
        let slots = slots.max(1);
        let most = places(slots);
        Self(Arc::new(Inner {
            slots: slots.into(),
            most: most.into(),
            places: Semaphore::new(most as usize),
            waiting: AtomicUsize::new(0),
            enough: enough(slots).into(),
            debt: AtomicUsize::new(0),
            resize: Mutex::new(()),
            running: AtomicUsize::new(0),
            last: enough(slots).into(),
            changed: Notify::new(),
        }))
    }

    /// From now on there are so many.
    pub async fn set(&self, slots: usize) {
        let Inner { most, places: free, debt, changed, .. } = &*self.0;
        let _alone = self.0.resize.lock().await;
        let slots = slots.max(1);
        let (before, now) = (most.swap(places(slots), Ordering::AcqRel) as usize, places(slots) as usize);
        if now < before {
            let gone = free.forget_permits(before - now);
            debt.fetch_add(before - now - gone, Ordering::AcqRel);
        } else {
            let more = now - before;
            let owed = debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| Some(owed.saturating_sub(more)));
            free.add_permits(more - owed.unwrap_or(0).min(more));
        }
        self.0.slots.store(slots, Ordering::Release);
        self.0.enough.store(enough(slots), Ordering::Release);
        changed.notify_waiters();
    }

    pub fn count(&self) -> usize {
        self.0.slots.load(Ordering::Relaxed)
    }

    pub fn busy(&self) -> usize {
        self.0.running.load(Ordering::Relaxed).min(self.count())
    }

    fn enough(&self) -> usize {
        self.0.enough.load(Ordering::Relaxed)
    }

    /// Waits until so few requests wait that another chunk is to be fetched: half of the slots, or a few.
    pub async fn hungry(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.0.waiting.load(Ordering::Acquire) <= self.enough() {
                return;
            }
            changed.await;
        }
    }

    /// So many chunks are enough if they are like the last one.
    pub fn chunks_to_fetch(&self) -> usize {
        (self.enough() / self.0.last.load(Ordering::Relaxed).max(1)).clamp(1, CHUNKS_MAX)
    }

    /// A chunk of so many requests came.
    pub fn came(&self, requests: usize) {
        self.0.last.store(requests, Ordering::Relaxed);
    }

    /// A request will come. Dropped, it will not.
    pub fn announce(&self) -> Announced {
        self.announced(1)
    }

    /// A chunk's first request will come. Until it begins, the others are announced or not, and no more is fetched.
    pub fn announce_chunk(&self) -> Announced {
        self.announced(self.enough() + 1)
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
        let _unchanged = self.0.resize.lock().await;
        let most = self.0.most.load(Ordering::Acquire);
        self.0.places.acquire_many(most).await.expect("the semaphore is never closed")
    }

    /// A place under [`Slots::all`].
    pub fn extra(&self, announced: Announced) -> Place<'_> {
        self.begin(announced, None)
    }

    fn begin<'a>(&'a self, announced: Announced, permit: Option<SemaphorePermit<'a>>) -> Place<'a> {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        drop(announced);
        Place { slots: self, permit }
    }
}

pub struct Announced {
    slots: Slots,
    weight: usize,
}

impl Drop for Announced {
    fn drop(&mut self) {
        let (Inner { waiting, changed, .. }, enough) = (&*self.slots.0, self.slots.enough());
        let before = waiting.fetch_sub(self.weight, Ordering::AcqRel);
        if before > enough && before - self.weight <= enough {
            changed.notify_waiters();
        }
    }
}

pub struct Place<'a> {
    slots: &'a Slots,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.slots.0.running.fetch_sub(1, Ordering::Relaxed);
        let owed = |owed: usize| owed.checked_sub(1);
        if let Some(permit) = self.permit.take()
            && self.slots.0.debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, owed).is_ok()
        {
            permit.forget();
        }
    }
}

fn places(slots: usize) -> u32 {
    u32::try_from(slots + slots / 4 + SPARE_MIN).unwrap_or(u32::MAX)
}

fn enough(slots: usize) -> usize {
    (slots / 2).max(ENOUGH_MIN)
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

    #[test]
    fn of_small_chunks_more_are_fetched_at_once_and_never_more_requests_than_enough() {
        let slots = Slots::new(20);
        let mut after = |requests| {
            slots.came(requests);
            slots.chunks_to_fetch()
        };
        assert_eq!([1, 2, 3, 10, 11, 500].map(&mut after), [10, 5, 3, 1, 1, 1]);
        assert_eq!(Slots::new(20).chunks_to_fetch(), 1, "nothing is known yet");
        let wide = Slots::new(1_000);
        wide.came(1);
        assert_eq!(wide.chunks_to_fetch(), CHUNKS_MAX);
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
    async fn slots_come_and_go_while_requests_run() {
        let slots = Slots::new(8);
        let free = |slots: &Slots| slots.0.places.available_permits();
        let first: Vec<_> = (0..10).map(|_| slots.take(slots.announce()).now_or_never().unwrap()).collect();
        slots.set(4).await;
        assert_eq!((slots.count(), free(&slots)), (4, 0), "ten run, and eight may");
        drop(first);
        assert_eq!(free(&slots), 8);
        let again: Vec<_> = (0..8).map(|_| slots.take(slots.announce()).now_or_never().unwrap()).collect();
        slots.set(1).await;
        slots.set(16).await;
        assert_eq!(free(&slots), 23 - 8, "what was owed is taken back first");
        drop(again);
        assert_eq!(free(&slots), 23);
        drop(slots.all().now_or_never().unwrap());
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
