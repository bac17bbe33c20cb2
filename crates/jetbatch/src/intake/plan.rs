//! A job's way from its first event to the verdict on its input.
use super::{
    accept::{Asked, Error, Ticket, drop_copy},
    facts,
};
use crate::{
    ask,
    bus::PublishError,
    clock, command,
    input::{Source, SourceError, Verdict},
    log::{self, Folded},
    shared::Shared,
    telemetry,
};
use domain::{
    admission::{self, Admission},
    command::Command,
    decide::Denied,
    event::{Code, LineError, Planned},
    foresight::Asked as Forecast,
    warning::Warning,
};

pub async fn run(shared: &Shared, ticket: Ticket) -> Result<(), Error> {
    let known = &ticket.known;
    if clock::now() >= known.job.deadline {
        return expire(shared, known).await;
    }
    let content = match ticket.asked {
        Asked::Refused(error) => return reject(shared, known, vec![error], 1).await.map(drop),
        Asked::Input(content) => content,
    };
    let id = known.job.id;
    let source = match Source::open(shared, id, &known.job.submitted.input, content).await {
        Ok(source) => source,
        Err(SourceError::Refused(error)) => return reject(shared, known, vec![error], 1).await.map(drop),
        Err(SourceError::Store(error)) => return Err(error.into()),
    };
    let copied = source.is_own;
    match facts::validate(shared, id, &known.job.submitted, source).await {
        Err(Error::Publish(error @ PublishError::TooLarge { .. })) => {
            reject(shared, known, vec![large(&error)], 1).await.map(drop)
        }
        found => {
            let (mut verdict, forecast) = found?;
            let refused = admit(shared, known, &mut verdict, forecast).await;
            let Some(error) = refused else { return settle(shared, known, verdict, copied).await };
            reject(shared, known, vec![error], 1).await?;
            drop_copy(shared, id).await
        }
    }
}

/// Why its pools do not take it, if they do not. What is to be warned of goes into the verdict.
async fn admit(shared: &Shared, known: &Folded, verdict: &mut Verdict, forecast: Forecast) -> Option<LineError> {
    let admission = shared.config.admission(forecast.pools());
    let Verdict::Good { requests, warnings, .. } = verdict else { return None };
    if admission == Admission::Accept {
        return None;
    }
    let deadline = known.job.deadline;
    let forecast = Forecast { window_ms: deadline.since(clock::now()), ..forecast };
    let quoted = ask::quoted(&shared.bus, &forecast).await;
    match admission.judge(deadline, quoted.as_ref()) {
        admission::Verdict::Holds => None,
        admission::Verdict::Warned(said) => {
            warnings.push(admission::warning(&said, *requests));
            None
        }
        admission::Verdict::Refused(said) => Some(admission::error(&said)),
    }
}

async fn settle(shared: &Shared, known: &Folded, verdict: Verdict, copied: bool) -> Result<(), Error> {
    let id = known.job.id;
    match verdict {
        Verdict::Good { input, requests, segments, bytes, warnings } => {
            let is_refused = known.job.submitted.strict && warnings.iter().any(Warning::is_of_requests);
            shared.metrics.submission(if is_refused { "rejected" } else { "planned" });
            let planned = Planned { at: clock::now(), input: input.clone(), requests, segments, bytes, warnings };
            let is_told = tell(shared, known, Command::Plan(planned)).await?;
            match copied {
                true if is_refused => drop_copy(shared, id).await,
                true if !is_told => drop_unused(shared, known, &input).await,
                _ => Ok(()),
            }
        }
        Verdict::Bad { errors, total, .. } => {
            reject(shared, known, errors, total).await?;
            drop_copy(shared, id).await
        }
    }
}

/// Found so late, after an outage, that nothing of it can be answered in time.
async fn expire(shared: &Shared, known: &Folded) -> Result<(), Error> {
    let (job, window_ms) = (known.job.id, known.job.submitted.window_ms);
    tracing::warn!(%job, window_ms, "the job's window passed before its submission was taken: it expires, and nothing of it runs");
    tell(shared, known, Command::Expire { at: clock::now(), reason: None }).await.map(drop)
}

/// A fact of the job that no message can hold; asking again would change nothing.
fn large(error: &PublishError) -> LineError {
    LineError { code: Code::InvalidSubmission, line: None, param: None, message: error.to_string() }
}

/// A job that was cancelled or expired while its input was copied has no use for the copy, and may be deleted by now.
async fn drop_unused(shared: &Shared, known: &Folded, input: &str) -> Result<(), Error> {
    let Some(folded) = log::job(&shared.bus, known.job.id).await? else { return Ok(()) };
    match folded.job.planned {
        Some(planned) if planned.input != input => Ok(shared.store.delete(input).await?),
        Some(_) | None => Ok(()),
    }
}

async fn reject(shared: &Shared, known: &Folded, errors: Vec<LineError>, total: u64) -> Result<bool, Error> {
    tracing::info!(job = %known.job.id, errors = total, "job rejected: its input does not validate");
    shared.metrics.submission("rejected");
    tell(shared, known, Command::Reject { at: clock::now(), errors, total }).await
}

/// Whether it is stored. A job that was cancelled or expired meanwhile needs no verdict.
async fn tell(shared: &Shared, known: &Folded, command: Command) -> Result<bool, Error> {
    let trace = telemetry::context();
    match command::execute(&shared.bus, known.job.id, Some(known), command, trace.as_deref()).await {
        Err(command::Error::Denied(Denied::Unknown)) => Err(Error::Behind),
        Ok(is_new) => Ok(is_new),
        Err(command::Error::Denied(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
