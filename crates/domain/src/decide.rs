//! What a command means for a job in its present state.
use crate::{
    Event, Job, Millis,
    event::{Cause, Closing, Ended, LineError, Outcome, Planned, Rejected, Submitted},
    job::Phase,
    limits::ERRORS_REPORTED_MAX,
};

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Submit(Box<Submitted>),
    /// The input does not validate: the errors that are kept, and how many there were.
    Reject {
        at: Millis,
        errors: Vec<LineError>,
        total: u64,
    },
    Plan(Planned),
    Cancel {
        at: Millis,
    },
    /// Ends a job whose deadline has passed.
    Expire {
        at: Millis,
    },
    /// Ends a job whose output is written.
    End {
        at: Millis,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such job")]
    Unknown,
    #[error("the job was submitted before with the same body")]
    Exists,
    #[error("the key or id names a job with another body; use a new one")]
    Conflict,
    #[error("the job has ended as {0:?}")]
    Ended(Outcome),
    #[error("the job was rejected: its input did not validate")]
    Rejected,
    #[error("the job's input is validated already")]
    Validated,
    #[error("the job's deadline has not passed")]
    NotDue,
    #[error("the job's output is not written yet")]
    NotWritten,
}

/// The events to append, in order, at the job's present sequence. None: the command is done already.
pub fn decide(job: Option<&Job>, command: Command) -> Result<Vec<Event>, Refusal> {
    match (job, command) {
        (None, Command::Submit(submitted)) => Ok(vec![Event::JobSubmitted(*submitted)]),
        (Some(job), Command::Submit(again)) if job.submitted.fingerprint == again.fingerprint => Err(Refusal::Exists),
        (Some(_), Command::Submit(_)) => Err(Refusal::Conflict),
        (None, _) => Err(Refusal::Unknown),
        (Some(job), Command::Reject { at, errors, total }) => reject(job, at, errors, total),
        (Some(job), Command::Plan(planned)) => plan(job, planned),
        (Some(job), Command::Cancel { at }) => cancel(job, at),
        (Some(job), Command::Expire { at }) => expire(job, at),
        (Some(job), Command::End { at }) => end(job, at),
    }
}

fn reject(job: &Job, at: Millis, mut errors: Vec<LineError>, total: u64) -> Result<Vec<Event>, Refusal> {
    validating(job)?;
    errors.truncate(ERRORS_REPORTED_MAX);
    Ok(vec![Event::JobRejected(Rejected { at, errors, errors_total: total })])
}

fn plan(job: &Job, planned: Planned) -> Result<Vec<Event>, Refusal> {
    validating(job)?;
    Ok(vec![Event::JobPlanned(planned)])
}

fn validating(job: &Job) -> Result<(), Refusal> {
    match &job.phase {
        Phase::Validating => Ok(()),
        Phase::Running | Phase::Closing(_) => Err(Refusal::Validated),
        Phase::Rejected(_) => Err(Refusal::Rejected),
        Phase::Ended(ended) => Err(Refusal::Ended(ended.outcome)),
    }
}

fn cancel(job: &Job, at: Millis) -> Result<Vec<Event>, Refusal> {
    match &job.phase {
        Phase::Validating | Phase::Running => Ok(vec![closing(at, Cause::Cancelled)]),
        Phase::Closing(_) => Ok(Vec::new()),
        Phase::Rejected(_) => Err(Refusal::Rejected),
        Phase::Ended(ended) if ended.outcome == Outcome::Cancelled => Ok(Vec::new()),
        Phase::Ended(ended) => Err(Refusal::Ended(ended.outcome)),
    }
}

fn expire(job: &Job, at: Millis) -> Result<Vec<Event>, Refusal> {
    match &job.phase {
        // All answered: it is late, but there is nothing left to give up.
        Phase::Running if job.remaining() == 0 => Ok(Vec::new()),
        Phase::Validating | Phase::Running if at < job.submitted.deadline() => Err(Refusal::NotDue),
        Phase::Validating | Phase::Running => Ok(vec![closing(at, Cause::Expired)]),
        Phase::Closing(_) => Ok(Vec::new()),
        Phase::Rejected(_) => Err(Refusal::Rejected),
        Phase::Ended(ended) => Err(Refusal::Ended(ended.outcome)),
    }
}

fn end(job: &Job, at: Millis) -> Result<Vec<Event>, Refusal> {
    match &job.phase {
        Phase::Running | Phase::Closing(_) if job.written.is_none() || !job.is_archived() => Err(Refusal::NotWritten),
        Phase::Running | Phase::Closing(_) => Ok(vec![Event::JobEnded(Ended { at, outcome: job.outcome() })]),
        Phase::Validating => Err(Refusal::NotWritten),
        Phase::Rejected(_) => Err(Refusal::Rejected),
        Phase::Ended(_) => Ok(Vec::new()),
    }
}

const fn closing(at: Millis, cause: Cause) -> Event {
    Event::JobClosing(Closing { at, cause })
}
