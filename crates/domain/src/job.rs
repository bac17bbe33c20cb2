//! One job as its events tell it. `evolve` is the only place where a job changes.
use crate::{
    ChunkId, Event, JobId, Millis, Pool,
    event::{
        Cause, ChunkDone, ChunkFailed, Closing, Ended, FaultClass, Outcome, OutputWritten, Planned, Rejected,
        SegmentArchived, SegmentPlan, Submitted, Tally,
    },
    limits::ATTEMPTS_MAX,
    retry,
};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub submitted: Submitted,
    pub phase: Phase,
    pub planned: Option<Planned>,
    /// When its first chunk began to run.
    pub started: Option<Millis>,
    /// What is known to be answered: archived segments exactly, open ones by their finished chunks.
    pub tally: Tally,
    pub output_bytes: u64,
    pub error_bytes: u64,
    pub archived: u32,
    pub attempts: u64,
    pub retries: u64,
    pub written: Option<OutputWritten>,
    /// Segments that are planned and not archived. A finished one costs nothing.
    pub open: BTreeMap<u32, Segment>,
    /// No segment below it is open.
    pub archived_prefix: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Validating,
    Running,
    /// It takes no more work; what is answered is being written.
    Closing(Closing),
    Rejected(Rejected),
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub plan: SegmentPlan,
    pub chunks: Vec<Chunk>,
    /// What its finished chunks add to the job's tally until the segment is archived.
    pub tally: Tally,
    /// Chunks that still owe an answer.
    pub left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chunk {
    /// Owed, after `failures` failed attempts, not before `not_before`.
    Owed {
        failures: u32,
        not_before: Millis,
    },
    Done,
    /// Failed [`ATTEMPTS_MAX`] times: its requests become error lines.
    GivenUp(FaultClass),
}

impl Job {
    /// The job its first event makes. Any other first event is not a job's beginning.
    pub fn begin(id: JobId, event: &Event) -> Option<Self> {
        let Event::JobSubmitted(submitted) = event else { return None };
        Some(Self {
            id,
            submitted: submitted.clone(),
            phase: Phase::Validating,
            planned: None,
            started: None,
            tally: Tally::default(),
            output_bytes: 0,
            error_bytes: 0,
            archived: 0,
            attempts: 0,
            retries: 0,
            written: None,
            open: BTreeMap::new(),
            archived_prefix: 0,
        })
    }

    /// Folds one event in. An event that is not legal in this phase, or that was folded before, changes nothing: the
    /// first terminal state wins, and late facts are harmless.
    pub fn evolve(&mut self, event: &Event) {
        match (&self.phase, event) {
            (Phase::Validating, Event::SegmentPlanned(plan)) => self.plan_segment(plan),
            (Phase::Validating, Event::JobPlanned(planned)) => self.start(planned),
            (Phase::Validating, Event::JobRejected(rejected)) => self.reject(rejected),
            (Phase::Validating | Phase::Running, Event::JobClosing(closing)) => self.close(closing),
            (Phase::Running | Phase::Closing(_), Event::ChunkDone(done)) => self.chunk_done(done),
            (Phase::Running | Phase::Closing(_), Event::ChunkFailed(failed)) => self.chunk_failed(failed),
            (Phase::Running | Phase::Closing(_), Event::SegmentArchived(segment)) => self.archive(segment),
            (Phase::Running | Phase::Closing(_), Event::OutputWritten(written)) => self.written = Some(written.clone()),
            (Phase::Running | Phase::Closing(_), Event::JobEnded(ended)) => self.end(ended),
            // A second beginning, a fact of a phase that has passed, or one that never was.
            (_, Event::JobSubmitted(_))
            | (Phase::Running | Phase::Closing(_), Event::SegmentPlanned(_) | Event::JobPlanned(_))
            | (Phase::Running | Phase::Closing(_), Event::JobRejected(_))
            | (Phase::Closing(_), Event::JobClosing(_))
            | (Phase::Validating, Event::ChunkDone(_) | Event::ChunkFailed(_) | Event::SegmentArchived(_))
            | (Phase::Validating, Event::OutputWritten(_) | Event::JobEnded(_))
            | (Phase::Rejected(_) | Phase::Ended(_), _) => {}
        }
    }

