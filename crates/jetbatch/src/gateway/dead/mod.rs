//! The dead-letter app: requests that were given up, each entry of DEAD under its sequence there. They are listed and
//! shown with what they failed of, submitted once more as a job of their own, and dropped.
mod page;
mod view;

use super::{
    app::App,
    error::{Answer, Rejection},
    limits,
    submit::{self, Offer},
    upload,
};
use crate::{
    bus::{Raw, ReadError},
    parts,
};
use api::{DeadDropped, DeadPage, ErrorCode};
use axum::{
    Json,
    extract::{Path, RawQuery},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use domain::{JobId, Pool, Tenant, Timestamp, submission::Submission};
use futures::{StreamExt, TryStreamExt, stream};
use page::Query;
use std::convert::Infallible;
use tokio::time::timeout;
use wire::{DeadChunk, Filter, Subject, envelope, stream::DEAD};

pub struct Entry {
    seq: u64,
    at: Timestamp,
    pool: Pool,
    dead: DeadChunk,
}

/// `GET /dead`.
pub async fn many(app: App, RawQuery(text): RawQuery) -> Answer {
    let query = Query::parse(text.as_deref())?;
    let _place = app.download_place()?;
    let mut seqs = within(query.find(&app.shared.bus, app.tenant())).await?;
    let has_more = seqs.len() > query.limit;
    seqs.truncate(query.limit);
    let next = seqs.last().copied().filter(|_| has_more);
    // One that ages out meanwhile, or is of a newer jetbatch, is left out.
    let read = stream::iter(seqs).map(|seq| find(&app, seq)).buffered(limits::DEAD_READS);
    let brief = |entry: Option<Entry>| std::future::ready(Ok(entry.as_ref().map(view::brief)));
    let data = read.try_filter_map(brief).try_collect().await?;
    Ok(Json(DeadPage::new(data, has_more, next)).into_response())
}

/// `GET /dead/{seq}`.
pub async fn one(app: App, Path(id): Path<String>) -> Answer {
    let _place = app.download_place()?;
    let entry = entry(&app, &id).await?;
    let lines = entry.lines(&app).await?;
    Ok(Json(view::whole(&entry, &lines)).into_response())
}

/// `POST /dead/{seq}/replay`: its requests as a job of their own. The entry stays until it is dropped.
pub async fn replay(app: App, Path(id): Path<String>) -> Answer {
    let entry = entry(&app, &id).await?;
    let offer = entry.offer(&app).await?;
    submit::put(&app, None, offer).await
}

/// `DELETE /dead/{seq}`.
pub async fn remove(app: App, Path(id): Path<String>) -> Answer {
    let Entry { seq, pool, dead, .. } = entry(&app, &id).await?;
    let bus = &app.shared.bus;
    within(bus.delete(DEAD, seq)).await?;
    if dead.parts > 0 {
        let parts = Filter::DeadParts { pool, reason: dead.class, job: dead.job, chunk: dead.chunk };
        within(bus.purge(DEAD, &parts)).await?;
    }
    tracing::info!(seq, job = %dead.job, chunk = %dead.chunk, "an entry of DEAD was dropped");
    Ok((StatusCode::OK, Json(DeadDropped::new(seq))).into_response())
}

impl Entry {
    /// Its requests, also where they lie in parts.
    async fn lines(&self, app: &App) -> Result<Bytes, Rejection> {
        let dead = &self.dead;
        if dead.parts == 0 {
            return Ok(dead.lines.clone());
        }
        let read = |part| async move {
            let (pool, reason) = (self.pool.clone(), dead.class);
            let subject = Subject::DeadPart { pool, reason, job: dead.job, chunk: dead.chunk, part };
            within(app.shared.bus.last(&subject)).await
        };
        parts::join(dead.parts, read, |_| gone(self.seq)).await
    }

    /// By way of the store, so that the lines stay as they were written. The id follows from the entry: replayed twice,
    /// it is one job.
    async fn offer(&self, app: &App) -> Result<Offer, Rejection> {
        let (lines, dead) = (self.lines(app).await?, &self.dead);
        if lines.is_empty() {
            return Err(Rejection::conflict(format!("entry {} holds no request: the input was gone", self.seq)));
        }
        let fingerprint = blake3::hash(&lines).to_hex().to_string();
        let file = upload::receive(app, stream::iter([Ok::<_, Infallible>(lines)])).await?;
        let submission = Submission {
            id: Some(JobId::replay(dead.job, dead.chunk)),
            model: dead.model.clone(),
            endpoint: dead.endpoint.clone(),
            metadata: [("replay_of".to_owned(), format!("{}/{}", dead.job, dead.chunk))].into(),
            input: Some(file.url().into()),
            ..Submission::default()
        };
        Ok(Offer { submission: submission.check()?, fingerprint, upload: Some(file) })
    }
}

async fn entry(app: &App, id: &str) -> Result<Entry, Rejection> {
    let seq = seq(id)?;
    find(app, seq).await?.ok_or_else(|| gone(seq))
}

async fn find(app: &App, seq: u64) -> Result<Option<Entry>, Rejection> {
    let raw = within(app.shared.bus.at(DEAD, seq)).await?;
    Ok(raw.filter(|raw| is_of(raw, app.tenant())).and_then(|raw| read(&raw)))
}

/// Whether an entry is a tenant's. One that says it in a way that is not known is nobody's.
fn is_of(raw: &Raw, tenant: Tenant) -> bool {
    wire::owner::tenant(|name| raw.header(name)) == Ok(tenant)
}

/// None: a part of another entry, or what this version cannot read.
fn read(raw: &Raw) -> Option<Entry> {
    let Ok(Subject::Dead { pool, .. }) = raw.subject.parse() else { return None };
    match envelope::decode("dead chunk", &raw.payload) {
        Ok(dead) => Some(Entry { seq: raw.seq, at: Timestamp::new(raw.time_ms), pool, dead }),
        Err(error) => {
            tracing::warn!(seq = raw.seq, %error, "an entry of DEAD cannot be read; it may be of a newer jetbatch");
            None
        }
    }
}

fn seq(text: &str) -> Result<u64, Rejection> {
    let seq = text.parse().ok().filter(|seq| (1..=limits::SEQ_MAX).contains(seq));
    seq.ok_or_else(|| Rejection::invalid("an entry's id is its number in GET /dead, such as 17").param("id"))
}

fn gone(seq: u64) -> Rejection {
    Rejection::new(ErrorCode::DeadNotFound, format!("there is no entry {seq} in DEAD"))
}

async fn within<T>(read: impl Future<Output = Result<T, ReadError>>) -> Result<T, Rejection> {
    let done = timeout(limits::STATUS_WITHIN, read).await;
    done.map_err(|_| Rejection::unavailable("DEAD does not answer"))?.map_err(|error| {
        tracing::warn!(%error, "DEAD could not be read");
        Rejection::unavailable("what was given up cannot be read now")
    })
}
