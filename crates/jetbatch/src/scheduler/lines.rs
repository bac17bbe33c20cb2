//! From a planned chunk to the message a worker takes.
use super::Transient;
use crate::{
    bus::{Bus, PublishError},
    clock, spans, telemetry,
};
use bytes::{Bytes, BytesMut};
use domain::{
    ChunkId, Job, JobId,
    event::{ChunkPlan, FaultClass, SegmentPlan},
    job::{Chunk, Segment},
    lines::spans,
    retry::{Action, Policies},
    schedule::Send,
    traced::{self, Extra},
};
use futures::StreamExt;
use std::{collections::HashMap, ops::Range};
use store::{Store, StoreError};
use tracing::Instrument;
use wire::{Lines, Message, Subject, Work, envelope, parts};

/// Segments whose lines are kept in memory: those being sent.
const SEGMENTS_MAX: usize = 4;
/// Segments of so few bytes are read many at a time, and not kept.
const SMALL_BYTES_MAX: u64 = 64 << 10;
const READS_AT_ONCE: usize = 32;
/// Of a message beside its lines, roughly.
const HEAD_BYTES: usize = 1 << 10;

pub type Key = (JobId, u32);

/// Where a small segment lies.
pub struct Small {
    input: String,
    range: Range<u64>,
}

pub struct Segments {
    store: Store,
    held: HashMap<Key, SegmentLines>,
    /// In the order of their last use, the latest last.
    order: Vec<Key>,
    /// What was loaded for the chunks that are sent now.
    loaded: HashMap<Key, SegmentLines>,
    /// Attempts that are seen in traces because one before failed.
    traced: Extra,
}

/// A segment's bytes and where its lines are: `(start, end)` with the line end, blank lines left out.
pub struct SegmentLines {
    bytes: Bytes,
    at: Vec<(u32, u32)>,
}

/// A chunk ready to be sent.
pub struct Prepared {
    parts: Vec<Message>,
    work: Message,
    span: tracing::Span,
}

impl Small {
    /// None: it is not small, or there is none.
    pub fn of(job: &Job, segment: u32) -> Option<(Key, Self)> {
        let (planned, plan) = (job.planned.as_ref()?, &job.open.get(&segment)?.plan);
        let small = Self { input: planned.input.clone(), range: plan.offset..plan.offset + plan.bytes };
        (plan.bytes <= SMALL_BYTES_MAX).then_some(((job.id, segment), small))
    }
}

impl Segments {
    pub fn new(store: Store) -> Self {
        Self { store, held: HashMap::new(), order: Vec::new(), loaded: HashMap::new(), traced: Extra::default() }
    }

    /// The message for a chunk that is owed; none if it is not owed any more.
    pub async fn work(&mut self, job: &Job, send: &Send, room: usize) -> Result<Option<Prepared>, Transient> {
        let Send { chunk, generation, ref failed, .. } = *send;
        let Some(segment) = job.open.get(&chunk.segment) else { return Ok(None) };
        let (Some(Chunk::Owed { failures, .. }), Some(plan)) =
            (job.chunk(chunk), segment.plan.chunks.get(chunk.index as usize))
        else {
            return Ok(None);
        };
        let lines = self.of(job, segment, plan).await?;
        let lines = lines.ok_or(Transient::Changed { job: job.id, segment: chunk.segment })?;
        let pool = segment.plan.pools[usize::from(plan.pool)].clone();
        let attempt = failures.tries + 1;
        let is_again = attempt > 1 || failed.is_some();
        let is_shown = shows(job, &segment.plan, chunk) || is_again && self.traced.failed(job.id);
        let submitted = &job.submitted;
        let work = Work {
            job: job.id,
            pool: pool.clone(),
            chunk,
            attempt,
            sent: clock::now(),
            deadline: job.deadline,
            endpoint: submitted.endpoint.clone(),
            model: submitted.model.clone(),
            alone: failures.alone,
            retried: retried(&submitted.policies),
            quiet: !is_shown,
            runs: plan.runs.clone(),
            first: segment.plan.first,
            lines: Lines::pack(lines),
            parts: 0,
        };
        let span = spans::schedule(job, chunk, &pool, attempt);
        telemetry::link(&span, failed.as_deref());
        if !is_shown {
            telemetry::hide(&span);
        }
        let id = format!("{}:{chunk}:{attempt}.{}.{generation}", job.id, job.epoch);
        // What hangs under a span that is not sent would hang in the air.
        let trace = if is_shown { span.in_scope(telemetry::context) } else { submitted.trace.clone() };
        Ok(Some(Prepared::new(work, id, trace.as_deref(), span, room)))
    }

