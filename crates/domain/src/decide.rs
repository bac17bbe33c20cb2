//! What a command means for a job in its present state.
use crate::{
    Event, Job, Timestamp,
    command::{Command, CommandKind},
    event::{
        Abandoned, At, Cause, Closing, DeadlineMoved, Ended, LineError, Planned, Priority, PriorityChanged, Rejected,
    },
    job::Phase,
    limits::{ERRORS_REPORTED_MAX, WINDOW_MS_MAX},
    status::{State, Status},
    warning::Warning,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("there is no such job")]
    Unknown,
    #[error("the job was submitted before with the same body")]
    Exists,
    #[error("the key or id names a job with another body; use a new one")]
    Conflict,
    #[error("the job has ended: it is {}", .0.as_str())]
    Ended(State),
    #[error("the job's input is validated already")]
    Validated,
    #[error("the job's input is being validated; try again when it runs")]
    Validating,
    #[error("the job takes no more work: it is {}", .0.as_str())]
    Closing(State),
    #[error("the job's deadline has not passed")]
    NotDue,
    #[error("the new deadline has passed already; cancel the job if that is meant")]
    Past,
    #[error("the window is longer than thirty days")]
    TooLong,
    #[error("the job's output is not written yet")]
    NotWritten,
    #[error("the job has not ended; cancel it first")]
    NotEnded,
}

/// The event to append at the job's present sequence. None: the command is done already.
pub fn decide(job: Option<&Job>, command: Command) -> Result<Option<Event>, Denied> {
    match (job, command) {
        (None, Command::Submit(submitted)) => Ok(Some(Event::JobSubmitted(*submitted))),
        (Some(job), Command::Submit(again)) if job.submitted.is_same(&again) => Err(Denied::Exists),
        (Some(_), Command::Submit(_)) => Err(Denied::Conflict),
        (None, _) => Err(Denied::Unknown),
        (Some(job), Command::Reject { at, errors, total }) => reject(job, at, errors, total),
        (Some(job), Command::Plan(planned)) => plan(job, planned),
        (Some(job), Command::Pause { at }) => pause(job, at),
        (Some(job), Command::Resume { at }) => resume(job, at),
        (Some(job), Command::Window { at, window_ms }) => window(job, at, window_ms),
        (Some(job), Command::Priority { at, priority }) => change(job, at, priority),
        (Some(job), Command::Cancel { at }) => cancel(job, at),
        (Some(job), Command::Expire { at, reason }) => expire(job, at, reason),
        (Some(job), Command::End { at }) => end(job, at),
        (Some(job), Command::Abandon { at }) => abandon(job, at),
        (Some(job), Command::Delete { at }) => delete(job, at),
    }
}

fn reject(job: &Job, at: Timestamp, mut errors: Vec<LineError>, total: u64) -> Result<Option<Event>, Denied> {
    validating(job)?;
    errors.truncate(ERRORS_REPORTED_MAX);
    Ok(Some(Event::JobRejected(Rejected { at, errors, errors_total: total })))
}

/// A strict job takes no request that would be answered with an error.
fn plan(job: &Job, planned: Planned) -> Result<Option<Event>, Denied> {
    validating(job)?;
    let refused = || planned.warnings.iter().filter(|warning| warning.is_of_requests());
    if job.submitted.strict && refused().next().is_some() {
        let errors = refused().map(Warning::error).collect();
        return reject(job, planned.at, errors, refused().map(|warning| warning.count).sum());
    }
    Ok(Some(Event::JobPlanned(planned)))
}

fn validating(job: &Job) -> Result<(), Denied> {
    match &job.phase {
        Phase::Validating => Ok(()),
        Phase::Running | Phase::Closing(_) => Err(Denied::Validated),
        Phase::Rejected(_) | Phase::Ended(_) => Err(Denied::Ended(State::of(job))),
    }
}

/// Whether a command makes sense for a job in this state. What it asks for may be so already.
pub fn makes_sense(kind: CommandKind, state: State) -> Result<(), Denied> {
    match kind {
        CommandKind::Pause | CommandKind::Resume => running(state),
        CommandKind::Deadline | CommandKind::Priority => open(state),
        CommandKind::Cancel if matches!(state, State::Finalizing | State::Cancelling | State::Cancelled) => Ok(()),
        CommandKind::Cancel => open(state),
        CommandKind::Retry if state == State::Failed => Err(Denied::Ended(state)),
        CommandKind::Retry | CommandKind::Delete if state.is_terminal() => Ok(()),
        CommandKind::Retry | CommandKind::Delete => Err(Denied::NotEnded),
    }
}

