//! A submission's way into the log.
use super::{
    source::{Source, SourceError},
    validate::{self, Verdict},
};
use crate::{
    bus::{Delivery, PublishError},
    clock, command,
    log::{self, LogError},
    payload,
    shared::Shared,
    spans,
    store::StoreError,
    telemetry,
};
use domain::{
    JobId,
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
}

/// The tenant of submissions, until there are several.
const TENANT: &str = "default";

pub async fn submission(shared: &Shared, delivery: &Delivery) -> Result<(), Error> {
    let read = read(delivery);
    let id = job_id(delivery, read.as_ref().ok());
    let span = spans::process(id, delivery.header(envelope::TRACEPARENT));
    async move {
        let trace = delivery.header(envelope::TRACEPARENT).map(str::to_owned).or_else(telemetry::traceparent);
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
        .unwrap_or_else(|| JobId::sequenced(stream::SUBMIT, delivery.seq))
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
            let folded = log::job(&shared.bus, id).await?;
            Ok(folded.is_some_and(|f| f.job.phase == Phase::Validating))
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
    let Some(folded) = log::job(&shared.bus, id).await? else { return Ok(()) };
    let submitted = folded.job.submitted;
    let source = match Source::open(shared, id, &submitted.input, submission.requests).await {
        Ok(source) => source,
        Err(SourceError::Refused(error)) => return reject(shared, id, vec![error], 1).await,
        Err(SourceError::Store(error)) => return Err(error.into()),
    };
    match validate::run(shared, id, &submitted, source).await? {
        Verdict::Good { input, requests, segments, bytes } => {
            shared.metrics.submission("planned");
            let planned = Planned { at: clock::now(), input, requests, segments, bytes };
            settle(shared, id, Command::Plan(planned)).await
        }
        Verdict::Bad { errors, total } => reject(shared, id, errors, total).await,
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
    let trace = telemetry::traceparent();
    match command::execute(&shared.bus, id, None, command, trace.as_deref()).await {
        Ok(_) | Err(command::Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn fingerprint(delivery: &Delivery) -> String {
    blake3::hash(&delivery.payload).to_hex().to_string()
}
