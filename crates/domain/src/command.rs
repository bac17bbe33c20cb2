//! What is wanted of a job: by clients ([`JobCommand`]), and of the log ([`Command`]).
use crate::{
    JobId, Timestamp,
    event::{LineError, Planned, Priority, Submitted},
    limits::WINDOW_MS_MAX,
    submission::Mistake,
    time,
};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// What [`decide`](crate::decide) makes an event of.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Submit(Box<Submitted>),
    /// The input does not validate: the errors that are kept, and how many there were.
    Reject {
        at: Timestamp,
        errors: Vec<LineError>,
        total: u64,
    },
    Plan(Planned),
    Pause {
        at: Timestamp,
    },
    Resume {
        at: Timestamp,
    },
    /// Moves the deadline to so long after the submission.
    Window {
        at: Timestamp,
        window_ms: u64,
    },
    Priority {
        at: Timestamp,
        priority: Priority,
    },
    Cancel {
        at: Timestamp,
    },
    /// Ends a job whose deadline has passed.
    Expire {
        at: Timestamp,
        /// What it waited for, where that is known.
        reason: Option<String>,
    },
    /// Ends a job whose output is written.
    End {
        at: Timestamp,
    },
    /// Ends a cancelled job whose answers cannot be written.
    Abandon {
        at: Timestamp,
    },
    /// Removes what a job that ended has left.
    Delete {
        at: Timestamp,
    },
}

/// A client's command for a job, as it stands on `jobs.control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobCommand {
    #[serde(rename = "command")]
    pub kind: CommandKind,
    pub job: JobId,
    /// For `deadline`: the new window, counted from the submission, such as `48h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    /// For `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// What a client may want of a job that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum CommandKind {
    Cancel,
    Pause,
    Resume,
    Deadline,
    Priority,
    /// Submits the requests that failed once more, as a job of their own.
    Retry,
    Delete,
}

impl CommandKind {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

impl JobCommand {
    pub const fn new(kind: CommandKind, job: JobId) -> Self {
        Self { kind, job, completion_window: None, priority: None }
    }

    /// What it means for the job; none for `retry`, which makes another job.
    pub fn stamped(&self, at: Timestamp) -> Result<Option<Command>, Mistake> {
        Ok(Some(match self.kind {
            CommandKind::Cancel => Command::Cancel { at },
            CommandKind::Pause => Command::Pause { at },
            CommandKind::Resume => Command::Resume { at },
            CommandKind::Deadline => Command::Window { at, window_ms: self.window_ms()? },
            CommandKind::Priority => Command::Priority { at, priority: self.priority.ok_or(Mistake::NoPriority)? },
            CommandKind::Retry => return Ok(None),
            CommandKind::Delete => Command::Delete { at },
        }))
    }

    fn window_ms(&self) -> Result<u64, Mistake> {
        let text = self.completion_window.as_deref().unwrap_or_default();
        time::window(text).filter(|ms| *ms <= WINDOW_MS_MAX).ok_or_else(|| Mistake::Window(text.to_owned()))
    }
}
