//! `GET /jobs/{id}/timeline`: a job's events, read from the log and folded, and what other jobs did while it waited.
//!
//! It reads as much as a command does that folds the job, and of other jobs no more than a bound. What was told of a job
//! that ended stands; of one that runs it stands for a moment, so that many who look cost no more than one.
use super::{
    app::App,
    error::{Answer, Rejection},
    jobs::id,
    limits,
};
use crate::{
    bus::{Bus, Raw, ReadError},
    clock,
    log::{self, LogError},
};
use axum::{Json, extract::Path, response::IntoResponse};
use domain::{Event, JobId, Timestamp, timeline::Timeline};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::Semaphore, time::Instant};
use wire::{Filter, StoredStatus, envelope, stream::EVENTS};

/// What was told lately.
pub struct Timelines {
    /// Newest last.
    kept: Mutex<VecDeque<(JobId, Kept)>>,
    readers: Semaphore,
}

#[derive(Clone)]
struct Kept {
    told: Arc<api::Timeline>,
    at: Instant,
    is_over: bool,
}

impl Default for Timelines {
    fn default() -> Self {
        Self { kept: Mutex::default(), readers: Semaphore::new(limits::TIMELINE_READS) }
    }
}

impl Timelines {
    /// `has_ended`: what was told while it ran is of no use any more.
    fn find(&self, job: JobId, has_ended: bool) -> Option<Arc<api::Timeline>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, kept) = kept.iter().find(|(id, _)| *id == job)?;
        let is_fresh = !has_ended && kept.at.elapsed() < limits::TIMELINE_KEPT;
        (kept.is_over || is_fresh).then(|| kept.told.clone())
    }

    fn keep(&self, job: JobId, told: Arc<api::Timeline>, is_over: bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(id, _)| *id != job);
        kept.push_back((job, Kept { told, at: Instant::now(), is_over }));
        if kept.len() > limits::TIMELINES_KEPT {
            kept.pop_front();
        }
    }
}

/// `GET /jobs/{id}/timeline`.
pub async fn timeline(app: App, Path(job): Path<String>) -> Answer {
    let job = id(&job)?;
    // A deleted job, or one that never was, has none.
    let stored = app.job(job).await?;
    let told = match app.timelines.find(job, stored.status.state.is_terminal()) {
        Some(told) => told,
        None => read(&app, job, &stored).await?,
    };
    Ok(Json(&*told).into_response())
}

async fn read(app: &App, job: JobId, stored: &StoredStatus) -> Result<Arc<api::Timeline>, Rejection> {
    let closed = |_| Rejection::unavailable("the door closes");
    let _place = app.timelines.readers.acquire().await.map_err(closed)?;
    // Somebody else may have read it meanwhile.
    if let Some(told) = app.timelines.find(job, stored.status.state.is_terminal()) {
        return Ok(told);
    }
    let bus = &app.shared.bus;
    let (mut line, mut partial) = own(bus, job).await?;
    let now = clock::now();
    partial |= others(app, job, &mut line, now).await?;
    let told = line.told(stored.live.eta, now);
    let told =
        told.ok_or_else(|| Rejection::unavailable("the log does not tell of the job yet; try again in a moment"))?;
    let told = Arc::new(api::Timeline::new(job, told, partial));
    app.timelines.keep(job, told.clone(), line.is_over());
    Ok(told)
}

/// The fold of the job's own events, and whether there are more than were read.
async fn own(bus: &Bus, job: JobId) -> Result<(Timeline, bool), LogError> {
    let (filter, mut line) = (Filter::EventsOf(job), Timeline::new(job));
    let Some(last) = bus.last_of(EVENTS, &filter).await? else { return Ok((line, false)) };
    let mut reader = bus.read(EVENTS, &filter, 1).await?;
    for _ in 0..limits::TIMELINE_EVENTS_MAX {
        let raw = reader.next().await?;
        let (_, event) = log::decode(&raw)?;
        line.fold(&event, Timestamp::new(raw.time_ms));
        if reader.caught_up() && raw.seq >= last.seq {
            return Ok((line, false));
        }
    }
    Ok((line, true))
}

/// Tells what other jobs did while this one waited, and whether there is more of it than was read.
async fn others(app: &App, job: JobId, line: &mut Timeline, now: Timestamp) -> Result<bool, Rejection> {
    let (mut left, mut rivals) = (limits::TIMELINE_OTHERS_MAX, HashMap::new());
    for (from, until) in line.gaps(now) {
        let reader = app.shared.bus.read_since(EVENTS, &Filter::Events, from.get()).await;
        let mut reader = reader.map_err(LogError::from)?;
        while !reader.caught_up() {
            let raw = reader.next().await.map_err(LogError::from)?;
            if raw.time_ms > until.get() {
                break;
            }
            let Some(rest) = left.checked_sub(1) else { return Ok(true) };
            left = rest;
            tell(app, job, line, &raw, &mut rivals).await?;
        }
    }
    Ok(false)
}

async fn tell(
    app: &App,
    job: JobId,
    line: &mut Timeline,
    raw: &Raw,
    rivals: &mut HashMap<JobId, Option<Rival>>,
) -> Result<(), Rejection> {
    if raw.header(envelope::TYPE) != Some("ChunkDone") {
        return Ok(());
    }
    let (other, Event::ChunkDone(done)) = log::decode(raw)? else { return Ok(()) };
    if other == job {
        return Ok(());
    }
    let rival = match rivals.get(&other) {
        Some(rival) => *rival,
        None => {
            let is_room = rivals.len() < limits::TIMELINE_RIVALS_MAX;
            let rival = if is_room { rival(app, other, line).await? } else { None };
            rivals.insert(other, rival);
            rival
        }
    };
    if let Some(Rival(shown)) = rival {
        line.other(shown, &done, Timestamp::new(raw.time_ms));
    }
    Ok(())
}

/// A job that shares a pool, and its id if the reader may see it.
#[derive(Clone, Copy)]
struct Rival(Option<JobId>);

async fn rival(app: &App, other: JobId, line: &Timeline) -> Result<Option<Rival>, Rejection> {
    if !shares_a_pool(&app.shared.bus, other, line).await.map_err(LogError::from)? {
        return Ok(None);
    }
    Ok(Some(Rival(app.find(other).await?.map(|_| other))))
}

/// By the other job's first segment: a job is hardly ever of several pools.
async fn shares_a_pool(bus: &Bus, other: JobId, line: &Timeline) -> Result<bool, ReadError> {
    let first = bus.next_on(&wire::Subject::ChunkEvent(other), 1).await?;
    Ok(first.is_some_and(|raw| match log::decode(&raw) {
        Ok((_, Event::SegmentPlanned(plan))) => plan.pools.iter().any(|pool| line.pools().contains(pool)),
        Ok(_) | Err(_) => false,
    }))
}