    /// The requests of a chunk. None if the input has fewer lines than were planned.
    async fn of(&mut self, job: &Job, segment: &Segment, plan: &ChunkPlan) -> Result<Option<Bytes>, StoreError> {
        let Some(planned) = &job.planned else { return Ok(None) };
        Ok(self.lines(job.id, &planned.input, &segment.plan).await?.join(plan))
    }

    /// Reads small segments ahead, all at once. What cannot be read is tried, and told, when it is wanted.
    pub async fn load(&mut self, wanted: HashMap<Key, Small>) {
        let store = &self.store;
        let reads = wanted.into_iter().map(|(key, Small { input, range })| async move {
            let bytes = store.range(&input, range).await.ok()?;
            Some((key, SegmentLines::of(bytes)))
        });
        let read = futures::stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        self.loaded = read.filter_map(std::future::ready).collect().await;
    }

    pub fn unload(&mut self) {
        self.loaded.clear();
    }

    pub fn forget(&mut self, job: JobId, segment: u32) {
        self.held.remove(&(job, segment));
        self.order.retain(|key| *key != (job, segment));
    }

    pub fn forget_job(&mut self, job: JobId) {
        self.held.retain(|(id, _), _| *id != job);
        self.order.retain(|(id, _)| *id != job);
        self.traced.forget(job);
    }

    async fn lines(&mut self, job: JobId, input: &str, plan: &SegmentPlan) -> Result<&SegmentLines, StoreError> {
        let key = (job, plan.segment);
        if self.loaded.contains_key(&key) {
            return Ok(&self.loaded[&key]);
        }
        if !self.held.contains_key(&key) {
            let lines = SegmentLines::read(&self.store, input, plan).await?;
            if self.order.len() >= SEGMENTS_MAX {
                let oldest = self.order.remove(0);
                self.held.remove(&oldest);
            }
            self.held.insert(key, lines);
        } else {
            self.order.retain(|other| *other != key);
        }
        self.order.push(key);
        Ok(&self.held[&key])
    }
}

/// Whether a chunk is seen in its job's trace whatever becomes of it.
fn shows(job: &Job, segment: &SegmentPlan, chunk: ChunkId) -> bool {
    let segments = job.planned.as_ref().map_or(1, |planned| planned.segments);
    traced::shows_chunk(segments, segment, chunk.index)
}

/// A segment's bytes; fewer of them if the input was cut.
async fn segment(store: &Store, input: &str, plan: &SegmentPlan) -> Result<Bytes, StoreError> {
    store.range(input, plan.offset..plan.offset + plan.bytes).await
}

/// The faults of a request that its job wants tried again.
fn retried(policies: &Policies) -> Vec<FaultClass> {
    let own = [FaultClass::Refused, FaultClass::TooLong];
    own.into_iter().filter(|class| policies.of(*class).action == Action::Retry).collect()
}

impl SegmentLines {
    /// A segment's lines, read for themselves.
    pub async fn read(store: &Store, input: &str, plan: &SegmentPlan) -> Result<Self, StoreError> {
        Ok(Self::of(segment(store, input, plan).await?))
    }

    fn of(bytes: Bytes) -> Self {
        let at = spans(&bytes).map(|span| (span.start as u32, span.end as u32)).collect();
        Self { bytes, at }
    }

    /// The lines of a chunk, one after the other. Nothing, if the segment has fewer lines than were planned.
    pub fn join(&self, plan: &ChunkPlan) -> Option<Bytes> {
        let mut joined = BytesMut::with_capacity(plan.bytes as usize + 1);
        for index in plan.indices() {
            let &(start, end) = self.at.get(index as usize)?;
            joined.extend_from_slice(&self.bytes[start as usize..end as usize]);
            if joined.last() != Some(&b'\n') {
                joined.extend_from_slice(b"\n");
            }
        }
        Some(joined.freeze())
    }
}

impl Prepared {
    fn new(mut work: Work, id: String, trace: Option<&str>, span: tracing::Span, room: usize) -> Self {
        let (job, chunk, pool) = (work.job, work.chunk, work.pool.clone());
        let subject = |part| Subject::InputPart { job, chunk, part, pool: pool.clone() };
        let parts = parts::cut(work.lines.bytes_mut(), room, subject);
        work.parts = parts.len() as u32;
        let subject = Subject::Work { pool, job, chunk };
        let mut message =
            Message::new(subject, envelope::encode_about(&work, work.lines.bytes().len() + HEAD_BYTES)).id(id);
        message = wire::trace::put(message, trace);
        Self { parts, work: message, span }
    }

    /// Does not wait for room.
    pub async fn publish(self, bus: &Bus) -> Result<(), PublishError> {
        async move {
            for part in self.parts {
                match bus.offer(part).await {
                    Ok(_) | Err(PublishError::Taken { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            bus.offer(self.work).await.map(drop)
        }
        .instrument(self.span)
        .await
    }
}
