//! A command on its way: fold, decide, append at the expected sequence; on conflict fold again and decide again. The
//! shell folds and appends; what it appends, and when it gives up, is said here.
//!
//! A crash between any two steps is safe: nothing is done until the append, and an append that was stored is found by
//! the next fold.
use crate::{
    Event, Job,
    command::Command,
    decide::{Denied, decide},
};

/// Conflicts in a row that are taken for contention.
pub const TRIES_MAX: u32 = 16;

#[derive(Debug, Clone)]
pub struct Execution {
    command: Command,
    conflicts: u32,
}

/// A job as it was folded.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub job: &'a Job,
    /// Of its last lifecycle event.
    pub lifecycle_seq: u64,
}

/// What is to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub event: Event,
    /// The sequence of the lifecycle event before it; zero: there is none.
    pub expected: u64,
    /// Whether the job's chunks are to run once it is stored.
    pub wanted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many others change the job at once")]
pub struct Contended;

impl Execution {
    pub const fn new(command: Command) -> Self {
        Self { command, conflicts: 0 }
    }

    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// None: the command is done already.
    pub fn decide(&self, known: Option<Known<'_>>) -> Result<Option<Decided>, Denied> {
        let Some(event) = decide(known.map(|known| known.job), self.command.clone())? else { return Ok(None) };
        let expected = known.map_or(0, |known| known.lifecycle_seq);
        let wanted = known.is_some_and(|known| is_wanted(known.job, &event));
        Ok(Some(Decided { event, expected, wanted }))
    }

    /// Another event came first: it is to be folded, and decided again.
    pub const fn conflict(&mut self) -> Result<(), Contended> {
        self.conflicts += 1;
        if self.conflicts < TRIES_MAX { Ok(()) } else { Err(Contended) }
    }
}

fn is_wanted(job: &Job, event: &Event) -> bool {
    let mut job = job.clone_head();
    job.evolve(event);
    job.is_wanted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn a_command_is_tried_so_often() {
        let at = Timestamp::new(1);
        let mut execution = Execution::new(Command::Pause { at });
        assert_eq!(execution.decide(None), Err(Denied::Unknown));
        let conflicts = std::iter::from_fn(|| execution.conflict().ok()).count() as u32;
        assert_eq!(conflicts, TRIES_MAX - 1, "after as many tries");
    }
}
