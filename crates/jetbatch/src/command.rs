//! The one shell around [`Execution`]: fold, decide, append at the expected sequence; on conflict fold again.
use crate::{
    bus::{Append, Bus, PublishError},
    log::{self, Folded, LogError},
};
use domain::{
    Event, Job, JobId,
    command::Command,
    decide::Denied,
    event::Submitted,
    execute::{Contended, Decided, Execution},
};
use wire::{Subject, envelope};

/// Of the hash of an event.
const CONTENT_CHARS: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the job's events could not be read")]
    Read(#[from] LogError),
    #[error("the job's event could not be stored")]
    Store(#[from] PublishError),
    #[error(transparent)]
    Contended(#[from] Contended),
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
    mut known: Option<&Folded>,
    command: Command,
    trace: Option<&str>,
) -> Result<bool, Error> {
    let mut execution = Execution::new(command);
    let mut fresh = None;
    if known.is_none() {
        fresh = log::job(bus, id).await?;
    }
    loop {
        let folded = fresh.as_ref().or(known);
        let Some(decided) = execution.decide(folded.map(Folded::known))? else { return Ok(false) };
        match bus.append(message(id, &decided, trace), decided.expected).await? {
            Append::Stored(_) => return Ok(true),
            Append::Conflict => {
                tracing::debug!(job = %id, event = decided.event.name(), "another event came first");
            }
        }
        execution.conflict()?;
        (fresh, known) = (log::job(bus, id).await?, None);
    }
}

/// Appends the end of a job whose beginning is gone, against what the log still holds of it. False: another event came
/// first.
pub async fn bury(bus: &Bus, id: JobId, event: Event) -> Result<bool, Error> {
    let last = bus.last(&Subject::JobEvent(id)).await.map_err(LogError::from)?;
    let decided = Decided { event, expected: last.map_or(0, |raw| raw.seq), wanted: false };
    match bus.append(message(id, &decided, None), decided.expected).await? {
        Append::Stored(_) => Ok(true),
        Append::Conflict => Ok(false),
    }
}

/// One event follows on another: name, place and content name the message, so that a repetition is one and another
/// event in the same place is a conflict. A submission that comes again under one key has another time and the same body.
fn message(id: JobId, decided: &Decided, trace: Option<&str>) -> wire::Message {
    let Decided { event, expected, wanted } = decided;
    let wanted = if *wanted { envelope::YES } else { envelope::NO };
    let message = envelope::event(id, event, trace).header(envelope::WANTED, wanted);
    match event {
        Event::JobSubmitted(submitted) => message.id(format!("{id}:{}:{}", event.name(), submitted.fingerprint)),
        _ => {
            let content = blake3::hash(&message.payload).to_hex();
            message.id(format!("{id}:{}:{expected}:{}", event.name(), &content[..CONTENT_CHARS]))
        }
    }
}
