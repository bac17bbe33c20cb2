//! The one shell around `decide`: fold, decide, append at the expected sequence; on conflict fold again.
//!
//! A crash between any two steps is safe: nothing is done until the append, and an append that was stored is found
//! by the next fold.
use crate::{
    bus::{Append, Bus, PublishError},
    log::{self, Folded, LogError},
};
use domain::{
    Event, Job, JobId,
    decide::{Command, Refusal, decide},
    event::Submitted,
};
use wire::envelope;

/// Of the hash of an event.
const CONTENT_CHARS: usize = 16;
/// Conflicts in a row that are taken for contention.
const TRIES_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the job's events could not be read")]
    Read(#[from] LogError),
    #[error("the job's event could not be stored")]
    Store(#[from] PublishError),
    #[error("too many others change the job at once")]
    Contended,
}

/// Appends the first event of a job, without a look at the log before. `seq` is its submission's: in the message's id, so
/// that only this submission finds itself stored. None: the job was begun before.
pub async fn begin(
    bus: &Bus,
    id: JobId,
    submitted: &Submitted,
    seq: u64,
    trace: Option<&str>,
) -> Result<Option<Folded>, PublishError> {
    let event = Event::JobSubmitted(submitted.clone());
    let message = envelope::event(id, &event, trace).header(envelope::WANTED, envelope::NO);
    match bus.append(message.id(format!("{id}:{}:{seq}", event.name())), 0).await? {
        Append::Stored(seq) => Ok(Job::begin(id, &event).map(|job| Folded { job, lifecycle_seq: seq, seq })),
        Append::Conflict => Ok(None),
    }
}

/// Carries out a command. False: it was done already. `known` saves the first fold where the caller has one.
pub async fn execute(
    bus: &Bus,
    id: JobId,
    known: Option<&Folded>,
    command: Command,
    trace: Option<&str>,
) -> Result<bool, Error> {
    let mut fresh = None;
    for turn in 0..TRIES_MAX {
        if turn > 0 || known.is_none() {
            fresh = log::job(bus, id).await?;
        }
        let folded = fresh.as_ref().or(known.filter(|_| turn == 0));
        let Some(event) = &decide(folded.map(|f| &f.job), command.clone())? else { return Ok(false) };
        let expected = folded.map_or(0, |f| f.lifecycle_seq);
        let wanted = if is_wanted(folded, event) { envelope::YES } else { envelope::NO };
        let message = message(id, event, expected, trace).header(envelope::WANTED, wanted);
        match bus.append(message, expected).await? {
            Append::Stored(_) => return Ok(true),
            Append::Conflict => tracing::debug!(job = %id, event = event.name(), "another event came first"),
        }
    }
    Err(Error::Contended)
}

/// Whether the job's chunks are to run once this event is stored.
fn is_wanted(folded: Option<&Folded>, event: &Event) -> bool {
    folded.is_some_and(|folded| {
        let mut job = folded.job.clone_head();
        job.evolve(event);
        job.is_wanted()
    })
}

/// One event follows on another: name, place and content name the message, so that a repetition is one and another
/// event in the same place is a conflict. A submission that comes again under one key has another time and the same body.
fn message(id: JobId, event: &Event, expected: u64, trace: Option<&str>) -> wire::Message {
    let message = envelope::event(id, event, trace);
    match event {
        Event::JobSubmitted(submitted) => message.id(format!("{id}:{}:{}", event.name(), submitted.fingerprint)),
        _ => {
            let content = blake3::hash(&message.payload).to_hex();
            message.id(format!("{id}:{}:{expected}:{}", event.name(), &content[..CONTENT_CHARS]))
        }
    }
}
