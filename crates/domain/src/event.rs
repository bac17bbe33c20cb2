//! The facts of the log. Past tense, self-contained, never rewritten: a new meaning is a new variant or version.
mod chunk;
mod end;
mod plan;
mod submitted;

pub use chunk::{ChunkDone, ChunkFailed, ChunkLost, FaultClass, Tally, Trust, Usage};
pub use end::{Abandoned, Cause, Closing, Ended, File, Outcome, OutputWritten, Remains, SegmentArchived};
pub use plan::{ChunkPlan, Code, LineError, Planned, Rejected, SegmentPlan};
pub use submitted::{Input, Priority, Submitted};

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

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
            Self::JobSubmitted(submitted) => submitted.version(),
            Self::JobPlanned(planned) => planned.version(),
            Self::JobRejected(rejected) if rejected.errors.iter().any(|error| error.code.is_of_window()) => 5,
            // Who does not know of others believes one worker alone.
            Self::ChunkFailed(ChunkFailed { others: 1.., .. }) => 5,
            Self::ChunkLost(_) | Self::ChunkFailed(ChunkFailed { trust: Some(_), .. }) => 2,
            Self::SegmentArchived(SegmentArchived { losses: 1.., .. })
            | Self::OutputWritten(OutputWritten { losses: 1.., .. }) => 2,
            Self::JobClosing(Closing { late: true, .. } | Closing { reason: Some(_), .. }) => 3,
            Self::JobEnded(Ended { abandoned: Some(why), .. }) => why.version(),
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

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own form
pub(crate) const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's own form
pub(crate) const fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admission, warning::Warning};

    const AT: Timestamp = Timestamp::new(1);

    fn planned(warnings: Vec<Warning>) -> Planned {
        Planned { at: AT, input: String::new(), requests: 1, segments: 1, bytes: 9, warnings }
    }

    fn submitted(tenant: &str) -> Submitted {
        Submitted { tenant: tenant.parse().unwrap(), ..Submitted::new(AT, Input::Inline, 1) }
    }

    #[test]
    fn what_is_said_of_a_window_is_of_the_fifth_version() {
        let plan = |warnings| Event::JobPlanned(planned(warnings)).version();
        let rejected = |errors| Event::JobRejected(Rejected { at: AT, errors, errors_total: 1 }).version();
        assert_eq!((plan(vec![]), plan(vec![admission::warning("late", 1)])), (1, 5));
        assert_eq!((rejected(vec![]), rejected(vec![admission::error("late")])), (1, 5));
    }

    #[test]
    fn what_is_left_of_a_job_is_of_the_version_of_what_it_was() {
        let ended = |tenant: &str, warnings: Vec<Warning>| {
            let (submitted, planned, usage) = (submitted(tenant), Some(planned(warnings)), Usage::default());
            let remains = Remains { submitted, planned, usage };
            Event::JobEnded(Ended::abandoned(AT, Abandoned::Unlogged(Box::new(remains)))).version()
        };
        assert_eq!((ended("default", vec![]), ended("blue", vec![])), (3, 4));
        assert_eq!(ended("blue", vec![admission::warning("late", 1)]), 5);
        assert_eq!(Event::JobEnded(Ended::abandoned(AT, Abandoned::Unwritten)).version(), 3);
    }
}
