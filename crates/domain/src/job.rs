//! One job as its events tell it. `evolve` is the only place where a job changes.
use crate::{
    ChunkId, Event, JobId, Pool, Timestamp,
    event::{
        Abandoned, Cause, ChunkDone, ChunkFailed, ChunkLost, ChunkPlan, Closing, Ended, FaultClass, Outcome,
        OutputWritten, Planned, Priority, Rejected, Remains, SegmentArchived, SegmentPlan, Submitted, Tally, Trust,
        is_false,
    },
    hold::{self, Hold},
    retry::{Action, Failed, Failures, Verdict},
    witness::Witness,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest rest of a chunk whose result is lost again and again.
const LOST_REST_MS_MAX: u64 = 60_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub submitted: Submitted,
    pub phase: Phase,
    /// Its answers are to come by then.
    pub deadline: Timestamp,
    pub priority: Priority,
    /// It is planned, and nothing of it is to run now.
    pub paused: bool,
    /// How often it was resumed: what was sent before does not pass for what is sent after.
    pub epoch: u32,
    pub deleted: bool,
    pub planned: Option<Planned>,
    /// When its first chunk began to run.
    pub started: Option<Timestamp>,
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
    #[serde(default)]
    pub hold: Hold,
    /// Archived segments of which results were lost before, and how many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relost: BTreeMap<u32, u32>,
    /// It was cancelled while it closed because of its deadline. Its lines keep that cause: some may be written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled: bool,
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
    /// Chunks whose results were lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<u32, Lost>,
}

/// How often a chunk's result was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub times: u32,
    /// The last attempt of which that is known: no fact of it, or of one before, counts any more.
    pub attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Chunk {
    /// Owed, not before `not_before`.
    Owed {
        failures: Failures,
        not_before: Timestamp,
    },
    Done,
    /// It failed too often, and two smaller ones at the end of the segment's plan take its place.
    Split,
    /// It failed too often: its requests become error lines.
    GivenUp(FaultClass),
    /// The job closed before it was done: its requests become error lines.
    Unanswered,
}

impl Lost {
    /// Before it runs again, milliseconds: what is lost over and over is not run all the time.
    fn rest_ms(self) -> u64 {
        if self.times == 0 { 0 } else { (1_000 << self.times.min(6)).min(LOST_REST_MS_MAX) }
    }
}

impl Job {
    /// The job its first event makes. Any other first event is not a job's beginning, but for the end of one whose
    /// beginning is gone.
    pub fn begin(id: JobId, event: &Event) -> Option<Self> {
        match event {
            Event::JobSubmitted(submitted) => Some(Self::new(id, submitted)),
            Event::JobEnded(ended) => match ended.abandoned.as_deref() {
                Some(Abandoned::Unlogged(remains)) => {
                    let mut job = Self::of(id, remains);
                    job.evolve(event);
                    Some(job)
                }
                Some(Abandoned::Unwritten) | None => None,
            },
            _ => None,
        }
    }

    fn of(id: JobId, remains: &Remains) -> Self {
        let tally = Tally { usage: remains.usage, ..Tally::default() };
        Self { planned: remains.planned.clone(), tally, ..Self::new(id, &remains.submitted) }
    }

