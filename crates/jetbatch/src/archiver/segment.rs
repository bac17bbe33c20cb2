//! Writes one segment: its answers in input order, then the fact; its results are removed when that is folded. A crash
//! in between repeats it: the files have the same names, the fact the same id. The one segment of a small job is its
//! output: it is written in its place, and its results stay until the job's end, so that whoever writes it late writes
//! the same.
use super::{
    Transient,
    answers::{self, Answers, Why},
    compose, lost,
    merge::{self, Files, Open},
};
use crate::{
    clock,
    paths::{self, Kind},
    shared::Shared,
    spans, telemetry,
};
use bytes::Bytes;
use domain::{
    ChunkId, Event, Job,
    archive::is_in_place,
    event::{SegmentArchived, SegmentPlan, Tally},
    job::Segment,
    lines::texts,
    traced::shows_segment,
};
use futures::{Stream, StreamExt, pin_mut};
use std::{collections::HashMap, mem};
use store::{StoreError, Writer};
use tracing::Instrument;
use wire::{envelope, line};

/// Chunks read ahead of the one that is written.
const AHEAD: usize = 3;
/// Lines gathered before they go to the store.
const BLOCK_BYTES: usize = 1 << 20;
static NO_LINE: Bytes = Bytes::new();

pub async fn archive(shared: &Shared, job: &Job, number: u32) -> Result<(), Transient> {
    let span = spans::archive(job, Some(number));
    let archived = async {
        let Some(segment) = job.open.get(&number) else { return Ok(()) };
        let fact = match write(shared, job, segment).await {
            Err(error @ (Transient::Missing(_) | Transient::Misfit(_))) => {
                return Err(lost(shared, job, number, error).await);
            }
            written => written?,
        };
        shared.metrics.segment_archived(fact.output_bytes, fact.error_bytes);
        shared.metrics.unanswered(fact.tally.unanswered);
        let trace = telemetry::context();
        let losses = fact.losses;
        let written = is_in_place(job).then(|| compose::in_place(job, fact.output_bytes, fact.error_bytes));
        let message = envelope::event(job.id, &Event::SegmentArchived(fact), trace.as_deref());
        let archived = shared.bus.publish(message.id(again(format!("{}:archived:{number}", job.id), losses)));
        if let Some(written) = written {
            let (archived, written) = tokio::join!(archived, compose::tell(shared, job.id, written));
            return archived.map_err(Transient::from).and(written);
        }
        archived.await?;
        Ok(())
    }
    .instrument(span.clone())
    .await;
    if archived.is_ok() && job.planned.as_ref().is_some_and(|plan| !shows_segment(plan.segments, number)) {
        telemetry::hide(&span);
    }
    archived
}

/// The fact of another content has another id.
pub fn again(id: String, losses: u32) -> String {
    if losses == 0 { id } else { format!("{id}:{losses}") }
}

/// What does not fit the log is looked for once more, where it is known for certain.
async fn lost(shared: &Shared, job: &Job, number: u32, error: Transient) -> Transient {
    match lost::tell(shared, job, number).await {
        Ok(0) => error,
        Ok(chunks) => Transient::Lost(chunks),
        Err(error) => error,
    }
}

async fn write(shared: &Shared, job: &Job, segment: &Segment) -> Result<SegmentArchived, Transient> {
    let (plan, runs) = (&segment.plan, merge::runs(segment));
    let mut order: Vec<usize> = Vec::with_capacity(plan.chunks.len());
    let mut seen = vec![false; plan.chunks.len()];
    for &(chunk, _, _) in &runs {
        if !mem::replace(&mut seen[chunk], true) {
            order.push(chunk);
        }
    }
    let coming = futures::stream::iter(order)
        .map(|chunk| async move {
            let id = ChunkId::new(plan.segment, chunk as u32);
            (chunk, answers::of(shared, job, id).await)
        })
        .buffered(AHEAD);
    pin_mut!(coming);
    let mut writing = Writing::new(shared, job, plan);
    for (chunk, first, count) in runs {
        writing.run(&mut coming, chunk, first, count).await?;
    }
    writing.finish(segment.tally).await
}

struct Writing<'a> {
    shared: &'a Shared,
    job: &'a Job,
    plan: &'a SegmentPlan,
    open: HashMap<usize, Result<Open, Why>>,
    /// The segment's input lines: read once a request without an answer needs its custom id.
    input: Option<Vec<Bytes>>,
    files: Files,
    output: Sink,
    errors: Sink,
}

impl<'a> Writing<'a> {
    fn new(shared: &'a Shared, job: &'a Job, plan: &'a SegmentPlan) -> Self {
        let losses = job.losses_of(plan.segment);
        let path = |kind| match is_in_place(job) {
            true => paths::file(job.id, kind, losses),
            false => paths::part(job.id, plan.segment, kind, losses),
        };
        let sink = |kind| Sink { path: path(kind), writer: None, bytes: 0 };
        Self {
            shared,
            job,
            plan,
            open: HashMap::new(),
            input: None,
            files: Files::default(),
            output: sink(Kind::Output),
            errors: sink(Kind::Errors),
        }
    }