/// A job that may still change: it runs, and not all of it is answered.
fn running(state: State) -> Result<(), Denied> {
    match state {
        State::InProgress | State::Paused => Ok(()),
        State::Validating => Err(Denied::Validating),
        State::Finalizing | State::Cancelling => Err(Denied::Closing(state)),
        State::Failed | State::Completed | State::Expired | State::Cancelled => Err(Denied::Ended(state)),
    }
}

/// As [`running`], or its input is being validated.
fn open(state: State) -> Result<(), Denied> {
    match running(state) {
        Err(Denied::Validating) => Ok(()),
        other => other,
    }
}

fn pause(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    makes_sense(CommandKind::Pause, State::of(job))?;
    Ok(if job.paused { None } else { Some(Event::JobPaused(At { at })) })
}

fn resume(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    makes_sense(CommandKind::Resume, State::of(job))?;
    Ok(if job.paused { Some(Event::JobResumed(At { at })) } else { None })
}

fn window(job: &Job, at: Timestamp, window_ms: u64) -> Result<Option<Event>, Denied> {
    makes_sense(CommandKind::Deadline, State::of(job))?;
    let deadline = job.submitted.at.plus(window_ms);
    match deadline {
        _ if window_ms > WINDOW_MS_MAX => Err(Denied::TooLong),
        _ if deadline == job.deadline => Ok(None),
        _ if deadline <= at => Err(Denied::Past),
        _ => Ok(Some(Event::DeadlineMoved(DeadlineMoved { at, deadline }))),
    }
}

fn change(job: &Job, at: Timestamp, priority: Priority) -> Result<Option<Event>, Denied> {
    makes_sense(CommandKind::Priority, State::of(job))?;
    let event = Event::PriorityChanged(PriorityChanged { at, priority });
    Ok(if job.priority == priority { None } else { Some(event) })
}

fn cancel(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    let state = State::of(job);
    makes_sense(CommandKind::Cancel, state)?;
    let late = state == State::Finalizing;
    let is_done = matches!(state, State::Cancelling | State::Cancelled);
    Ok(if is_done {
        None
    } else {
        Some(Event::JobClosing(Closing { at, cause: Cause::Cancelled, late, reason: None }))
    })
}

fn expire(job: &Job, at: Timestamp, reason: Option<String>) -> Result<Option<Event>, Denied> {
    match &job.phase {
        // All answered: it is late, but there is nothing left to give up.
        Phase::Running if job.remaining() == 0 => Ok(None),
        Phase::Validating | Phase::Running if at < job.deadline => Err(Denied::NotDue),
        Phase::Validating | Phase::Running => {
            Ok(Some(Event::JobClosing(Closing { at, cause: Cause::Expired, late: false, reason })))
        }
        Phase::Closing(_) => Ok(None),
        Phase::Rejected(_) | Phase::Ended(_) => Err(Denied::Ended(State::of(job))),
    }
}

fn end(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    match &job.phase {
        Phase::Running | Phase::Closing(_) if job.written.is_none() || !job.is_archived() => Err(Denied::NotWritten),
        Phase::Running | Phase::Closing(_) => Ok(Some(Event::JobEnded(Ended::of(at, job.outcome())))),
        Phase::Validating => Err(Denied::NotWritten),
        Phase::Rejected(_) => Err(Denied::Ended(State::Failed)),
        Phase::Ended(_) => Ok(None),
    }
}

fn abandon(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    match &job.phase {
        Phase::Closing(_) if job.is_written() => end(job, at),
        Phase::Closing(_) if job.is_cancelled() => {
            Ok(Some(Event::JobEnded(Ended::abandoned(at, Abandoned::Unwritten))))
        }
        Phase::Validating | Phase::Running | Phase::Closing(_) => Err(Denied::NotEnded),
        Phase::Rejected(_) | Phase::Ended(_) => Err(Denied::Ended(State::of(job))),
    }
}

/// The end of a cancelled job that the log does not know any more, by the status that was told of it last.
pub fn bury(status: &Status, at: Timestamp) -> Result<Event, Denied> {
    if status.state.is_terminal() {
        return Err(Denied::Ended(status.state));
    }
    Ok(Event::JobEnded(Ended::abandoned(at, Abandoned::Unlogged(Box::new(status.remains())))))
}

fn delete(job: &Job, at: Timestamp) -> Result<Option<Event>, Denied> {
    makes_sense(CommandKind::Delete, State::of(job))?;
    Ok(if job.deleted { None } else { Some(Event::JobDeleted(At { at })) })
}
