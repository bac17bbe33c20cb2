//! What a job's events tell and its status does not: its input, its window, when it closed and why.
use super::super::{app::App, error::Rejection, limits};
use crate::{
    bus::ReadError,
    log,
    paths::{self, UploadRef},
    submitted::Incoming,
};
use api::openai::{FileId, Lifecycle};
use domain::{
    Event, JobId, Tenant, Timestamp,
    event::Input,
    status::{State, Status},
    submission::Submission,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::timeout;
use wire::Subject;

/// Of jobs that ended, which change no more.
const KEPT_MAX: usize = 10_000;

#[derive(Default)]
pub struct Lifecycles(Mutex<HashMap<JobId, Lifecycle>>);

impl Lifecycles {
    pub async fn of(&self, app: &App, status: &Status) -> Result<Lifecycle, Rejection> {
        if let Some(known) = self.lock().get(&status.id) {
            return Ok(known.clone());
        }
        let read = timeout(limits::STATUS_WITHIN, read(app, status)).await;
        let lifecycle = read.map_err(|_| Rejection::unavailable("the log does not answer"))??;
        if status.state.is_terminal() {
            let mut known = self.lock();
            if known.len() >= KEPT_MAX {
                known.clear();
            }
            known.insert(status.id, lifecycle.clone());
        }
        Ok(lifecycle)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Lifecycle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(app: &App, status: &Status) -> Result<Lifecycle, ReadError> {
    let (bus, job) = (&app.shared.bus, status.id);
    let mut lifecycle = Lifecycle { window_ms: status.deadline.since(status.submitted_at), ..Lifecycle::default() };
    let (mut seq, mut begun) = (1, false);
    while let Some(raw) = bus.next_on(&Subject::JobEvent(job), seq).await? {
        seq = raw.seq + 1;
        begun = true;
        let Ok((_, event)) = log::decode(&raw) else { continue };
        match event {
            Event::JobSubmitted(submitted) => {
                lifecycle.window_ms = submitted.window_ms;
                lifecycle.input = Some(submitted.input);
            }
            // Of a table, the lines that were made of it.
            Event::JobPlanned(planned) => lifecycle.input = Some(Input::Stored(planned.input)),
            Event::JobClosing(closing) => lifecycle.closing = Some((closing.at, closing.cause)),
            Event::JobEnded(_) | Event::JobRejected(_) | Event::JobDeleted(_) => break,
            _ => {}
        }
    }
    if !begun && let Some(raw) = bus.next_on(&Subject::SubmitJob(job), 1).await? {
        lifecycle.input = Incoming::stored(&raw).submission.ok().map(|submission| input(&submission, status.tenant));
    }
    if matches!(status.state, State::Finalizing | State::Completed) {
        let last = bus.last(&Subject::ChunkEvent(job)).await?;
        lifecycle.answered = last.map(|raw| Timestamp::new(raw.time_ms));
    }
    Ok(lifecycle)
}

fn input(submission: &Submission, tenant: Tenant) -> Input {
    match submission.input.as_ref().map(|given| given.url().parse()) {
        Some(Ok(FileId::Upload(id))) => Input::Stored(paths::upload(UploadRef { tenant, id })),
        _ => Input::Inline,
    }
}
