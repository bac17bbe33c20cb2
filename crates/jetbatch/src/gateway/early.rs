//! A job that was acknowledged and has no status yet, as its submission or its first event tells it. Facts come before
//! a submission leaves its stream, so one of the two is there, whoever runs.
use super::{error::Rejection, limits, state::AppState};
use crate::{
    bus::{Raw, ReadError},
    log,
    submitted::Incoming,
};
use domain::{
    Event, Job, JobId,
    event::{Input, Submitted},
    status::{Live, Status},
};
use tokio::time::timeout;
use wire::{StoredStatus, Subject, envelope};

/// Whose ever it is. None: there is no such job, or it was deleted.
pub async fn find(app: &AppState, job: JobId) -> Result<Option<StoredStatus>, Rejection> {
    let told = timeout(limits::STATUS_WITHIN, read(app, job)).await;
    Ok(told.map_err(|_| Rejection::unavailable("NATS does not answer"))??)
}

/// As its first event tells it, whether or not it is there still.
pub async fn first(app: &AppState, job: JobId) -> Result<Option<StoredStatus>, Rejection> {
    let read = timeout(limits::STATUS_WITHIN, app.shared.bus.next_on(&Subject::JobEvent(job), 1)).await;
    let first = read.map_err(|_| Rejection::unavailable("NATS does not answer"))??;
    Ok(first.and_then(|first| begun(job, &first)))
}

async fn read(app: &AppState, job: JobId) -> Result<Option<StoredStatus>, ReadError> {
    let bus = &app.shared.bus;
    let waiting = bus.next_on(&Subject::SubmitJob(job), 1).await?;
    // A second submission may wait still, with another body: the first event says whose the id is.
    let subject = Subject::JobEvent(job);
    // Asked for in any case: how long it takes tells nobody whether another tenant has such a job.
    let (first, is_deleted) = tokio::try_join!(bus.next_on(&subject, 1), log::is_deleted(bus, job))?;
    if let Some(first) = first {
        return Ok(begun(job, &first).filter(|_| !is_deleted));
    }
    Ok(waiting.and_then(|raw| told(job, Event::JobSubmitted(submitted(app, &raw)))))
}

fn submitted(app: &AppState, raw: &Raw) -> Submitted {
    let trace = wire::trace::read(|name| raw.header(name));
    Incoming::stored(raw).begin(Input::Inline, trace, &app.shared.config)
}

fn begun(job: JobId, first: &Raw) -> Option<StoredStatus> {
    let event = envelope::read_event(first.header(envelope::VERSION), &first.payload);
    event.ok().and_then(|event| told(job, event))
}

/// Older than any status that is stored.
fn told(job: JobId, first: Event) -> Option<StoredStatus> {
    let job = Job::begin(job, &first)?;
    Some(StoredStatus { v: 1, seq: 0, status: Status::of(&job), live: Live::default() })
}
