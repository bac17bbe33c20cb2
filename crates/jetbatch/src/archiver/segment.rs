//! Writes one segment: its answers in input order, then the fact, then the removal of its results. A crash in between
//! repeats it: the files have the same names, the fact the same id.
use super::{
    Transient,
    answers::{self, Answers, Why},
    cleanup,
    merge::{self, Files, Open},
};
use crate::{
    clock,
    shared::Shared,
    spans,
    store::{Kind, StoreError, Writer, paths},
    telemetry,
};
use bytes::Bytes;
use domain::{
    ChunkId, Event, Job,
    event::{SegmentArchived, SegmentPlan, Tally},
    job::Segment,
    lines::texts,
};
use futures::{Stream, StreamExt, pin_mut};
use std::collections::HashMap;
use tracing::Instrument;
use wire::{envelope, line};

/// Chunks read ahead of the one that is written.
const AHEAD: usize = 3;
/// Lines gathered before they go to the store.
const BLOCK_BYTES: usize = 1 << 20;
static NO_LINE: Bytes = Bytes::new();

pub async fn archive(shared: &Shared, job: &Job, number: u32) -> Result<(), Transient> {
    let span = spans::archive(job, Some(number));
    async {
        let Some(segment) = job.open.get(&number) else { return Ok(()) };
        let fact = write(shared, job, segment).await?;
        shared.metrics.segment_archived(fact.output_bytes, fact.error_bytes);
        shared.metrics.unanswered(fact.tally.unanswered);
        let trace = telemetry::context();
        let message = envelope::event(job.id, &Event::SegmentArchived(fact), trace.as_deref());
        shared.bus.publish(message.id(format!("{}:archived:{number}", job.id))).await?;
        // The fact stands: whatever fails from here on is no reason to write the segment anew.
        if let Err(error) = cleanup::segment(shared, job.id, number).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(job = %job.id, segment = number, error, "results of an archived segment stay until the job's end");
        }
        Ok(())
    }
    .instrument(span)
    .await
}

async fn write(shared: &Shared, job: &Job, segment: &Segment) -> Result<SegmentArchived, Transient> {
    let (plan, runs) = (&segment.plan, merge::runs(segment));
    let mut order: Vec<usize> = Vec::with_capacity(plan.chunks.len());
    let mut seen = vec![false; plan.chunks.len()];
    for &(chunk, _, _) in &runs {
        if !std::mem::replace(&mut seen[chunk], true) {
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
        let sink = |kind| Sink { path: paths::part(job.id, plan.segment, kind), writer: None, bytes: 0 };
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
        self.flush(BLOCK_BYTES).await
    }

    fn open(&mut self, chunk: usize, answers: Answers) -> Result<Result<Open, Why>, Transient> {
        match answers {
            Answers::None(why) => Ok(Err(why)),
            Answers::Lines(results) => {
                let requests = self.plan.chunks[chunk].requests();
                let open = Open::new(results, requests).map_err(|_| Transient::Misfit(self.plan.segment))?;
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
                &why.message(),
            );
            merge::unanswered(why, &mut self.files.tally);
        }
        Ok(())
    }

    async fn flush(&mut self, least: usize) -> Result<(), Transient> {
        for (sink, lines) in [(&mut self.output, &mut self.files.output), (&mut self.errors, &mut self.files.errors)] {
            if lines.len() >= least.max(1) {
                sink.write(self.shared, std::mem::take(lines).into()).await?;
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
        self.flush(0).await?;
        Ok(SegmentArchived {
            at: clock::now(),
            segment: self.plan.segment,
            tally: self.files.tally,
            output_bytes: self.output.close(self.shared).await?,
            error_bytes: self.errors.close(self.shared).await?,
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

    /// Where there is no line there must be no file, not even one of an earlier try.
    async fn close(self, shared: &Shared) -> Result<u64, StoreError> {
        match self.writer {
            Some(writer) => drop(writer.finish().await?),
            None => shared.store.delete(&self.path).await?,
        }
        Ok(self.bytes)
    }
}