    pub const fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Rejected(_) | Phase::Ended(_))
    }

    /// Zero until the input is validated.
    pub fn total(&self) -> u64 {
        self.planned.as_ref().map_or(0, |planned| planned.requests)
    }

    pub fn segments(&self) -> u32 {
        self.planned.as_ref().map_or(0, |planned| planned.segments)
    }

    /// Requests that still owe an answer.
    pub fn remaining(&self) -> u64 {
        self.total().saturating_sub(self.tally.requests())
    }

    /// Whether every segment is archived and so the output can be put together.
    pub fn is_archived(&self) -> bool {
        self.planned.is_some() && self.archived == self.segments()
    }

    /// Chunks that may be sent now, in the order of the input.
    pub fn sendable(&self, now: Millis) -> impl Iterator<Item = (ChunkId, &Pool, u32)> + '_ {
        let running = matches!(self.phase, Phase::Running);
        let open = self.open.values().filter(move |segment| running && segment.left > 0);
        open.flat_map(move |segment| segment.sendable(now))
    }

    /// The earliest time at which a chunk that waits after a failure may be sent.
    pub fn next_retry(&self, now: Millis) -> Option<Millis> {
        let chunks = self.open.values().filter(|s| s.left > 0).flat_map(|segment| &segment.chunks);
        let waits = chunks.filter_map(|chunk| match chunk {
            Chunk::Owed { not_before, .. } if *not_before > now => Some(*not_before),
            Chunk::Owed { .. } | Chunk::Done | Chunk::GivenUp(_) => None,
        });
        waits.min()
    }

    /// Segments the archiver may write now: those that owe nothing, or all of them once the job is closing.
    pub fn archivable(&self) -> impl Iterator<Item = &Segment> + '_ {
        let closing = matches!(self.phase, Phase::Closing(_));
        let active = closing || matches!(self.phase, Phase::Running);
        self.open.values().filter(move |segment| active && (closing || segment.left == 0))
    }

    pub fn chunk(&self, id: ChunkId) -> Option<Chunk> {
        self.open.get(&id.segment)?.chunks.get(id.index as usize).copied()
    }

    /// The outcome that is due once the output is written.
    pub const fn outcome(&self) -> Outcome {
        match &self.phase {
            Phase::Closing(closing) => match closing.cause {
                Cause::Expired => Outcome::Expired,
                Cause::Cancelled => Outcome::Cancelled,
            },
            Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => Outcome::Completed,
        }
    }

    /// A copy without the open segments, which are the bulk of a job.
    pub fn clone_head(&self) -> Self {
        Self {
            id: self.id,
            submitted: self.submitted.clone(),
            phase: self.phase.clone(),
            planned: self.planned.clone(),
            written: self.written.clone(),
            open: BTreeMap::new(),
            ..*self
        }
    }

    fn plan_segment(&mut self, plan: &SegmentPlan) {
        let fresh = Chunk::Owed { failures: 0, not_before: Millis::default() };
        let chunks = vec![fresh; plan.chunks.len()];
        let left = plan.chunks.len() as u32;
        let segment = Segment { plan: plan.clone(), chunks, tally: Tally::default(), left };
        self.open.entry(plan.segment).or_insert(segment);
    }

    fn start(&mut self, planned: &Planned) {
        self.open.retain(|number, _| *number < planned.segments);
        self.planned = Some(planned.clone());
        self.phase = Phase::Running;
    }

    fn reject(&mut self, rejected: &Rejected) {
        self.open.clear();
        self.phase = Phase::Rejected(rejected.clone());
    }

    /// A job that closes before its input is validated has no requests to answer for.
    fn close(&mut self, closing: &Closing) {
        if self.planned.is_none() {
            self.open.clear();
            let input = String::new();
            self.planned = Some(Planned { at: closing.at, input, requests: 0, segments: 0, bytes: 0 });
        }
        self.phase = Phase::Closing(closing.clone());
    }

    fn chunk_done(&mut self, done: &ChunkDone) {
        let Some(segment) = self.open.get_mut(&done.chunk.segment) else { return };
        if !segment.settle(done.chunk.index, Chunk::Done) {
            return;
        }
        segment.tally += done.tally;
        self.tally += done.tally;
        self.attempts += u64::from(done.delivered);
        self.retries += u64::from(done.delivered.saturating_sub(1));
        self.started = Some(self.started.map_or(done.started, |first| first.min(done.started)));
    }

    fn chunk_failed(&mut self, failed: &ChunkFailed) {
        let Some(segment) = self.open.get_mut(&failed.chunk.segment) else { return };
        let Some(Chunk::Owed { failures, .. }) = segment.chunks.get(failed.chunk.index as usize).copied() else {
            return;
        };
        // An attempt that was counted already: the same fact once more.
        if failed.attempt <= failures {
            return;
        }
        self.attempts += 1;
        if failed.attempt >= ATTEMPTS_MAX {
            segment.settle(failed.chunk.index, Chunk::GivenUp(failed.class));
            return;
        }
        self.retries += 1;
        let not_before = failed.at.plus(retry::delay_ms(self.id, failed.chunk, failed.attempt));
        segment.chunks[failed.chunk.index as usize] = Chunk::Owed { failures: failed.attempt, not_before };
    }

    fn archive(&mut self, archived: &SegmentArchived) {
        let Some(segment) = self.open.remove(&archived.segment) else { return };
        self.tally -= segment.tally;
        self.tally += archived.tally;
        self.output_bytes += archived.output_bytes;
        self.error_bytes += archived.error_bytes;
        self.archived += 1;
        self.archived_prefix = self.open.keys().next().copied().unwrap_or(self.segments());
    }

    fn end(&mut self, ended: &Ended) {
        self.open.clear();
        self.phase = Phase::Ended(ended.clone());
    }
}

impl Segment {
    fn sendable(&self, now: Millis) -> impl Iterator<Item = (ChunkId, &Pool, u32)> + '_ {
        let chunks = self.chunks.iter().zip(&self.plan.chunks).enumerate();
        chunks.filter_map(move |(index, (chunk, plan))| match chunk {
            Chunk::Owed { not_before, .. } if *not_before <= now => {
                let id = ChunkId::new(self.plan.segment, index as u32);
                Some((id, &self.plan.pools[usize::from(plan.pool)], plan.requests()))
            }
            Chunk::Owed { .. } | Chunk::Done | Chunk::GivenUp(_) => None,
        })
    }

    /// Whether the chunk was owed until now.
    fn settle(&mut self, index: u32, to: Chunk) -> bool {
        let Some(chunk) = self.chunks.get_mut(index as usize) else { return false };
        if !matches!(chunk, Chunk::Owed { .. }) {
            return false;
        }
        *chunk = to;
        self.left -= 1;
        true
    }
}
