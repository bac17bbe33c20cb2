//! The facts of the log. Past tense, self-contained, never rewritten: a new meaning is a new variant or version.
use crate::{
    ChunkId, Pool, Tenant, Timestamp, load::Load, pack::Packing, request::Refusal, retry::Policies, warning::Warning,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The newest version that is read; a reader refuses newer ones. Each event is written with the oldest that has it.
pub const VERSION: u32 = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr)]
#[strum(const_into_str)]
#[allow(clippy::large_enum_variant)] // No list of them is kept.
pub enum Event {
    // Lifecycle, on `event.job.<job>`, appended by compare-and-set.
    JobSubmitted(Submitted),
    JobRejected(Rejected),
    JobPlanned(Planned),
    JobPaused(At),
    JobResumed(At),
    DeadlineMoved(DeadlineMoved),
    PriorityChanged(PriorityChanged),
    JobClosing(Closing),
    JobEnded(Ended),
    /// What the job left is removed; the fact stays.
    JobDeleted(At),
    // Chunk and segment facts, on `event.chunk.<job>`, appended with a message id; folding one twice changes nothing.
    SegmentPlanned(SegmentPlan),
    ChunkDone(ChunkDone),
    ChunkFailed(ChunkFailed),
    ChunkLost(ChunkLost),
    SegmentArchived(SegmentArchived),
    OutputWritten(OutputWritten),
}

impl Event {
    /// The event's type as it stands in the envelope's header.
    pub const fn name(&self) -> &'static str {
        self.into_str()
    }

    /// The version it is written with.
    pub fn version(&self) -> u32 {
        match self {
            // Who does not know of others believes one worker alone.
            Self::ChunkFailed(ChunkFailed { others: 1.., .. }) => 5,
            Self::ChunkLost(_) | Self::ChunkFailed(ChunkFailed { trust: Some(_), .. }) => 2,
            Self::SegmentArchived(SegmentArchived { losses: 1.., .. })
            | Self::OutputWritten(OutputWritten { losses: 1.., .. }) => 2,
            // Who does not know of tenants shows it to all.
            Self::JobSubmitted(submitted) if !submitted.is_common() => 4,
            // Who does not know of an order cuts otherwise.
            Self::JobSubmitted(submitted) if !submitted.packing.order.is_empty() => 2,
            Self::JobClosing(Closing { late: true, .. } | Closing { reason: Some(_), .. })
            | Self::JobEnded(Ended { abandoned: Some(_), .. }) => 3,
            _ => 1,
        }
    }

    /// Whether it belongs to the job's lifecycle and so is appended by compare-and-set.
    pub const fn is_lifecycle(&self) -> bool {
        match self {
            Self::JobSubmitted(_)
            | Self::JobRejected(_)
            | Self::JobPlanned(_)
            | Self::JobPaused(_)
            | Self::JobResumed(_)
            | Self::DeadlineMoved(_)
            | Self::PriorityChanged(_)
            | Self::JobClosing(_)
            | Self::JobEnded(_)
            | Self::JobDeleted(_) => true,
            Self::SegmentPlanned(_)
            | Self::ChunkDone(_)
            | Self::ChunkFailed(_)
            | Self::ChunkLost(_)
            | Self::SegmentArchived(_)
            | Self::OutputWritten(_) => false,
        }
    }
}

/// A fact that tells nothing but when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlineMoved {
    pub at: Timestamp,
    pub deadline: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityChanged {
    pub at: Timestamp,
    pub priority: Priority,
}

/// Where a job's input lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The submission itself carries the requests. Intake writes them to the store while it validates.
    Inline,
    /// An object of jetbatch's own store, by its path there: uploaded.
    Stored(String),
    /// A file under an allowed root or an object by URL. Intake copies it while it validates.
    Url(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    pub at: Timestamp,
    /// Of the submitted body, so that one key with two bodies is a conflict.
    pub fingerprint: String,
    pub input: Input,
    /// Takes the place of a missing `body.model`.
    pub model: Option<String>,
    /// Takes the place of a missing `url`; a line with another one is refused.
    pub endpoint: Option<String>,
    pub window_ms: u64,
    pub metadata: BTreeMap<String, String>,
    pub priority: Priority,
    /// W3C context of the span that all of the job hangs under: `traceparent`, and after a blank `tracestate`, if any.
    pub trace: Option<String>,
    /// How the input is cut. It stands in the log so that an intake that starts again cuts at the same places.
    pub packing: Packing,
    /// What follows on failures, for the same reason.
    #[serde(rename = "retries", default)]
    pub policies: Policies,
    /// A request that would be answered with an error refuses the whole input.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Whose job it is.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// The pools that its requests may run in; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
    /// Where its end is told, beside the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own form
pub(crate) const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own form
pub(crate) const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Submitted {
    /// Whether it is as all jobs were before there were tenants.
    pub fn is_common(&self) -> bool {
        self.tenant.is_default() && self.pools.is_empty()
    }

    /// Whether another submission under its id is a repetition of it.
    pub fn is_same(&self, again: &Self) -> bool {
        (&self.fingerprint, self.tenant) == (&again.fingerprint, again.tenant)
    }

    /// The deadline it was submitted with. [`crate::Job::deadline`] is the one that holds.
    pub const fn deadline(&self) -> Timestamp {
        self.at.plus(self.window_ms)
    }
}

/// A class of urgency: a higher one is served before any deadline of a lower one, which keeps a small share. `urgent`,
/// `standard` and `background` mean the same three.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Priority {
    #[serde(alias = "urgent")]
    #[strum(to_string = "high", serialize = "urgent")]
    High,
    #[default]
    #[serde(alias = "standard")]
    #[strum(to_string = "normal", serialize = "standard")]
    Normal,
    #[serde(alias = "background")]
    #[strum(to_string = "low", serialize = "background")]
    Low,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    pub at: Timestamp,
    /// At most [`crate::limits::ERRORS_REPORTED_MAX`].
    pub errors: Vec<LineError>,
    /// All that were found.
    pub errors_total: u64,
}

