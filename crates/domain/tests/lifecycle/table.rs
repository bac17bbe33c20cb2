//! Every way a job can go, as one table. It decides nothing: [`Job::evolve`](domain::Job::evolve) and
//! [`decide`](domain::decide::decide) do, and a test walks both and holds them to it.
use domain::status::State;
use std::fmt::Write as _;

/// What moves a job on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cue {
    /// Its input is validated.
    Planned,
    /// Its input does not validate.
    Rejected,
    Pause,
    Resume,
    Cancel,
    /// Its deadline has passed.
    Deadline,
    /// Its last request has its line.
    Answered,
    /// An answer that it had is not in RESULTS any more.
    Lost,
    /// Its files can be read.
    Written,
    /// They could not be written for too long.
    Abandoned,
}

impl Cue {
    pub const ALL: [Self; 10] = [
        Self::Planned,
        Self::Rejected,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::Deadline,
        Self::Answered,
        Self::Lost,
        Self::Written,
        Self::Abandoned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "input validated",
            Self::Rejected => "input refused",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Deadline => "deadline passed",
            Self::Answered => "last answer",
            Self::Lost => "answer lost",
            Self::Written => "files written",
            Self::Abandoned => "files given up",
        }
    }
}

/// From a state, on a cue, to a state. What does not stand here does not happen. A job that expires and one that is
/// answered are both finalizing; the deadline decides before, so that each has one end.
pub const TABLE: [(State, Cue, State); 19] = {
    use Cue as C;
    use State as S;
    [
        (S::Validating, C::Planned, S::InProgress),
        (S::Validating, C::Rejected, S::Failed),
        (S::Validating, C::Cancel, S::Cancelling),
        (S::Validating, C::Deadline, S::Finalizing),
        (S::InProgress, C::Pause, S::Paused),
        (S::InProgress, C::Answered, S::Finalizing),
        (S::InProgress, C::Cancel, S::Cancelling),
        (S::InProgress, C::Deadline, S::Finalizing),
        (S::Paused, C::Resume, S::InProgress),
        // What ran when it was paused may end.
        (S::Paused, C::Answered, S::Finalizing),
        (S::Paused, C::Cancel, S::Cancelling),
        (S::Paused, C::Deadline, S::Finalizing),
        (S::Finalizing, C::Lost, S::InProgress),
        (S::Finalizing, C::Lost, S::Paused),
        (S::Finalizing, C::Cancel, S::Cancelling),
        (S::Finalizing, C::Written, S::Completed),
        (S::Finalizing, C::Written, S::Expired),
        (S::Cancelling, C::Written, S::Cancelled),
        (S::Cancelling, C::Abandoned, S::Cancelled),
    ]
};

/// The table as a Mermaid state diagram.
pub fn mermaid() -> String {
    let mut text = "stateDiagram-v2\n    [*] --> validating: submit\n".to_owned();
    for (from, cue, to) in TABLE {
        let _ = writeln!(text, "    {} --> {}: {}", from.as_str(), to.as_str(), cue.as_str());
    }
    for state in State::ALL.iter().filter(|state| state.is_terminal()) {
        let _ = writeln!(text, "    {} --> [*]", state.as_str());
    }
    text
}
