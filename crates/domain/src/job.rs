//! One job as its events tell it. `evolve` is the only place where a job changes.
use crate::{
    ChunkId, Event, JobId, Millis, Pool,
    event::{
        Cause, ChunkDone, ChunkFailed, ChunkPlan, Closing, Ended, FaultClass, Outcome, OutputWritten, Planned,
        Priority, Rejected, SegmentArchived, SegmentPlan, Submitted, Tally,
    },
    retry::{Failed, Failures, Verdict},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub submitted: Submitted,
    pub phase: Phase,
    /// Its answers are to come by then.
    pub deadline: Millis,
    pub priority: Priority,
    /// It is planned, and nothing of it is to run now.
    pub paused: bool,
    /// How often it was resumed: what was sent before does not pass for what is sent after.
    pub epoch: u32,
    pub deleted: bool,
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    Validating,
    Running,
    /// It takes no more work; what is answered is being written.
    Closing(Closing),
    Rejected(Rejected),
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub plan: SegmentPlan,
    pub chunks: Vec<Chunk>,
    /// What its finished chunks add to the job's tally until the segment is archived.
    pub tally: Tally,
    /// Chunks that still owe an answer.
    pub left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Chunk {
    /// Owed, not before `not_before`.
    Owed {
        failures: Failures,
        not_before: Millis,
    },
    Done,
    /// It failed too often, and two smaller ones at the end of the segment's plan take its place.
    Split,
    /// It failed too often: its requests become error lines.
    GivenUp(FaultClass),
    /// The job closed before it was done: its requests become error lines.
    Unanswered,
}

impl Job {
    /// The job its first event makes. Any other first event is not a job's beginning.
    pub fn begin(id: JobId, event: &Event) -> Option<Self> {
        let Event::JobSubmitted(submitted) = event else { return None };
        Some(Self {
            id,
            submitted: submitted.clone(),
            phase: Phase::Validating,
            deadline: submitted.deadline(),
            priority: submitted.priority,
            paused: false,
            epoch: 0,
            deleted: false,
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
            (Phase::Validating, Event::SegmentPlanned(plan)) if plan.is_sound() => self.plan_segment(plan),
            (Phase::Validating, Event::JobPlanned(planned)) => self.start(planned),
            (Phase::Validating, Event::JobRejected(rejected)) => self.reject(rejected),
            (Phase::Running, Event::JobPaused(_)) => self.paused = true,
            (Phase::Running, Event::JobResumed(_)) => self.resume(),
            (Phase::Validating | Phase::Running, Event::DeadlineMoved(moved)) => self.deadline = moved.deadline,
            (Phase::Validating | Phase::Running, Event::PriorityChanged(changed)) => self.priority = changed.priority,
            // It was decided before the last answer came, and stored after it: there is nothing left to give up.
            (Phase::Running, Event::JobClosing(_)) if self.remaining() == 0 => {}
            (Phase::Validating | Phase::Running, Event::JobClosing(closing)) => self.close(closing),
            (Phase::Running, Event::ChunkDone(done)) => self.chunk_done(done),
            (Phase::Running, Event::ChunkFailed(failed)) => self.chunk_failed(failed),
            (Phase::Running | Phase::Closing(_), Event::SegmentArchived(segment)) => self.archive(segment),
            (Phase::Running | Phase::Closing(_), Event::OutputWritten(written)) => self.written = Some(written.clone()),
            (Phase::Running | Phase::Closing(_), Event::JobEnded(ended)) => self.end(ended),
            (Phase::Rejected(_) | Phase::Ended(_), Event::JobDeleted(_)) => self.deleted = true,
            // A second beginning, a fact of a phase that has passed, or one that never was.
            (_, Event::JobSubmitted(_) | Event::JobDeleted(_))
            | (Phase::Validating, Event::SegmentPlanned(_))
            | (Phase::Validating, Event::JobPaused(_) | Event::JobResumed(_))
            | (Phase::Validating, Event::ChunkDone(_) | Event::ChunkFailed(_) | Event::SegmentArchived(_))
            | (Phase::Validating, Event::OutputWritten(_) | Event::JobEnded(_))
            | (Phase::Running | Phase::Closing(_), Event::SegmentPlanned(_) | Event::JobPlanned(_))
            | (Phase::Running | Phase::Closing(_), Event::JobRejected(_))
            | (Phase::Closing(_), Event::JobPaused(_) | Event::JobResumed(_) | Event::JobClosing(_))
            | (Phase::Closing(_), Event::DeadlineMoved(_) | Event::PriorityChanged(_))
            | (Phase::Closing(_), Event::ChunkDone(_) | Event::ChunkFailed(_))
            | (Phase::Rejected(_) | Phase::Ended(_), _) => {}
        }
    }

    pub const fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Rejected(_) | Phase::Ended(_))
    }

    /// Whether its chunks are to be sent and run now.
    pub const fn is_wanted(&self) -> bool {
        matches!(self.phase, Phase::Running) && !self.paused
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

    /// Chunks of a pool that may be sent now, with their requests, in the order of the input.
    pub fn sendable<'a>(&'a self, pool: &'a Pool, now: Millis) -> impl Iterator<Item = (ChunkId, u32)> + 'a {
        let open = self.open.values().filter(|segment| self.is_wanted() && segment.left > 0);
        let longest_ms = self.submitted.retries.longest_ms();
        open.flat_map(move |segment| segment.sendable(pool, now, longest_ms))
    }

    /// The earliest time at which a chunk that waits after a failure may be sent.
    pub fn next_retry(&self, now: Millis) -> Option<Millis> {
        let chunks = self.open.values().filter(|s| s.left > 0).flat_map(|segment| &segment.chunks);
        let waits = chunks.filter_map(|chunk| match chunk {
            Chunk::Owed { not_before, .. } if *not_before > now => Some(*not_before),
            Chunk::Owed { .. } | Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
        });
        waits.min()
    }

    /// Segments the archiver may write now: those that owe nothing. What they hold does not change any more, so two
    /// archivers write the same.
    pub fn archivable(&self) -> impl Iterator<Item = &Segment> + '_ {
        let active = matches!(self.phase, Phase::Running | Phase::Closing(_));
        self.open.values().filter(move |segment| active && segment.left == 0)
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
        let fresh = Chunk::Owed { failures: Failures::default(), not_before: Millis::default() };
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

    fn resume(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.epoch += 1;
        }
    }

    /// What is owed now stays unanswered. A job that closes before its input is validated has no requests at all.
    fn close(&mut self, closing: &Closing) {
        if self.planned.is_none() {
            self.open.clear();
            let input = String::new();
            self.planned =
                Some(Planned { at: closing.at, input, requests: 0, segments: 0, bytes: 0, warnings: Vec::new() });
        }
        self.open.values_mut().for_each(Segment::abandon);
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
        let id = failed.chunk;
        let Some(Chunk::Owed { failures, .. }) = self.chunk(id) else { return };
        // An attempt that was counted already: the same fact once more.
        if failed.attempt <= failures.tries {
            return;
        }
        let Some(segment) = self.open.get_mut(&id.segment) else { return };
        let requests = segment.plan.chunks[id.index as usize].requests();
        let suspect = Failed { job: self.id, chunk: id, requests, before: failures };
        let verdict = self.submitted.retries.judge(failed.class, suspect);
        self.attempts += 1;
        match verdict {
            Verdict::Retry { failures, delay_ms } => {
                let failures = Failures { tries: failed.attempt, ..failures };
                segment.chunks[id.index as usize] = Chunk::Owed { failures, not_before: failed.at.plus(delay_ms) };
                self.retries += 1;
            }
            Verdict::Split { failures, delay_ms } => {
                segment.split(id.index, Chunk::Owed { failures, not_before: failed.at.plus(delay_ms) });
                self.retries += 1;
            }
            Verdict::GiveUp => {
                let lost = Tally { failed: u64::from(requests), ..Tally::default() };
                segment.settle(id.index, Chunk::GivenUp(failed.class));
                segment.tally += lost;
                self.tally += lost;
            }
        }
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
    fn sendable(&self, pool: &Pool, now: Millis, longest_ms: u64) -> impl Iterator<Item = (ChunkId, u32)> + '_ {
        let pool = self.plan.pools.iter().position(|other| other == pool);
        let chunks = self.chunks.iter().zip(&self.plan.chunks).enumerate().filter(move |_| pool.is_some());
        chunks.filter_map(move |(index, (chunk, plan))| match chunk {
            Chunk::Owed { not_before, .. }
                if is_due(*not_before, now, longest_ms) && Some(usize::from(plan.pool)) == pool =>
            {
                Some((ChunkId::new(self.plan.segment, index as u32), plan.requests()))
            }
            Chunk::Owed { .. } | Chunk::Done | Chunk::Split | Chunk::GivenUp(_) | Chunk::Unanswered => None,
        })
    }

    /// The job closes: what is owed stays unanswered.
    fn abandon(&mut self) {
        for chunk in &mut self.chunks {
            if matches!(chunk, Chunk::Owed { .. }) {
                *chunk = Chunk::Unanswered;
            }
        }
        self.left = 0;
    }

    /// Two halves take the chunk's place.
    fn split(&mut self, index: u32, half: Chunk) {
        let halves = self.plan.chunks[index as usize].halves();
        self.plan.chunks.extend(halves);
        self.chunks[index as usize] = Chunk::Split;
        self.chunks.extend([half; 2]);
        self.left += 1;
    }

    /// The chunks that hold its requests, each request in one of them: those that were split are left out.
    pub fn whole(&self) -> impl Iterator<Item = (u32, &ChunkPlan)> {
        let chunks = self.plan.chunks.iter().zip(&self.chunks).zip(0..);
        chunks.filter(|((_, chunk), _)| !matches!(chunk, Chunk::Split)).map(|((plan, _), index)| (index, plan))
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

/// A delay counts from the clock of the worker that failed. One that ends later than any delay could was told by a
/// clock that is wrong, and must not hold the chunk for as long.
fn is_due(not_before: Millis, now: Millis, longest_ms: u64) -> bool {
    not_before.since(now) == 0 || not_before.since(now) > longest_ms
}
