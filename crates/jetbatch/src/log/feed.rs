//! EVENTS as one reader reads them for all rooms of a process: an event comes from NATS once, and is decoded once.
//!
//! A fold begins with a reader of its own and comes here when it has caught up. What is read is kept until every fold
//! has taken it, and a tail of it for who comes next. One that falls too far behind, or whose feed ends, reads for itself
//! again: no room waits for another, and what is wrong with the log each finds out for itself.
use super::{Change, LogError, change};
use crate::bus::{Bus, Mark, Raw};
use futures::FutureExt;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;
use wire::{Filter, stream::EVENTS};

/// Who is further behind reads for himself.
const KEPT_MAX: usize = 16_384;
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Kept for who comes next, though all have taken it.
const TAIL: usize = 256;
const TAIL_BYTES: usize = 256 << 10;
/// How often it is looked whether the log has lost what was still to come.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Read, and taken, at once.
const AT_ONCE: usize = 256;

/// The feed of a process, which runs while there are folds at it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Weak<Live>>>);

struct Live {
    born: String,
    ring: Mutex<Ring>,
    /// Counts what came.
    news: watch::Sender<u64>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Arc<Change>>,
    bytes: usize,
    /// What the log has behind this event is kept, or is to come.
    floor: u64,
    /// Events that the log has behind those read.
    pending: u64,
    /// How far each fold has taken.
    taken: HashMap<u64, u64>,
    next_cursor: u64,
    is_over: bool,
}

/// A fold's place in the feed.
pub struct Cursor {
    live: Arc<Live>,
    news: watch::Receiver<u64>,
    number: u64,
    seq: u64,
    held: VecDeque<Arc<Change>>,
}

impl Feed {
    /// A place behind `mark`. None: what comes next is not kept here any more; or the feed does not run, and who is so
    /// far behind (`is_late`) does not begin it.
    pub fn join(&self, bus: &Bus, mark: &Mark, is_late: bool) -> Option<Cursor> {
        let mut held = lock(&self.0);
        let live = match held.upgrade().filter(|live| !lock(&live.ring).is_over) {
            Some(live) => live,
            None if is_late => return None,
            None => {
                let live = Live::start(bus.clone(), mark.clone());
                *held = Arc::downgrade(&live);
                live
            }
        };
        Cursor::at(live, mark)
    }
}

impl Live {
    fn start(bus: Bus, mark: Mark) -> Arc<Self> {
        let ring = Mutex::new(Ring { floor: mark.seq(), ..Ring::default() });
        let (born, news) = (mark.born().to_owned(), watch::Sender::default());
        let live = Arc::new(Self { born, ring, news, task: OnceLock::new() });
        let task = tokio::spawn(read(Arc::downgrade(&live), bus, mark));
        live.task.get_or_init(|| AbortOnDropHandle::new(task));
        live
    }

    fn add(&self, changes: Vec<Arc<Change>>) {
        let mut ring = lock(&self.ring);
        ring.pending = changes.last().map_or(ring.pending, |last| last.pending);
        for change in changes {
            ring.bytes += change.bytes;
            ring.kept.push_back(change);
        }
        while ring.kept.len() > KEPT_MAX || ring.bytes > KEPT_BYTES_MAX {
            ring.drop_first();
        }
        drop(ring);
        self.news.send_modify(|count| *count += 1);
    }

    fn end(&self) {
        lock(&self.ring).is_over = true;
        self.news.send_modify(|count| *count += 1);
    }
}

impl Ring {
    fn drop_first(&mut self) {
        if let Some(first) = self.kept.pop_front() {
            self.bytes -= first.bytes;
            self.floor = first.seq;
        }
    }

    /// Drops what all have taken.
    fn trim(&mut self) {
        let least = self.taken.values().min().copied().unwrap_or(u64::MAX);
        let is_taken = |ring: &Self| ring.kept.front().is_some_and(|first| first.seq <= least);
        while (self.kept.len() > TAIL || self.bytes > TAIL_BYTES) && is_taken(self) {
            self.drop_first();
        }
    }
}

impl Cursor {
    fn at(live: Arc<Live>, mark: &Mark) -> Option<Self> {
        let mut ring = lock(&live.ring);
        if live.born != mark.born() || mark.seq() < ring.floor {
            return None;
        }
        let number = ring.next_cursor;
        ring.next_cursor += 1;
        ring.taken.insert(number, mark.seq());
        drop(ring);
        let news = live.news.subscribe();
        Some(Self { news, live, number, seq: mark.seq(), held: VecDeque::new() })
    }

    /// The next event. None: there is none to come here. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Arc<Change>> {
        loop {
            if let Some(change) = self.held.pop_front() {
                return Some(change);
            }
            self.news.mark_unchanged();
            if !self.take() {
                return None;
            }
            if self.held.is_empty() {
                self.news.changed().await.ok()?;
            }
        }
    }

    /// Whether all that the log has was given, also where it lost its last events before they were read.
    pub fn is_at_end(&self) -> bool {
        let ring = lock(&self.live.ring);
        let is_last = ring.kept.back().is_none_or(|last| last.seq <= self.seq);
        self.held.is_empty() && is_last && ring.pending == 0
    }

    /// Takes what is there. False: nothing will be any more.
    fn take(&mut self) -> bool {
        let mut ring = lock(&self.live.ring);
        if self.seq < ring.floor {
            return false;
        }
        let from = ring.kept.partition_point(|change| change.seq <= self.seq);
        self.held.extend(ring.kept.iter().skip(from).take(AT_ONCE).cloned());
        let Some(last) = self.held.back() else { return !ring.is_over };
        self.seq = last.seq;
        ring.taken.insert(self.number, self.seq);
        ring.trim();
        true
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut ring = lock(&self.live.ring);
        ring.taken.remove(&self.number);
        ring.trim();
    }
}

/// Until nobody is there.
async fn read(live: Weak<Live>, bus: Bus, mark: Mark) {
    if let Err(error) = follow(&live, &bus, mark).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the rooms read the log each for itself");
    }
    if let Some(live) = live.upgrade() {
        live.end();
    }
}

async fn follow(live: &Weak<Live>, bus: &Bus, mark: Mark) -> Result<(), LogError> {
    let mut reader = bus.read_on(EVENTS, &Filter::Events, mark).await?;
    loop {
        let Ok(first) = timeout(LOOK_EVERY, reader.next()).await else {
            let Some(live) = live.upgrade() else { return Ok(()) };
            lock(&live.ring).pending = reader.pending();
            continue;
        };
        let mut changes = vec![decode(&first?)?];
        while changes.len() < AT_ONCE
            && let Some(raw) = reader.next().now_or_never()
        {
            changes.push(decode(&raw?)?);
        }
        let Some(live) = live.upgrade() else { return Ok(()) };
        live.add(changes);
    }
}

fn decode(raw: &Raw) -> Result<Arc<Change>, LogError> {
    change(raw).map(Arc::new)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
