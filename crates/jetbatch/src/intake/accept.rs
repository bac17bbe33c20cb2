//! A submission's way into the log.
use super::{
    source::{Source, SourceError},
    validate::{self, Verdict},
};
use crate::{
    bus::{Delivery, PublishError},
    clock, command,
    log::{self, Folded, LogError},
    payload,
    shared::Shared,
    spans,
    store::{StoreError, paths},
    telemetry,
};
use domain::{
    Job, JobId,
    decide::{Command, Refusal},
    event::{Code, Input, LineError, Planned, Submitted},
    job::Phase,
    limits::{KEY_BYTES_MAX, WINDOW_MS_DEFAULT},
    submission::Submission,
};
use tracing::Instrument;
use wire::{envelope, stream};

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
}

/// The tenant of submissions, until there are several.
const TENANT: &str = "default";

pub async fn submission(shared: &Shared, delivery: &Delivery) -> Result<(), Error> {
    let read = read(delivery);
    let id = job_id(delivery, read.as_ref().ok());
    let trace = wire::trace::read(|name| delivery.header(name));
    let span = spans::process(id, trace.as_deref());
    async move {
        let trace = trace.or_else(telemetry::context);
        match read {
            Ok(submission) => accept(shared, delivery, id, submission, trace).await,
            Err(why) => refuse(shared, delivery, id, why, trace).await,
        }
    }
    .instrument(span)
    .await
}

/// The client's own id; else the id its key names; else the one that the publish acknowledgement gives.
fn job_id(delivery: &Delivery, submission: Option<&Submission>) -> JobId {
    let key = delivery.id().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let own = submission.and_then(|s| s.id);
    own.or_else(|| key.map(|key| JobId::keyed(TENANT, key)))
        .unwrap_or_else(|| JobId::sequenced(stream::SUBMIT.as_str(), delivery.seq))
}

fn read(delivery: &Delivery) -> Result<Submission, String> {
    let read = payload::read(delivery.header(envelope::CONTENT_TYPE), &delivery.payload);
    let submission: Submission = read.map_err(|why| format!("the submission is {why}"))?;
    submission.check().map_err(|fault| fault.to_string())?;
    Ok(submission)
}

async fn accept(
    shared: &Shared,
    delivery: &Delivery,
    id: JobId,
    submission: Submission,
    trace: Option<String>,
) -> Result<(), Error> {
    let fingerprint = submission.fingerprint.clone().unwrap_or_else(|| fingerprint(delivery));
    let input = match &submission.input {
        None => Ok(Input::Inline),
        Some(url) => super::source::locate(url, &shared.config.intake),
    };
    let (input, denied) = match input {
        Ok(input) => (input, None),
        Err(error) => (Input::Inline, Some(error)),
    };
    let submitted = Submitted {
        at: clock::now(),
        fingerprint,
        input,
        model: submission.model.clone(),
        endpoint: submission.endpoint.clone(),
        window_ms: submission.check().unwrap_or(WINDOW_MS_DEFAULT),
        metadata: submission.metadata.clone(),
        priority: submission.priority.unwrap_or_default(),
        trace,
        packing: shared.config.packing(),
        retries: shared.config.retries(),
        strict: submission.strict,
    };
    if !submit(shared, id, submitted).await? {
        return Ok(());
    }
    match denied {
        Some(error) => reject(shared, id, vec![error], 1).await,
        None => plan(shared, id, submission).await,
    }
}

