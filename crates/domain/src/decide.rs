//! What a command means for a job in its present state.
use crate::{
    Event, Job, Millis,
    event::{
        At, Cause, Closing, DeadlineMoved, Ended, LineError, Planned, Priority, PriorityChanged, Rejected, Submitted,
    },
    job::Phase,
    limits::{ERRORS_REPORTED_MAX, WINDOW_MS_MAX},
    status::State,
    submission::Order,
    warning::Warning,
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
    Pause {
        at: Millis,
    },
    Resume {
        at: Millis,
    },
    /// Moves the deadline to so long after the submission.
    Window {
        at: Millis,
        window_ms: u64,
    },
    Priority {
        at: Millis,
        priority: Priority,
    },
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
    /// Removes what a job that ended has left.
    Delete {
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
pub fn decide(job: Option<&Job>, command: Command) -> Result<Option<Event>, Refusal> {
    match (job, command) {
        (None, Command::Submit(submitted)) => Ok(Some(Event::JobSubmitted(*submitted))),
        (Some(job), Command::Submit(again)) if job.submitted.fingerprint == again.fingerprint => Err(Refusal::Exists),
        (Some(_), Command::Submit(_)) => Err(Refusal::Conflict),
        (None, _) => Err(Refusal::Unknown),
        (Some(job), Command::Reject { at, errors, total }) => reject(job, at, errors, total),
        (Some(job), Command::Plan(planned)) => plan(job, planned),
        (Some(job), Command::Pause { at }) => pause(job, at),
        (Some(job), Command::Resume { at }) => resume(job, at),
        (Some(job), Command::Window { at, window_ms }) => window(job, at, window_ms),
        (Some(job), Command::Priority { at, priority }) => change(job, at, priority),
        (Some(job), Command::Cancel { at }) => cancel(job, at),
        (Some(job), Command::Expire { at }) => expire(job, at),
        (Some(job), Command::End { at }) => end(job, at),
        (Some(job), Command::Delete { at }) => delete(job, at),
    }
}

fn reject(job: &Job, at: Millis, mut errors: Vec<LineError>, total: u64) -> Result<Option<Event>, Refusal> {
    validating(job)?;
    errors.truncate(ERRORS_REPORTED_MAX);
    Ok(Some(Event::JobRejected(Rejected { at, errors, errors_total: total })))
}

/// A strict job takes no request that would be answered with an error.
fn plan(job: &Job, planned: Planned) -> Result<Option<Event>, Refusal> {
    validating(job)?;
    if job.submitted.strict && !planned.warnings.is_empty() {
        let errors = planned.warnings.iter().map(Warning::error).collect();
        return reject(job, planned.at, errors, planned.warnings.iter().map(|warning| warning.count).sum());
    }
    Ok(Some(Event::JobPlanned(planned)))
}

fn validating(job: &Job) -> Result<(), Refusal> {
    match &job.phase {
        Phase::Validating => Ok(()),
        Phase::Running | Phase::Closing(_) => Err(Refusal::Validated),
        Phase::Rejected(_) | Phase::Ended(_) => Err(Refusal::Ended(State::of(job))),
    }
}

/// Whether an order makes sense for a job in this state. What it asks for may be so already.
pub fn makes_sense(order: Order, state: State) -> Result<(), Refusal> {
    match order {
        Order::Pause | Order::Resume => running(state),
        Order::Deadline | Order::Priority => open(state),
        Order::Cancel if matches!(state, State::Cancelling | State::Cancelled) => Ok(()),
        Order::Cancel => open(state),
        Order::Retry if state == State::Failed => Err(Refusal::Ended(state)),
        Order::Retry | Order::Delete if state.is_terminal() => Ok(()),
        Order::Retry | Order::Delete => Err(Refusal::NotEnded),
    }
}

/// A job that may still change: it runs, and not all of it is answered.
fn running(state: State) -> Result<(), Refusal> {
    match state {
        State::InProgress | State::Paused => Ok(()),
        State::Validating => Err(Refusal::Validating),
        State::Finalizing | State::Cancelling => Err(Refusal::Closing(state)),
        State::Failed | State::Completed | State::Expired | State::Cancelled => Err(Refusal::Ended(state)),
    }
}

/// As [`running`], or its input is being validated.
fn open(state: State) -> Result<(), Refusal> {
    match running(state) {
        Err(Refusal::Validating) => Ok(()),
        other => other,
    }
}

fn pause(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    makes_sense(Order::Pause, State::of(job))?;
    Ok(if job.paused { None } else { Some(Event::JobPaused(At { at })) })
}

fn resume(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    makes_sense(Order::Resume, State::of(job))?;
    Ok(if job.paused { Some(Event::JobResumed(At { at })) } else { None })
}

fn window(job: &Job, at: Millis, window_ms: u64) -> Result<Option<Event>, Refusal> {
    makes_sense(Order::Deadline, State::of(job))?;
    let deadline = job.submitted.at.plus(window_ms);
    match deadline {
        _ if window_ms > WINDOW_MS_MAX => Err(Refusal::TooLong),
        _ if deadline == job.deadline => Ok(None),
        _ if deadline <= at => Err(Refusal::Past),
        _ => Ok(Some(Event::DeadlineMoved(DeadlineMoved { at, deadline }))),
    }
}

fn change(job: &Job, at: Millis, priority: Priority) -> Result<Option<Event>, Refusal> {
    makes_sense(Order::Priority, State::of(job))?;
    let event = Event::PriorityChanged(PriorityChanged { at, priority });
    Ok(if job.priority == priority { None } else { Some(event) })
}

fn cancel(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    let state = State::of(job);
    makes_sense(Order::Cancel, state)?;
    let is_done = matches!(state, State::Cancelling | State::Cancelled);
    Ok(if is_done { None } else { Some(closing(at, Cause::Cancelled)) })
}

fn expire(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    match &job.phase {
        // All answered: it is late, but there is nothing left to give up.
        Phase::Running if job.remaining() == 0 => Ok(None),
        Phase::Validating | Phase::Running if at < job.deadline => Err(Refusal::NotDue),
        Phase::Validating | Phase::Running => Ok(Some(closing(at, Cause::Expired))),
        Phase::Closing(_) => Ok(None),
        Phase::Rejected(_) | Phase::Ended(_) => Err(Refusal::Ended(State::of(job))),
    }
}

fn end(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    match &job.phase {
        Phase::Running | Phase::Closing(_) if job.written.is_none() || !job.is_archived() => Err(Refusal::NotWritten),
        Phase::Running | Phase::Closing(_) => Ok(Some(Event::JobEnded(Ended { at, outcome: job.outcome() }))),
        Phase::Validating => Err(Refusal::NotWritten),
        Phase::Rejected(_) => Err(Refusal::Ended(State::Failed)),
        Phase::Ended(_) => Ok(None),
    }
}

fn delete(job: &Job, at: Millis) -> Result<Option<Event>, Refusal> {
    makes_sense(Order::Delete, State::of(job))?;
    Ok(if job.deleted { None } else { Some(Event::JobDeleted(At { at })) })
}

const fn closing(at: Millis, cause: Cause) -> Event {
    Event::JobClosing(Closing { at, cause })
}
