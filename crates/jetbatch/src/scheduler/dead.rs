//! Tells DEAD of chunks that were given up, each with its history from the log.
//!
//! What waits to be told is a span of the log for each job, so a storm of failures costs no memory, only DEAD's
//! freshness: one task folds one job's events at a time, and reads each segment once a look. A job that was looked at
//! rests, and holds up no other. While the head lives nothing is lost but the entries of a job whose input stays
//! unreadable; NATS is waited for. After a crash the next leader tells again of the last minute
//! ([`domain::schedule::DEAD_MS`]); what waited for longer has no entry, but has its error line as any other.
mod segment;

use crate::{
    bus::{PublishError, ReadError},
    log::{self, LogError},
    shared::Shared,
};
use domain::{Event, Job, JobId, event::ChunkFailed, job::Chunk};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::StoreError;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, error::Elapsed, sleep_until, timeout},
};
use wire::{Filter, stream::EVENTS};

/// After a look at a job's history its next one waits so many times as long as it took: a job that goes on failing is
/// looked at for a fifth of the time, however long its history grows.
const REST: u32 = 4;
const AGAIN: Duration = Duration::from_secs(2);
/// Looks at a job in a row that fail for a reason of its own.
const TRIES_MAX: u32 = 30;
/// An event that is known to be stored must come by then.
const EVENT_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("its events could not be read")]
    Log(#[from] LogError),
    #[error("its events could not be read")]
    Read(#[from] ReadError),
    #[error("its events did not come")]
    Late(#[from] Elapsed),
    #[error("its requests could not be read")]
    Store(#[from] StoreError),
    #[error("the entry could not be stored")]
    Publish(#[from] PublishError),
}

impl Error {
    /// Whether any job would meet with it.
    const fn is_of_nats(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Publish(_))
    }
}

/// The events of a job by which chunks were given up of which DEAD is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u64,
    until: u64,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    spans: BTreeMap<JobId, Span>,
    /// Jobs that were looked at a while ago: those that rest, and those that failed before.
    rests: HashMap<JobId, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    /// Failures in a row.
    tries: u32,
}

/// Told of what is given up; the task behind it ends with it.
pub struct Dead {
    queue: Arc<Queue>,
    task: AbortHandle,
}

impl Dead {
    pub fn open(shared: Shared) -> Self {
        let queue = Arc::new(Queue::default());
        let task = tokio::spawn(work(shared, queue.clone())).abort_handle();
        Self { queue, task }
    }

    /// The job's events of this span gave chunks up.
    pub fn tell(&self, job: JobId, from: u64, until: u64) {
        self.queue.add(job, Span { from, until });
        self.queue.news.notify_one();
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Queue {
    fn add(&self, job: JobId, span: Span) {
        let spans = &mut self.lock().spans;
        let held = spans.entry(job).or_insert(span);
        *held = Span { from: held.from.min(span.from), until: held.until.max(span.until) };
    }

    /// The job that waits for the longest of those that do not rest; else when the first of them is rested.
    fn take(&self, now: Instant) -> Result<(JobId, Span), Option<Instant>> {
        let mut waiting = self.lock();
        let Waiting { spans, rests } = &mut *waiting;
        rests.retain(|job, rest| rest.until > now || spans.contains_key(job));
        let until = |job: &JobId| rests.get(job).map(|rest| rest.until).filter(|until| *until > now);
        let next = spans.iter().filter(|(job, _)| until(job).is_none()).min_by_key(|(_, span)| span.from);
        let Some((&job, &span)) = next else { return Err(spans.keys().filter_map(until).min()) };
        spans.remove(&job);
        Ok((job, span))
    }

    fn rest(&self, job: JobId, until: Instant, tries: u32) {
        self.lock().rests.insert(job, Rest { until, tries });
    }

    fn tries(&self, job: JobId) -> u32 {
        self.lock().rests.get(&job).map_or(0, |rest| rest.tries)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work(shared: Shared, queue: Arc<Queue>) {
    loop {
        let (job, span) = match queue.take(Instant::now()) {
            Ok(next) => next,
            Err(rested) => {
                tokio::select! {
                    () = queue.news.notified() => {}
                    () = sleep_until(rested.unwrap_or_else(Instant::now)), if rested.is_some() => {}
                }
                continue;
            }
        };
        let (began, tries) = (Instant::now(), queue.tries(job));
        match look(&shared, job, span).await {
            Ok(()) => queue.rest(job, Instant::now() + began.elapsed() * REST, 0),
            // Its requests are gone because nobody is to have them any more.
            Err(Error::Store(error)) if error.is_not_found() && is_deleted(&shared, job).await => {
                tracing::debug!(%job, "a deleted job has no entries in DEAD");
            }
            Err(error) => {
                let error_told = &error as &dyn std::error::Error;
                if !error.is_of_nats() && tries >= TRIES_MAX {
                    tracing::error!(%job, error = error_told, "given-up chunks have no entry in DEAD");
                    continue;
                }
                tracing::warn!(%job, error = error_told, "DEAD is told again in a moment");
                queue.add(job, span);
                queue.rest(job, Instant::now() + AGAIN, tries + u32::from(!error.is_of_nats()));
            }
        }
    }
}

async fn is_deleted(shared: &Shared, job: JobId) -> bool {
    log::is_deleted(&shared.bus, job).await.unwrap_or(false)
}

/// Folds the job's events up to the span's end. A segment is told of when it is archived, or at the end.
async fn look(shared: &Shared, id: JobId, span: Span) -> Result<(), Error> {
    let mut reader = shared.bus.read(EVENTS, &Filter::EventsOf(id), 1).await?;
    let (mut job, mut found, mut seq) = (None, BTreeMap::new(), 0);
    while seq < span.until {
        let raw = timeout(EVENT_WITHIN, reader.next()).await??;
        seq = raw.seq;
        let event = log::decode(&raw)?.1;
        let Some(job) = &mut job else {
            job = Job::begin(id, &event);
            continue;
        };
        if let Event::SegmentArchived(archived) = &event {
            tell(shared, job, found.remove(&archived.segment)).await?;
        }
        fold(job, event, seq >= span.from, &mut found);
    }
    let Some(job) = job else { return Ok(()) };
    for (_, segment) in found {
        tell(shared, &job, Some(segment)).await?;
    }
    Ok(())
}

/// What happened to a segment.
#[derive(Default)]
struct Found {
    failures: Vec<ChunkFailed>,
    /// Those of the failures that gave a chunk up, and are to be told of.
    last: Vec<usize>,
}

fn fold(job: &mut Job, event: Event, is_new: bool, found: &mut BTreeMap<u32, Found>) {
    let Event::ChunkFailed(failed) = event else {
        job.evolve(&event);
        return;
    };
    let was_owed = matches!(job.chunk(failed.chunk), Some(Chunk::Owed { .. }));
    let event = Event::ChunkFailed(failed.clone());
    job.evolve(&event);
    let segment = found.entry(failed.chunk.segment).or_default();
    if is_new && was_owed && matches!(job.chunk(failed.chunk), Some(Chunk::GivenUp(_))) {
        segment.last.push(segment.failures.len());
    }
    segment.failures.push(failed);
}

async fn tell(shared: &Shared, job: &Job, found: Option<Found>) -> Result<(), Error> {
    match found {
        Some(found) if !found.last.is_empty() => segment::tell(shared, job, &found).await,
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_span_a_job_and_the_longest_waiting_first() {
        let (queue, a, b) = (Queue::default(), JobId::keyed("t", "a"), JobId::keyed("t", "b"));
        let now = Instant::now();
        for (job, seq) in [(a, 7), (b, 9), (a, 12), (a, 8)] {
            queue.add(job, Span { from: seq, until: seq });
        }
        assert_eq!(queue.take(now), Ok((a, Span { from: 7, until: 12 })));
        queue.add(a, Span { from: 13, until: 13 });
        assert_eq!(queue.take(now), Ok((b, Span { from: 9, until: 9 })));
        assert_eq!((queue.take(now).map(|(job, _)| job), queue.take(now)), (Ok(a), Err(None)));
    }

    #[test]
    fn a_job_that_rests_holds_up_no_other() {
        let (queue, a, b) = (Queue::default(), JobId::keyed("t", "a"), JobId::keyed("t", "b"));
        let (now, rested) = (Instant::now(), Instant::now() + AGAIN);
        queue.rest(a, rested, 3);
        queue.add(a, Span { from: 1, until: 1 });
        queue.add(b, Span { from: 2, until: 2 });
        assert_eq!(queue.take(now).map(|(job, _)| job), Ok(b));
        assert_eq!((queue.take(now), queue.tries(a)), (Err(Some(rested)), 3));
        assert_eq!(queue.take(rested).map(|(job, _)| job), Ok(a));
        assert_eq!((queue.take(rested), queue.tries(a)), (Err(None), 0), "who rests no more is forgotten");
    }
}