/// One mistake in an input, in the words of the OpenAI batch object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LineError {
    pub code: Code,
    /// 1-based; absent when the mistake is the file's.
    pub line: Option<u64>,
    /// The field, as `body.temperature`.
    pub param: Option<String>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = LineErrorCode))]
pub enum Code {
    InvalidJsonLine,
    InvalidUtf8,
    LineTooLong,
    MissingRequiredParameter,
    InvalidType,
    InvalidValue,
    /// A field that stands twice.
    DuplicateParameter,
    UnsupportedParameter,
    UnknownParameter,
    DuplicateCustomId,
    UrlMismatch,
    InvalidMethod,
    ModelMismatch,
    EmptyFile,
    FileTooLarge,
    TooManyTasks,
    InputNotFound,
    InputNotAllowed,
    InvalidSubmission,
    /// Of a pool that refuses jobs whose windows will not hold, or warns of them.
    WindowTooShort,
}

impl Code {
    /// The code of a refusal.
    pub fn of(refusal: &Refusal) -> Self {
        match refusal.code {
            Some("invalid_json") => Self::InvalidJsonLine,
            Some("missing_required_parameter") => Self::MissingRequiredParameter,
            Some("invalid_type") => Self::InvalidType,
            Some("duplicate_parameter") => Self::DuplicateParameter,
            Some("unsupported_parameter") => Self::UnsupportedParameter,
            Some("unknown_parameter") => Self::UnknownParameter,
            _ => Self::InvalidValue,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub at: Timestamp,
    /// The input in jetbatch's own store, as a path there.
    pub input: String,
    pub requests: u64,
    pub segments: u32,
    pub bytes: u64,
    /// Requests that will be answered with an error, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A slice of the input in file order and how it is cut into chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentPlan {
    pub segment: u32,
    /// Bytes `offset .. offset + bytes` of the input.
    pub offset: u64,
    pub bytes: u64,
    /// The 0-based request number of its first request in the job.
    pub first: u64,
    pub requests: u32,
    pub pools: Vec<Pool>,
    pub chunks: Vec<ChunkPlan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkPlan {
    /// Index into the segment's `pools`.
    pub pool: u16,
    /// Runs `(first, count)` of requests, numbered within the segment.
    pub runs: Vec<(u32, u32)>,
    /// Bytes of its lines.
    pub bytes: u32,
    /// What a forecast needs to know of it. None: nobody looked, as in the logs of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
}

impl SegmentPlan {
    /// Whether each of its chunks names a pool that there is, and requests that can be counted: EVENTS takes what anybody
    /// publishes.
    pub fn is_sound(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.is_countable() && usize::from(chunk.pool) < self.pools.len())
    }
}

impl ChunkPlan {
    pub fn requests(&self) -> u32 {
        self.runs.iter().map(|(_, count)| count).sum()
    }

    /// The first and the second half of its requests, the first the larger one.
    pub fn halves(&self) -> [Self; 2] {
        let first = self.requests().div_ceil(2);
        let mut halves = [Vec::new(), Vec::new()];
        let mut before = 0;
        for &(start, count) in &self.runs {
            let head = first.saturating_sub(before).min(count);
            halves[0].extend((head > 0).then_some((start, head)));
            halves[1].extend((head < count).then_some((start + head, count - head)));
            before += count;
        }
        let (bytes, load) = (self.bytes.div_ceil(2), self.load.map(Load::half));
        halves.map(|runs| Self { pool: self.pool, runs, bytes, load })
    }

    /// Whether lines, in order, are those of its requests: `number` says whose the line in a place is, and `first` is the
    /// number of the segment's first. Of lines that ascend, the ends of each run tell.
    pub fn is_answered_by(&self, first: u64, number: impl Fn(usize) -> Option<u64>) -> bool {
        let mut next = 0;
        self.runs.iter().filter(|(_, count)| *count > 0).all(|&(start, count)| {
            let (begin, from) = (next, first + u64::from(start));
            next += count as usize;
            number(begin) == Some(from) && number(next - 1) == Some(from + u64::from(count) - 1)
        })
    }

    fn is_countable(&self) -> bool {
        let ends = self.runs.iter().all(|&(first, count)| first.checked_add(count).is_some());
        ends && self.runs.iter().map(|&(_, count)| u64::from(count)).sum::<u64>() <= u64::from(u32::MAX)
    }

    /// The requests it holds, numbered within the segment, ascending.
    pub fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|&(first, count)| first..first + count)
    }
}