    fn new(id: JobId, submitted: &Submitted) -> Self {
        Self {
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
            relost: BTreeMap::new(),
            hold: Hold::default(),
            cancelled: false,
        }
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
            (Phase::Running, Event::JobClosing(closing)) if self.remaining() == 0 && !closing.late => {}
            (Phase::Validating | Phase::Running, Event::JobClosing(closing)) => self.close(closing),
            (Phase::Closing(_), Event::JobClosing(closing)) if closing.late => self.cancelled = true,
            (Phase::Validating | Phase::Running | Phase::Closing(_), Event::JobEnded(ended))
                if ended.abandoned.is_some() =>
            {
                self.abandon(ended);
            }
            (Phase::Running, Event::ChunkDone(done)) => self.chunk_done(done),
            (Phase::Running, Event::ChunkFailed(failed)) => self.chunk_failed(failed),
            (Phase::Running | Phase::Closing(_), Event::ChunkLost(lost)) => self.chunk_lost(lost),
            (Phase::Running | Phase::Closing(_), Event::SegmentArchived(segment)) => self.archive(segment),
            (Phase::Running | Phase::Closing(_), Event::OutputWritten(written)) => self.write(written),
            (Phase::Running | Phase::Closing(_), Event::JobEnded(ended)) => self.end(ended),
            (Phase::Rejected(_) | Phase::Ended(_), Event::JobDeleted(_)) => self.deleted = true,
            // A second beginning, a fact of a phase that has passed, or one that never was.
            (_, Event::JobSubmitted(_) | Event::JobDeleted(_))
            | (Phase::Validating, Event::SegmentPlanned(_))
            | (Phase::Validating, Event::JobPaused(_) | Event::JobResumed(_))
            | (Phase::Validating, Event::ChunkDone(_) | Event::ChunkFailed(_) | Event::SegmentArchived(_))
            | (Phase::Validating, Event::ChunkLost(_) | Event::OutputWritten(_) | Event::JobEnded(_))
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

    /// Chunks of a pool that may be sent now, with their requests, in the order of the input: of a job that holds the
    /// first, from time to time.
    pub fn sendable<'a>(&'a self, pool: &'a Pool, now: Timestamp) -> impl Iterator<Item = (ChunkId, u32)> + 'a {
        let open = self.open.values().filter(|segment| self.is_wanted() && segment.left > 0);
        let longest_ms = self.submitted.policies.longest_ms();
        let most = match self.hold.not_before() {
            None => usize::MAX,
            Some(at) => usize::from(is_due(at, now, hold::PAUSE_LONGEST_MS)),
        };
        open.flat_map(move |segment| segment.sendable(pool, now, longest_ms)).take(most)
    }

    /// Segments that may be archived now: those that owe nothing. What they hold does not change any more, so two
    /// archivers write the same.
    pub fn archivable(&self) -> impl Iterator<Item = &Segment> + '_ {
        self.open.values().filter(|segment| self.is_writing() && segment.left == 0)
    }

    pub fn is_archivable(&self, segment: u32) -> bool {
        self.is_writing() && self.open.get(&segment).is_some_and(|segment| segment.left == 0)
    }

    /// Whether its answers are still being written.
    pub const fn is_writing(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Closing(_))
    }

    pub fn chunk(&self, id: ChunkId) -> Option<Chunk> {
        self.open.get(&id.segment)?.chunks.get(id.index as usize).copied()
    }

    /// Whether it closes because it was cancelled.
    pub const fn is_cancelled(&self) -> bool {
        match &self.phase {
            Phase::Closing(closing) => self.cancelled || matches!(closing.cause, Cause::Cancelled),
            Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => false,
        }
    }

    /// Whether its end is all that is missing.
    pub fn is_written(&self) -> bool {
        self.is_writing() && self.written.is_some() && self.is_archived()
    }

    /// Bytes that its files may come to, of which some are not written.
    pub fn unwritten_bytes(&self) -> u64 {
        let open = self.open.values().map(|segment| segment.plan.bytes);
        open.fold(self.output_bytes.saturating_add(self.error_bytes), u64::saturating_add)
    }

    /// The outcome that is due once the output is written.
    pub const fn outcome(&self) -> Outcome {
        match &self.phase {
            Phase::Closing(_) if self.is_cancelled() => Outcome::Cancelled,
            Phase::Closing(_) => Outcome::Expired,
            Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => Outcome::Completed,
        }
    }

    /// Results of a segment that were lost and told of. What is written of it has the name of this many.
    pub fn losses_of(&self, segment: u32) -> u32 {
        let open = self.open.get(&segment).map(Segment::losses);
        open.or_else(|| self.relost.get(&segment).copied()).unwrap_or(0)
    }

    pub fn losses(&self) -> u32 {
        let (open, archived) = (self.open.values().map(Segment::losses), self.relost.values().copied());
        open.chain(archived).fold(0, u32::saturating_add)
    }

    /// Whether a chunk of it failed where others could have had it, and is owed still.
    pub fn has_witnesses(&self) -> bool {
        let mut chunks = self.open.values().flat_map(|segment| &segment.chunks);
        chunks.any(|chunk| matches!(chunk, Chunk::Owed { failures, .. } if !failures.seen.is_none()))
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
            relost: self.relost.clone(),
            ..*self
        }
    }

    fn plan_segment(&mut self, plan: &SegmentPlan) {
        let fresh = Chunk::Owed { failures: Failures::default(), not_before: Timestamp::default() };
        let chunks = vec![fresh; plan.chunks.len()];
        let left = plan.chunks.len() as u32;
        let segment = Segment { plan: plan.clone(), chunks, tally: Tally::default(), left, lost: BTreeMap::new() };
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
        if segment.has_lost(done.chunk.index, done.attempt) || !segment.settle(done.chunk.index, Chunk::Done) {
            return;
        }
        segment.tally += done.tally;
        self.tally += done.tally;
        self.hold.done();
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
        // What was stored before records were kept is judged as it was then.
        let spared = match failed.trust {
            None => false,
            Some(Trust::Untrusted) => true,
            Some(Trust::Trusted) => self.hold.is_on(),
        };
        let witness = Witness::of(&failed.worker, failed.others);
        let suspect = Failed { job: self.id, chunk: id, requests, before: failures, spared, witness };
        let verdict = self.submitted.policies.judge(failed.class, suspect);
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
                if self.submitted.policies.of(failed.class).action == Action::Retry {
                    self.hold.lost(requests);
                }
            }
        }
        self.hold.failed(failed.at);
    }

    /// It is owed again; once the job closes it stays without an answer.
    fn chunk_lost(&mut self, lost: &ChunkLost) {
        let is_running = matches!(self.phase, Phase::Running);
        let Some(segment) = self.open.get_mut(&lost.chunk.segment) else { return };
        if segment.lose(lost, is_running) {
            segment.tally -= lost.tally;
            self.tally -= lost.tally;
            self.retries += u64::from(is_running);
        }
    }

    fn archive(&mut self, archived: &SegmentArchived) {
        let Some(segment) = self.open.get(&archived.segment) else { return };
        // It was written before a result of it was lost, and has another run's lines.
        if segment.losses() != archived.losses {
            return;
        }
        self.relost.extend((archived.losses > 0).then_some((archived.segment, archived.losses)));
        let Some(segment) = self.open.remove(&archived.segment) else { return };
        self.tally -= segment.tally;
        self.tally += archived.tally;
        self.output_bytes += archived.output_bytes;
        self.error_bytes += archived.error_bytes;
        self.archived += 1;
        self.archived_prefix = self.open.keys().next().copied().unwrap_or(self.segments());
    }

    fn write(&mut self, written: &OutputWritten) {
        if written.losses == self.losses() {
            self.written = Some(written.clone());
        }
    }

    fn end(&mut self, ended: &Ended) {
        self.open.clear();
        self.phase = Phase::Ended(ended.clone());
    }

    /// No line of it can be read, so no request counts as answered. Who knew more than the log does forgets it.
    fn abandon(&mut self, ended: &Ended) {
        if let Some(Abandoned::Unlogged(remains)) = ended.abandoned.as_deref() {
            *self = Self::of(self.id, remains);
        }
        self.tally = Tally { unanswered: self.total(), usage: self.tally.usage, ..Tally::default() };
        self.written = None;
        self.end(ended);
    }
}

