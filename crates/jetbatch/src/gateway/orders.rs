//! Orders for a job: each is checked against its status, goes to `jobs.control`, and is answered when its effect is
//! seen, or a moment later. The scheduler decides; an order given twice is one.
use super::{
    body,
    error::{Answer, Refusal},
    jobs::{id, shown},
    limits, resubmit,
    state::AppState,
};
use crate::clock;
use api::Change;
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{
    Millis,
    decide::{self, Command},
    status::State as Phase,
    submission::{Control, Order},
};
use std::sync::Arc;
use tracing::Instrument;
use uuid::Uuid;
use wire::{Message, StoredStatus, Subject, envelope};

/// `POST /jobs/{id}/<order>`.
pub async fn give(order: Order, app: Arc<AppState>, job: String, headers: HeaderMap, body: Body) -> Answer {
    let job = id(&job)?;
    let change = match order {
        Order::Retry => return resubmit::retry(&app, job).await,
        Order::Deadline | Order::Priority => body::json(&app, &headers, body).await?.value,
        Order::Cancel | Order::Pause | Order::Resume | Order::Delete => Change::default(),
    };
    let Change { completion_window, priority } = change;
    carry_out(&app, Control { completion_window, priority, ..Control::new(order, job) }).await
}

/// `DELETE /jobs/{id}`: its inputs, outputs and results are removed; that it was stays in the log.
pub async fn delete(State(app): State<Arc<AppState>>, Path(job): Path<String>) -> Answer {
    carry_out(&app, Control::new(Order::Delete, id(&job)?)).await
}

async fn carry_out(app: &AppState, control: Control) -> Answer {
    let now = clock::now();
    let command = control.command(now)?;
    let stored = settled(app, &control).await?;
    makes_sense(&control, command.as_ref(), &stored, now)?;
    if control.command != Order::Delete && is_seen(&control, command.as_ref(), &stored) {
        return Ok(told(stored));
    }
    let span = tracing::info_span!("order", job = %control.job, order = control.command.as_str());
    send(app, &control).instrument(span).await?;
    let seen = |stored: &StoredStatus| is_seen(&control, command.as_ref(), stored);
    let newest = app.await_job(control.job, limits::ORDER_WITHIN, seen).await?.map_or(stored, |(newest, _)| newest);
    if !is_seen(&control, command.as_ref(), &newest) {
        makes_sense(&control, command.as_ref(), &newest, now)?;
    }
    Ok(told(newest))
}

/// The job as it stands. Most inputs are validated in a moment: who submits and pauses in one breath need not try again.
async fn settled(app: &AppState, control: &Control) -> Result<StoredStatus, Refusal> {
    let stored = app.job(control.job).await?;
    let early = Err(decide::Refusal::Validating);
    let is_early = |stored: &StoredStatus| decide::makes_sense(control.command, stored.status.state) == early;
    if !is_early(&stored) {
        return Ok(stored);
    }
    let newest = app.await_job(control.job, limits::VALIDATED_WITHIN, |newest| !is_early(newest)).await?;
    Ok(newest.map_or(stored, |(newest, _)| newest))
}

fn makes_sense(
    control: &Control,
    command: Option<&Command>,
    stored: &StoredStatus,
    now: Millis,
) -> Result<(), Refusal> {
    let refused = |refusal: decide::Refusal| Refusal::conflict(refusal.to_string());
    decide::makes_sense(control.command, stored.status.state).map_err(refused)?;
    match deadline(command, stored) {
        Some(deadline) if deadline <= now && deadline != stored.status.deadline => Err(refused(decide::Refusal::Past)),
        Some(_) | None => Ok(()),
    }
}

fn deadline(command: Option<&Command>, stored: &StoredStatus) -> Option<Millis> {
    match command {
        Some(Command::Window { window_ms, .. }) => Some(stored.status.submitted_at.plus(*window_ms)),
        _ => None,
    }
}

/// Whether the status shows what was ordered.
fn is_seen(control: &Control, command: Option<&Command>, stored: &StoredStatus) -> bool {
    let status = &stored.status;
    match control.command {
        Order::Cancel => status.state == Phase::Cancelling || status.state.is_terminal(),
        Order::Pause => status.state == Phase::Paused,
        Order::Resume => status.state == Phase::InProgress,
        Order::Deadline => deadline(command, stored) == Some(status.deadline),
        Order::Priority => control.priority == Some(status.priority),
        // Another job shows it, or none any more.
        Order::Retry | Order::Delete => true,
    }
}

/// Given twice it is harmless: the second finds it done.
pub async fn send(app: &AppState, control: &Control) -> Result<(), Refusal> {
    let once = format!("{}:{}", control.job, control.command.as_str());
    let id = match control.command {
        Order::Cancel | Order::Retry | Order::Delete => once,
        // What can be taken back can be ordered again.
        Order::Pause | Order::Resume | Order::Deadline | Order::Priority => {
            format!("{once}:{}", Uuid::now_v7().simple())
        }
    };
    let message = Message::new(Subject::Control, envelope::encode(control)).id(id);
    let mut message = message.header(envelope::CONTENT_TYPE, envelope::MSGPACK);
    message = wire::trace::put(message, crate::telemetry::context().as_deref());
    app.shared.bus.publish(message).await?;
    tracing::info!("an order was sent");
    Ok(())
}

pub fn told(stored: StoredStatus) -> Response {
    (StatusCode::ACCEPTED, Json(shown(stored))).into_response()
}