/// Tokens as the engine counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.completion = self.completion.saturating_add(other.completion);
        self.cached = self.cached.saturating_add(other.cached);
    }
}

/// What became of a number of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub completed: u64,
    /// Error lines: the engine refused the request, or gave it up.
    pub failed: u64,
    /// Error lines of requests that the job's end left without an answer (expired or cancelled).
    pub unanswered: u64,
    pub usage: Usage,
}

impl Tally {
    pub const fn requests(&self) -> u64 {
        self.completed.saturating_add(self.failed).saturating_add(self.unanswered)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.completed = self.completed.saturating_add(other.completed);
        self.failed = self.failed.saturating_add(other.failed);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.usage += other.usage;
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkDone {
    pub at: Timestamp,
    pub chunk: ChunkId,
    /// The one that stored the result, or a later one that found it.
    pub attempt: u32,
    /// Deliveries of this attempt, the first included: more than one when a worker was lost with it.
    pub delivered: u32,
    pub worker: String,
    /// When the worker began to run it.
    pub started: Timestamp,
    pub tally: Tally,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkFailed {
    pub at: Timestamp,
    pub chunk: ChunkId,
    pub attempt: u32,
    pub worker: String,
    pub class: FaultClass,
    pub reason: String,
    /// What the worker's record said of it. None: nobody asked, as in the logs of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Other workers of the pool that took work then, as far as the worker counted them: a few are enough.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u32,
}

/// Whether a failure on a worker speaks against what failed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    Trusted,
    /// It fails with other requests, too, or did lately.
    Untrusted,
}

/// RESULTS does not hold any more what a chunk's last fact told of: it is owed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkLost {
    pub at: Timestamp,
    pub chunk: ChunkId,
    /// The one that was told to be done.
    pub attempt: u32,
    /// What it was told to have come to.
    pub tally: Tally,
}

/// Why an attempt failed.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FaultClass {
    /// The engine does not take the request. By default that is its answer, and no failure.
    Refused,
    /// The prompt is longer than the model's context. By default that is its answer, and no failure.
    TooLong,
    Overloaded,
    OutOfMemory,
    /// The engine's process ended with the chunk in it.
    EngineDied,
    /// Workers took the chunk and were not heard of again.
    WorkerLost,
    Timeout,
    /// The chunk's input or its result could not be kept.
    Storage,
    /// NATS did not take what the worker had to say.
    Nats,
    /// The engine failed in another way.
    Internal,
    /// Nothing failed: the worker was told to stop, and could not finish the chunk in time.
    HandedBack,
}

impl FaultClass {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether it may be the worker's fault as well as the request's: its engine is to be asked something else.
    pub const fn is_doubtful(self) -> bool {
        match self {
            Self::OutOfMemory | Self::EngineDied | Self::Timeout | Self::Internal => true,
            // Who tells of it may be the one that was lost.
            Self::WorkerLost => true,
            Self::Refused | Self::TooLong | Self::Overloaded => false,
            Self::Storage | Self::Nats | Self::HandedBack => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentArchived {
    pub at: Timestamp,
    pub segment: u32,
    pub tally: Tally,
    pub output_bytes: u64,
    pub error_bytes: u64,
    /// Results of it that were lost before: who wrote it without knowing of one has written something else.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputWritten {
    pub at: Timestamp,
    /// Paths in the store; absent when the job has no such lines.
    pub output: Option<File>,
    pub errors: Option<File>,
    /// Results of the job that were lost before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct File {
    pub path: String,
    pub bytes: u64,
}

/// Why a job stops before its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    pub at: Timestamp,
    pub cause: Cause,
    /// A cancel of a job that is finalizing: it has its last answer, or closes because of its deadline.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// What it waited for when its deadline passed, in words, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Completed,
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    pub outcome: Outcome,
    /// Why it ended without its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Box<Abandoned>>,
}

/// A cancelled job that could not be ended with what was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Abandoned {
    /// Its answers could not be written.
    Unwritten,
    /// The log has lost its beginning. What was known of the job makes it one again, for whoever folds from here.
    Unlogged(Box<Remains>),
}

/// What a status tells of a job whose events are gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    pub submitted: Submitted,
    pub planned: Option<Planned>,
    pub usage: Usage,
}

impl Ended {
    pub const fn of(at: Timestamp, outcome: Outcome) -> Self {
        Self { at, outcome, abandoned: None }
    }

    pub fn abandoned(at: Timestamp, why: Abandoned) -> Self {
        Self { at, outcome: Outcome::Cancelled, abandoned: Some(Box::new(why)) }
    }
}

impl Abandoned {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unwritten => "it was cancelled while its answers could not be written, and ended without its files",
            Self::Unlogged(_) => {
                "it was cancelled after its events were gone from the log (EVENTS was purged, or forgets too soon), and \
                 ended without its files"
            }
        }
    }
}
