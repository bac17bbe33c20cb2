//! What an input came to: its requests, cut into segments and chunks, or why it is refused.
use crate::{Pool, Timestamp, load::Load, request::Refusal, warning::Warning};
use serde::{Deserialize, Serialize};

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
    /// Whether it says that time is short, and not that a request is wrong.
    pub const fn is_of_window(self) -> bool {
        matches!(self, Self::WindowTooShort)
    }

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

impl Planned {
    /// Who does not know of a code cannot read what has it.
    pub(super) fn version(&self) -> u32 {
        if self.warnings.iter().any(|warning| warning.code.is_of_window()) { 5 } else { 1 }
    }
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
