//! `POST /jobs/{id}/retry`: the failed requests of an ended job as a job of their own. The scheduler gathers and submits
//! them, whichever door the order came by; here it is seen to that there is something to gather.
use super::{
    desk::Desk,
    error::{Answer, Refusal},
    limits, orders, submit,
};
use crate::clock;
use axum::http::StatusCode;
use domain::{
    JobId, again,
    status::State as Phase,
    submission::{Control, Order},
};
use tracing::Instrument;
use wire::work::StoredStatus;

pub async fn retry(desk: &Desk, of: JobId) -> Answer {
    let old = desk.job(of).await?;
    again::check(old.status.state, old.status.requests).map_err(refused)?;
    let id = again::id(of);
    if let Some((stored, _)) = desk.find(id).await? {
        return Ok(orders::told(stored));
    }
    has_errors(desk, &old).await?;
    let span = tracing::info_span!("order", job = %of, order = Order::Retry.as_str());
    orders::send(desk, &Control::new(Order::Retry, of)).instrument(span).await?;
    let window_ms = old.status.deadline.since(old.status.submitted_at);
    match desk.await_job(id, limits::RETRY_WITHIN, |_| true).await? {
        Some((stored, _)) => Ok(orders::told(stored)),
        // Large files take longer to go through.
        None => Ok(submit::accepted(StatusCode::ACCEPTED, id, Phase::Validating, clock::now().plus(window_ms))),
    }
}

/// What a deletion takes along is the input and both files.
async fn has_errors(desk: &Desk, old: &StoredStatus) -> Result<(), Refusal> {
    let gone = || refused(again::Refusal::Deleted);
    let file = old.status.error_file.as_ref().ok_or_else(gone)?;
    desk.shared.store.size(&file.path).await?.map(drop).ok_or_else(gone)
}

fn refused(refusal: again::Refusal) -> Refusal {
    Refusal::conflict(refusal.to_string())
}
