//! `POST /jobs/{id}/retry`: the failed requests of an ended job as a job of their own. The scheduler gathers and submits
//! them, whichever door the order came by; here it is seen to that there is something to gather.
use super::{
    app::App,
    commands,
    error::{Answer, Rejection},
    limits, submit,
};
use crate::clock;
use axum::http::StatusCode;
use domain::{
    JobId,
    command::{CommandKind, JobCommand},
    resubmit,
    status::State as Phase,
};
use tracing::Instrument;
use wire::StoredStatus;

pub async fn retry(app: &App, of: JobId) -> Answer {
    let old = app.job(of).await?;
    resubmit::may(&old.status).map_err(refused)?;
    let id = resubmit::id(of);
    if let Some((stored, _)) = app.find(id).await? {
        return Ok(commands::told(stored));
    }
    app.may_submit()?;
    has_errors(app, &old).await?;
    let span = tracing::info_span!("order", job = %of, order = CommandKind::Retry.as_str());
    commands::send(app, &JobCommand::new(CommandKind::Retry, of)).instrument(span).await?;
    let window_ms = old.status.deadline.since(old.status.submitted_at);
    match app.await_job(id, limits::RETRY_WITHIN, |_| true).await? {
        Some((stored, _)) => Ok(commands::told(stored)),
        // Large files take longer to go through.
        None => Ok(submit::accepted(StatusCode::ACCEPTED, id, Phase::Validating, clock::now().plus(window_ms))),
    }
}

/// What a deletion takes along is the input and both files.
async fn has_errors(app: &App, old: &StoredStatus) -> Result<(), Rejection> {
    let gone = || refused(resubmit::NoRetry::Deleted);
    let file = old.status.error_file.as_ref().ok_or_else(gone)?;
    app.shared.store.size(&file.path).await?.map(drop).ok_or_else(gone)
}

fn refused(refusal: resubmit::NoRetry) -> Rejection {
    Rejection::conflict(refusal.to_string())
}
