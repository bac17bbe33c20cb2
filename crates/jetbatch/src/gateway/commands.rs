//! Commands for a job: each is checked against its status, goes to `jobs.control.<job>`, and is answered when its effect is
//! seen, or a moment later. The scheduler decides; a command given twice is one.
use super::{
    app::App,
    body,
    error::{Answer, Rejection},
    jobs::{id, shown},
    limits, resubmit,
};
use crate::clock;
use api::Change;
use axum::{
    Json,
    body::Body,
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{
    Timestamp,
    command::Command,
    command::{CommandKind, JobCommand},
    decide,
    status::State as Phase,
};
use tracing::Instrument;
use uuid::Uuid;
use wire::{Message, StoredStatus, Subject, envelope};

/// `POST /jobs/{id}/<command>`.
pub async fn give(kind: CommandKind, app: App, job: String, headers: HeaderMap, body: Body) -> Answer {
    let job = id(&job)?;
    let change = match kind {
        CommandKind::Retry => return resubmit::retry(&app, job).await,
        CommandKind::Deadline | CommandKind::Priority => body::json(&app, &headers, body).await?.value,
        CommandKind::Cancel | CommandKind::Pause | CommandKind::Resume | CommandKind::Delete => Change::default(),
    };
    let Change { completion_window, priority } = change;
    carry_out(&app, JobCommand { completion_window, priority, ..JobCommand::new(kind, job) }).await.map(told)
}

/// `DELETE /jobs/{id}`: its inputs, outputs and results are removed; that it was stays in the log.
pub async fn delete(app: App, Path(job): Path<String>) -> Answer {
    carry_out(&app, JobCommand::new(CommandKind::Delete, id(&job)?)).await.map(told)
}

/// The job as it stands when the effect is seen, or a moment later.
pub async fn carry_out(app: &App, command: JobCommand) -> Result<StoredStatus, Rejection> {
    let now = clock::now();
    let meant = command.stamped(now)?;
    let stored = settled(app, &command).await?;
    makes_sense(&command, meant.as_ref(), &stored, now)?;
    if command.kind != CommandKind::Delete && is_seen(&command, meant.as_ref(), &stored) {
        return Ok(stored);
    }
    let span = tracing::info_span!("order", job = %command.job, order = command.kind.as_str());
    send(app, &command).instrument(span).await?;
    let seen = |stored: &StoredStatus| is_seen(&command, meant.as_ref(), stored);
    let newest = app.await_job(command.job, limits::COMMAND_WITHIN, seen).await?.map_or(stored, |(newest, _)| newest);
    if !is_seen(&command, meant.as_ref(), &newest) {
        makes_sense(&command, meant.as_ref(), &newest, now)?;
    }
    Ok(newest)
}

/// The job as it stands. Most inputs are validated in a moment: who submits and pauses in one breath need not try again.
async fn settled(app: &App, command: &JobCommand) -> Result<StoredStatus, Rejection> {
    let stored = app.job(command.job).await?;
    let early = Err(decide::Denied::Validating);
    let is_early = |stored: &StoredStatus| decide::makes_sense(command.kind, stored.status.state) == early;
    if !is_early(&stored) {
        return Ok(stored);
    }
    let newest = app.await_job(command.job, limits::VALIDATED_WITHIN, |newest| !is_early(newest)).await?;
    Ok(newest.map_or(stored, |(newest, _)| newest))
}

fn makes_sense(
    command: &JobCommand,
    meant: Option<&Command>,
    stored: &StoredStatus,
    now: Timestamp,
) -> Result<(), Rejection> {
    let refused = |refusal: decide::Denied| Rejection::conflict(refusal.to_string());
    decide::makes_sense(command.kind, stored.status.state).map_err(refused)?;
    match deadline(meant, stored) {
        Some(deadline) if deadline <= now && deadline != stored.status.deadline => Err(refused(decide::Denied::Past)),
        Some(_) | None => Ok(()),
    }
}

fn deadline(meant: Option<&Command>, stored: &StoredStatus) -> Option<Timestamp> {
    match meant {
        Some(Command::Window { window_ms, .. }) => Some(stored.status.submitted_at.plus(*window_ms)),
        _ => None,
    }
}

/// Whether the status shows what was wanted.
fn is_seen(command: &JobCommand, meant: Option<&Command>, stored: &StoredStatus) -> bool {
    let status = &stored.status;
    match command.kind {
        CommandKind::Cancel => status.state == Phase::Cancelling || status.state.is_terminal(),
        CommandKind::Pause => status.state == Phase::Paused,
        CommandKind::Resume => status.state == Phase::InProgress,
        CommandKind::Deadline => deadline(meant, stored) == Some(status.deadline),
        CommandKind::Priority => command.priority == Some(status.priority),
        // Another job shows it, or none any more.
        CommandKind::Retry | CommandKind::Delete => true,
    }
}

/// Given twice it is harmless: the second finds it done.
pub async fn send(app: &App, command: &JobCommand) -> Result<(), Rejection> {
    let once = format!("{}:{}", command.job, command.kind.as_str());
    let id = match command.kind {
        CommandKind::Retry | CommandKind::Delete => once,
        // What can be taken back can be wanted again; and a cancel that came with the last answer.
        CommandKind::Cancel
        | CommandKind::Pause
        | CommandKind::Resume
        | CommandKind::Deadline
        | CommandKind::Priority => {
            format!("{once}:{}", Uuid::now_v7().simple())
        }
    };
    let message = Message::new(Subject::ControlJob(command.job), envelope::encode(command)).id(id);
    let mut message = message.header(envelope::CONTENT_TYPE, envelope::MSGPACK);
    message = wire::trace::put(message, crate::telemetry::context().as_deref());
    app.shared.bus.publish(message).await?;
    tracing::info!("a command was sent");
    Ok(())
}

pub fn told(stored: StoredStatus) -> Response {
    (StatusCode::ACCEPTED, Json(shown(stored))).into_response()
}
