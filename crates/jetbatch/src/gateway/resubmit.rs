//! `POST /jobs/{id}/retry`: the failed requests of an ended job as a job of their own. The scheduler gathers and submits
//! them, whichever door the order came by; here it is seen to that there is something to gather.
use super::{
    error::{Answer, Refusal},
    limits, orders,
    state::AppState,
    submit,
};
use crate::clock;
use axum::http::StatusCode;
use domain::{
    JobId, resubmit,
    status::State as Phase,
    submission::{Control, Order},
};
use tracing::Instrument;
use wire::StoredStatus;

pub async fn retry(app: &AppState, of: JobId) -> Answer {
    let old = app.job(of).await?;
    resubmit::check(old.status.state, old.status.requests).map_err(refused)?;
    let id = resubmit::id(of);
    if let Some((stored, _)) = app.find(id).await? {
        return Ok(orders::told(stored));
    }
    has_errors(app, &old).await?;
    let span = tracing::info_span!("order", job = %of, order = Order::Retry.as_str());
    orders::send(app, &Control::new(Order::Retry, of)).instrument(span).await?;
    let window_ms = old.status.deadline.since(old.status.submitted_at);
    match app.await_job(id, limits::RETRY_WITHIN, |_| true).await? {
        Some((stored, _)) => Ok(orders::told(stored)),
        // Large files take longer to go through.
        None => Ok(submit::accepted(StatusCode::ACCEPTED, id, Phase::Validating, clock::now().plus(window_ms))),
    }
}

/// What a deletion takes along is the input and both files.
async fn has_errors(app: &AppState, old: &StoredStatus) -> Result<(), Refusal> {
    let gone = || refused(resubmit::Refusal::Deleted);
    let file = old.status.error_file.as_ref().ok_or_else(gone)?;
    app.shared.store.size(&file.path).await?.map(drop).ok_or_else(gone)
}

fn refused(refusal: resubmit::Refusal) -> Refusal {
    Refusal::conflict(refusal.to_string())
}