/// Whether the job's input is now to be validated.
async fn submit(shared: &Shared, id: JobId, submitted: Submitted) -> Result<bool, Error> {
    let trace = submitted.trace.clone();
    let done = command::execute(&shared.bus, id, None, Command::Submit(Box::new(submitted)), trace.as_deref()).await;
    match done {
        Ok(_) => {
            tracing::info!(job = %id, "job submitted");
            Ok(true)
        }
        // Submitted before: by this very message before a crash, or by a repetition of it.
        Err(command::Error::Refused(Refusal::Exists)) => {
            shared.metrics.submission("duplicate");
            drop_copy(shared, id).await?;
            let folded = log::job(&shared.bus, id).await?.ok_or(Error::Behind)?;
            Ok(folded.job.phase == Phase::Validating)
        }
        Err(command::Error::Refused(Refusal::Conflict)) => {
            shared.metrics.submission("conflict");
            tracing::warn!(job = %id, "a second submission with this key or id has another body; it is dropped");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn plan(shared: &Shared, id: JobId, submission: Submission) -> Result<(), Error> {
    let folded = log::job(&shared.bus, id).await?.ok_or(Error::Behind)?;
    let submitted = folded.job.submitted;
    let source = match Source::open(shared, id, &submitted.input, submission.requests).await {
        Ok(source) => source,
        Err(SourceError::Refused(error)) => return reject(shared, id, vec![error], 1).await,
        Err(SourceError::Store(error)) => return Err(error.into()),
    };
    let copied = source.copy;
    let verdict = match validate::run(shared, id, &submitted, source).await {
        Err(Error::Publish(error @ PublishError::TooLarge { .. })) => {
            return reject(shared, id, vec![large(&error)], 1).await;
        }
        verdict => verdict?,
    };
    match verdict {
        Verdict::Good { input, requests, segments, bytes, warnings } => {
            let is_refused = submitted.strict && !warnings.is_empty();
            shared.metrics.submission(if is_refused { "rejected" } else { "planned" });
            let planned = Planned { at: clock::now(), input: input.clone(), requests, segments, bytes, warnings };
            settle(shared, id, Command::Plan(planned)).await?;
            match copied {
                true if is_refused => drop_copy(shared, id).await,
                true => drop_unused(shared, id, &input).await,
                false => Ok(()),
            }
        }
        Verdict::Bad { errors, total } => {
            reject(shared, id, errors, total).await?;
            drop_copy(shared, id).await
        }
    }
}

/// A fact of the job that no message can hold; asking again would change nothing.
fn large(error: &PublishError) -> LineError {
    LineError { code: Code::InvalidSubmission, line: None, param: None, message: error.to_string() }
}

/// Removes the copy of a rejected job's input. After the verdict is stored, and only if it was this one: another intake
/// may have planned the job meanwhile, and its chunks are read from the copy.
async fn drop_copy(shared: &Shared, id: JobId) -> Result<(), Error> {
    match log::job(&shared.bus, id).await? {
        Some(Folded { job: Job { phase: Phase::Rejected(_), .. }, .. }) => {
            Ok(shared.store.delete(&paths::input(id)).await?)
        }
        Some(_) | None => Ok(()),
    }
}

/// A job that was cancelled or expired while its input was copied has no use for the copy, and may be deleted by now.
async fn drop_unused(shared: &Shared, id: JobId, input: &str) -> Result<(), Error> {
    let Some(folded) = log::job(&shared.bus, id).await? else { return Ok(()) };
    match folded.job.planned {
        Some(planned) if planned.input != input => Ok(shared.store.delete(input).await?),
        Some(_) | None => Ok(()),
    }
}

/// A message that is no submission becomes a failed job, so that its sender finds out why.
async fn refuse(
    shared: &Shared,
    delivery: &Delivery,
    id: JobId,
    why: String,
    trace: Option<String>,
) -> Result<(), Error> {
    let submitted = Submitted {
        at: clock::now(),
        fingerprint: fingerprint(delivery),
        input: Input::Inline,
        model: None,
        endpoint: None,
        window_ms: WINDOW_MS_DEFAULT,
        metadata: Default::default(),
        priority: Default::default(),
        trace,
        packing: shared.config.packing(),
        retries: shared.config.retries(),
        strict: false,
    };
    if submit(shared, id, submitted).await? {
        let error = LineError { code: Code::InvalidSubmission, line: None, param: None, message: why };
        reject(shared, id, vec![error], 1).await?;
    }
    Ok(())
}

async fn reject(shared: &Shared, id: JobId, errors: Vec<LineError>, total: u64) -> Result<(), Error> {
    tracing::info!(job = %id, errors = total, "job rejected: its input does not validate");
    shared.metrics.submission("rejected");
    settle(shared, id, Command::Reject { at: clock::now(), errors, total }).await
}

/// A job that was cancelled or expired meanwhile needs no verdict.
async fn settle(shared: &Shared, id: JobId, command: Command) -> Result<(), Error> {
    let trace = telemetry::context();
    match command::execute(&shared.bus, id, None, command, trace.as_deref()).await {
        Err(command::Error::Refused(Refusal::Unknown)) => Err(Error::Behind),
        Ok(_) | Err(command::Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn fingerprint(delivery: &Delivery) -> String {
    blake3::hash(&delivery.payload).to_hex().to_string()
}
