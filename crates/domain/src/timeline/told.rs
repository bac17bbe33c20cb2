//! A timeline as it is told: each moment belongs to one stage.
use super::{attempts::Attempt, pace::Fall};
use crate::{JobId, Timestamp, eta::Sla, status::State};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// Stretches that are told.
pub const SPANS_MAX: usize = 200;

/// What a job's time goes into.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Stage {
    /// Its input waits to be read: others are validated first.
    WaitingValidation,
    Validating,
    /// Its pools run other jobs.
    WaitingJobs,
    /// Its pools run nothing that the log tells of.
    WaitingWorkers,
    Running,
    /// Nothing runs but what failed before, or it rests until it is tried again.
    Retrying,
    Paused,
    /// Nothing of it was answered and much given up: a chunk is tried from time to time.
    Held,
    /// Every answer is there, or none is awaited any more; its files are written.
    Archiving,
}

impl Stage {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// A stretch of a job's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub stage: Stage,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Where a job's time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub from: Timestamp,
    /// Its end, or now.
    pub until: Timestamp,
    pub deadline: Timestamp,
    pub state: State,
    pub sla: Option<Sla>,
    /// Why it is or was late, or where most of its time went, in one sentence.
    pub why: String,
    /// Where its rate fell, if it did.
    pub fall: Option<Fall>,
    /// Each stage that there was, in the order of a job's life, and its milliseconds.
    pub stages: Vec<(Stage, u64)>,
    /// From `from` to `until` without a gap, at most [`SPANS_MAX`]: shorter ones are part of what stands beside them.
    pub spans: Vec<Span>,
    pub attempts: Vec<Attempt>,
    pub runs: u64,
    pub failed: u64,
    /// The jobs that it waited for most, and how long they ran while it did, milliseconds.
    pub others: Vec<(Option<JobId>, u64)>,
}

/// The milliseconds of each stage.
pub fn sums(spans: &[Span]) -> Vec<(Stage, u64)> {
    let sum = |stage: &Stage| {
        let parts = spans.iter().filter(|span| span.stage == *stage);
        (*stage, parts.map(|span| span.until.since(span.from)).sum::<u64>())
    };
    Stage::ALL.iter().map(sum).filter(|(_, ms)| *ms > 0).collect()
}

/// Fewer stretches: the shortest becomes part of the longer of its neighbours.
pub fn few(mut spans: Vec<Span>) -> Vec<Span> {
    while spans.len() > SPANS_MAX {
        let ms = |at: usize| spans.get(at).map_or(0, |span: &Span| span.until.since(span.from));
        let Some(at) = (0..spans.len()).min_by_key(|at| ms(*at)) else { break };
        let before = at.checked_sub(1).filter(|before| ms(*before) >= ms(at + 1));
        let Span { from, until, .. } = spans.remove(at);
        match before {
            Some(before) => spans[before].until = until,
            None => spans[at].from = from,
        }
        spans = joined(spans);
    }
    spans
}

/// Neighbours of one stage become one.
pub fn joined(spans: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut whole: Vec<Span> = Vec::new();
    for span in spans {
        match whole.last_mut().filter(|last| last.stage == span.stage) {
            Some(last) => last.until = span.until,
            None => whole.push(span),
        }
    }
    whole
}