impl Segment {
    fn sendable(&self, pool: &Pool, now: Timestamp, longest_ms: u64) -> impl Iterator<Item = (ChunkId, u32)> + '_ {
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

    /// What a failure of a chunk can change: itself, or, where that just split it, its halves at the end.
    pub fn touched(&self, index: u32) -> std::ops::Range<u32> {
        let count = self.chunks.len() as u32;
        match self.chunks.get(index as usize) {
            Some(Chunk::Split) => count.saturating_sub(2)..count,
            _ => index..index.saturating_add(1),
        }
    }

    /// The chunks that hold its requests, each request in one of them: those that were split are left out.
    pub fn whole(&self) -> impl Iterator<Item = (u32, &ChunkPlan)> {
        let chunks = self.plan.chunks.iter().zip(&self.chunks).zip(0..);
        chunks.filter(|((_, chunk), _)| !matches!(chunk, Chunk::Split)).map(|((plan, _), index)| (index, plan))
    }

    /// Whether the chunk was done until now, and by no later attempt than is known.
    fn lose(&mut self, lost: &ChunkLost, is_running: bool) -> bool {
        let index = lost.chunk.index;
        let is_known = self.has_lost(index, lost.attempt);
        let Some(chunk @ Chunk::Done) = self.chunks.get_mut(index as usize).filter(|_| !is_known) else { return false };
        let known = self.lost.entry(index).or_default();
        let not_before = lost.at.plus(known.rest_ms());
        let failures = Failures { tries: lost.attempt, ..Failures::default() };
        *chunk = if is_running { Chunk::Owed { failures, not_before } } else { Chunk::Unanswered };
        self.left += u32::from(is_running);
        *known = Lost { times: known.times.saturating_add(1), attempt: lost.attempt };
        true
    }

    pub fn losses(&self) -> u32 {
        self.lost.values().fold(0, |sum, lost| sum.saturating_add(lost.times))
    }

    /// Whether the result of an attempt is known to be lost.
    fn has_lost(&self, chunk: u32, attempt: u32) -> bool {
        self.lost.get(&chunk).is_some_and(|lost| attempt <= lost.attempt)
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
fn is_due(not_before: Timestamp, now: Timestamp, longest_ms: u64) -> bool {
    not_before.since(now) == 0 || not_before.since(now) > longest_ms
}
