//! A submission's way into the log: its job begins here. What it asks for is looked at later, in its turn.
use crate::{
    audit,
    bus::{Delivery, PublishError},
    command,
    input::{self, Content, locate},
    log::{self, Folded, LogError},
    paths,
    shared::Shared,
    spans,
    submitted::Incoming,
    telemetry,
};
use domain::{
    Job, JobId,
    audit::What,
    command::Command,
    decide::Denied,
    event::{Code, Input, LineError, Submitted},
    job::Phase,
    limits::SMALL_INPUT_BYTES_MAX,
    queue::{Size, Turn},
};
use store::StoreError;
use tracing::{Instrument, Span};

/// What may pass: the submission is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the job's events could not be read")]
    Log(#[from] LogError),
    #[error("the job's event could not be stored")]
    Command(#[from] command::Error),
    #[error("the job's facts could not be stored")]
    Publish(#[from] PublishError),
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Its first event is stored, so a log without it is not the whole one.
    #[error("the job was submitted and the log does not tell of it yet")]
    Behind,
    #[error("handling it panicked")]
    Panicked,
}

impl From<input::Error> for Error {
    fn from(error: input::Error) -> Self {
        match error {
            input::Error::Publish(error) => error.into(),
            input::Error::Store(error) => error.into(),
        }
    }
}

/// A job that has begun and waits for its validation.
pub struct Ticket {
    /// Of its submission.
    pub seq: u64,
    pub known: Folded,
    pub asked: Asked,
    pub size: Size,
    pub span: Span,
}

/// What is to be validated.
pub enum Asked {
    /// Nothing: the submission itself is wrong.
    Refused(LineError),
    Input(Content),
}

impl Ticket {
    pub fn turn(&self) -> Turn {
        let job = &self.known.job;
        Turn { priority: job.priority, deadline: job.deadline, seq: self.seq }
    }
}

/// None: the submission has nothing left to do.
pub async fn submission(shared: &Shared, delivery: &Delivery) -> Result<Option<Ticket>, Error> {
    let incoming = Incoming::of(delivery);
    let trace = wire::trace::read(|name| delivery.header(name));
    let span = spans::process(incoming.id, trace.as_deref());
    let begun = begin(shared, delivery, incoming, trace).instrument(span.clone());
    let Some((known, asked)) = begun.await? else { return Ok(None) };
    let size = size(shared, &asked, &known.job.submitted.input).await;
    Ok(Some(Ticket { seq: delivery.seq, known, asked, size, span }))
}

async fn begin(
    shared: &Shared,
    delivery: &Delivery,
    incoming: Incoming,
    trace: Option<String>,
) -> Result<Option<(Folded, Asked)>, Error> {
    let (input, denied) = input(shared, &incoming);
    let submitted = incoming.begin(input, trace.or_else(telemetry::context), &shared.config);
    let Some(known) = submit(shared, incoming.id, submitted, delivery).await? else { return Ok(None) };
    audit::past(&shared.bus, delivery, What::Submit, incoming.id).await;
    let content = incoming.submission.map(|submission| Content::of(submission.into_inner()));
    let asked = match denied.map_or_else(|| content.unwrap_or_else(|_| Ok(Content::default())), Err) {
        Ok(content) => Asked::Input(content),
        Err(error) => Asked::Refused(error),
    };
    Ok(Some((known, asked)))
}

/// Where the input lies, or why there is none. A message that is no submission becomes a failed job, so that its sender
/// finds out why.
fn input(shared: &Shared, incoming: &Incoming) -> (Input, Option<LineError>) {
    let located = match &incoming.submission {
        Err(why) => Err(LineError { code: Code::InvalidSubmission, line: None, param: None, message: why.clone() }),
        Ok(submission) => match &submission.input {
            None => Ok(Input::Inline),
            Some(given) => locate(given.url(), incoming.owner.tenant, &shared.config.intake),
        },
    };
    let called = || incoming.webhook(&shared.config).map_err(|why| uncalled(why.to_string()));
    match located.and_then(|input| called().map(|_| input)) {
        Ok(input) => (input, None),
        Err(error) => (Input::Inline, Some(error)),
    }
}

/// Its hooks may not go where it wants them.
fn uncalled(message: String) -> LineError {
    LineError { code: Code::InvalidSubmission, line: None, param: Some("webhook_url".to_owned()), message }
}

/// The job, if its input is now to be validated.
async fn submit(
    shared: &Shared,
    id: JobId,
    submitted: Submitted,
    delivery: &Delivery,
) -> Result<Option<Folded>, Error> {
    let trace = submitted.trace.clone();
    // One that comes again may have begun its job.
    if delivery.delivered == 1
        && let Some(known) = command::begin(&shared.bus, id, &submitted, delivery.seq, trace.as_deref()).await?
    {
        tracing::info!(job = %id, "job submitted");
        return Ok(Some(known));
    }
    let done = command::execute(&shared.bus, id, None, Command::Submit(Box::new(submitted)), trace.as_deref()).await;
    match done {
        Ok(_) => tracing::info!(job = %id, "job submitted"),
        // Submitted before: by this very message before a crash, or by a repetition of it.
        Err(command::Error::Denied(Denied::Exists)) => {
            shared.metrics.submission("duplicate");
            drop_copy(shared, id).await?;
        }
        Err(command::Error::Denied(Denied::Conflict)) => {
            shared.metrics.submission("conflict");
            tracing::warn!(job = %id, "a second submission with this key or id has another body; it is dropped");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let known = log::job(&shared.bus, id).await?.ok_or(Error::Behind)?;
    Ok((known.job.phase == Phase::Validating).then_some(known))
}

/// An upload that cannot be looked at now counts as large.
async fn size(shared: &Shared, asked: &Asked, input: &Input) -> Size {
    let bytes = match (asked, input) {
        (Asked::Refused(_), _) | (_, Input::Inline) => Some(0),
        (_, Input::Stored(path)) => shared.store.size(path).await.ok().map(Option::unwrap_or_default),
        (_, Input::Url(_)) => None,
    };
    if bytes.is_some_and(|bytes| bytes <= SMALL_INPUT_BYTES_MAX) { Size::Small } else { Size::Large }
}

/// Removes the copy of a rejected job's input. After the verdict is stored, and only if it was this one: another intake
/// may have planned the job meanwhile, and its chunks are read from the copy.
pub async fn drop_copy(shared: &Shared, id: JobId) -> Result<(), Error> {
    match log::job(&shared.bus, id).await? {
        Some(Folded { job: Job { phase: Phase::Rejected(_), .. }, .. }) => {
            Ok(shared.store.delete(&paths::input(id)).await?)
        }
        Some(_) | None => Ok(()),
    }
}