    async fn run(
        &mut self,
        coming: &mut (impl Stream<Item = (usize, Result<Answers, Transient>)> + Unpin),
        chunk: usize,
        first: u32,
        count: u32,
    ) -> Result<(), Transient> {
        while !self.open.contains_key(&chunk) {
            let (arrived, answers) = coming.next().await.ok_or(Transient::Misfit(self.plan.segment))?;
            let open = self.open(arrived, answers?)?;
            self.open.insert(arrived, open);
        }
        match self.open.get_mut(&chunk) {
            Some(Ok(open)) => {
                open.take(count as usize, &mut self.files);
                if open.is_done() {
                    self.open.remove(&chunk);
                }
            }
            Some(Err(why)) => {
                let why = *why;
                self.unanswered(why, first, count).await?;
            }
            None => return Err(Transient::Misfit(self.plan.segment)),
        }
        self.flush().await
    }

    fn open(&mut self, chunk: usize, answers: Answers) -> Result<Result<Open, Why>, Transient> {
        match answers {
            Answers::None(why) => Ok(Err(why)),
            Answers::Lines(results) => {
                let requests = self.plan.chunks[chunk].requests();
                let open = Open::new(*results, requests).map_err(|_| Transient::Misfit(self.plan.segment))?;
                self.files.tally += open.usage();
                Ok(Ok(open))
            }
        }
    }

    async fn unanswered(&mut self, why: Why, first: u32, count: u32) -> Result<(), Transient> {
        if self.input.is_none() {
            self.input = Some(input(self.shared, self.job, self.plan).await?);
        }
        let lines = self.input.as_ref().map_or(&[][..], Vec::as_slice);
        for index in first..first + count {
            // An input that is gone, or is not the one that was planned, has no ids to give back.
            let line = lines.get(index as usize).unwrap_or(&NO_LINE);
            let number = self.plan.first + u64::from(index);
            line::error(
                &mut self.files.errors,
                self.job.id,
                number,
                &line::custom_id(line),
                why.code(),
                &why.message(self.job),
            );
            merge::unanswered(why, &mut self.files.tally);
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Transient> {
        for (sink, lines) in [(&mut self.output, &mut self.files.output), (&mut self.errors, &mut self.files.errors)] {
            if lines.len() >= BLOCK_BYTES {
                // The next block is about as long: a buffer that grows is copied again and again.
                let next = Vec::with_capacity(lines.capacity());
                sink.write(self.shared, mem::replace(lines, next).into()).await?;
            }
        }
        Ok(())
    }

    /// What differs from the facts is a result that came late, into the room of one that another archiver has archived
    /// and removed: this one learns of that by the next fold.
    async fn finish(mut self, told: Tally) -> Result<SegmentArchived, Transient> {
        let known = Tally { unanswered: self.files.tally.unanswered, ..told };
        if self.files.tally != known || known.requests() != u64::from(self.plan.requests) {
            return Err(Transient::Misfit(self.plan.segment));
        }
        let (output, errors) = (mem::take(&mut self.files.output), mem::take(&mut self.files.errors));
        let is_part = !is_in_place(self.job);
        Ok(SegmentArchived {
            at: clock::now(),
            segment: self.plan.segment,
            tally: self.files.tally,
            output_bytes: self.output.close(self.shared, output, is_part).await?,
            error_bytes: self.errors.close(self.shared, errors, is_part).await?,
            losses: self.job.losses_of(self.plan.segment),
        })
    }
}

/// A segment's input lines; none if the input is not there any more.
async fn input(shared: &Shared, job: &Job, plan: &SegmentPlan) -> Result<Vec<Bytes>, Transient> {
    let Some(planned) = &job.planned else { return Ok(Vec::new()) };
    let end = plan.offset + plan.bytes;
    if shared.store.size(&planned.input).await?.is_none_or(|size| size < end) {
        tracing::error!(job = %job.id, segment = plan.segment, "the job's input is gone or cut: error lines have no custom_id");
        return Ok(Vec::new());
    }
    let bytes = shared.store.range(&planned.input, plan.offset..end).await?;
    Ok(texts(&bytes).map(|text| bytes.slice_ref(text)).collect())
}

/// A part file, made when it gets its first line.
struct Sink {
    path: String,
    writer: Option<Writer>,
    bytes: u64,
}

impl Sink {
    async fn write(&mut self, shared: &Shared, lines: Bytes) -> Result<(), StoreError> {
        self.bytes += lines.len() as u64;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(shared.store.writer(&self.path).await?),
        };
        writer.write(lines).await
    }

    /// Writes the last lines. Where there is no line there must be no part, not even one of an earlier try; what lies
    /// in its place is named by a fact, or is none.
    async fn close(mut self, shared: &Shared, last: Vec<u8>, is_part: bool) -> Result<u64, StoreError> {
        match self.writer {
            Some(mut writer) => {
                self.bytes += last.len() as u64;
                writer.write(last.into()).await?;
                writer.finish().await?;
            }
            None if last.is_empty() && is_part => shared.store.delete(&self.path).await?,
            None if last.is_empty() => {}
            None => {
                self.bytes = last.len() as u64;
                shared.store.put(&self.path, last.into()).await?;
            }
        }
        Ok(self.bytes)
    }
}
