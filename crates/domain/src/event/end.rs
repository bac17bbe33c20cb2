//! What is written of a job, and how it ends.
use super::{Planned, Submitted, Tally, Usage, is_false, is_zero};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// With what it holds.
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Unwritten => 3,
            Self::Unlogged(remains) => {
                let planned = remains.planned.as_ref().map_or(1, Planned::version);
                remains.submitted.version().max(planned).max(3)
            }
        }
    }

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
