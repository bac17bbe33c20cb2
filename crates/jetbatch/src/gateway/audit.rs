//! What is recorded of who uses this door, and `GET /audit`.
use super::{
    app::App,
    auth::Caller,
    error::{Answer, Rejection},
    fields::clipped,
    jobs, limits, params,
    state::AppState,
};
use crate::{audit, clock};
use api::{AuditPage, Done, Route, openai::FileId};
use axum::{
    Json,
    extract::{RawQuery, Request},
    http::StatusCode,
    response::IntoResponse,
};
use domain::{
    JobId, Timestamp,
    audit::{By, Entry, Origin, What},
    id::Invalid,
    time,
};
use std::{
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::timeout;
use url::form_urlencoded;
use uuid::Uuid;

const DAY_MS: u64 = 86_400_000;
const ON_CHARS_MAX: usize = 64;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What a handler finds out of what it did.
#[derive(Clone, Default)]
pub struct Note(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    job: Option<JobId>,
    on: Option<String>,
}

impl Note {
    /// A job that was submitted.
    pub fn job(&self, job: JobId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).job = Some(job);
    }

    pub fn on(&self, on: impl ToString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on = Some(on.to_string());
    }

    fn submitted(&self) -> Option<JobId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).job
    }
}

/// Records what was done for a tenant that asked on NATS: to a job, or to the one that it submitted, if it did.
pub async fn asked(app: &App, what: What, job: Option<JobId>) {
    if let Some(job) = job.or_else(|| app.note.submitted()) {
        let entry = Entry { job: Some(job), ..Entry::by_nats(what, app.tenant(), clock::now()) };
        audit::tell(&app.shared.bus, &entry, Uuid::now_v7()).await;
    }
}

/// A record that is made when its request is answered; and where its client goes away before, of what was done until then.
pub struct Record {
    app: Arc<AppState>,
    entry: Option<Entry>,
    note: Note,
    id: Uuid,
}

impl Record {
    /// None: nothing is recorded of this route. The request is given what its handler notes in.
    pub fn open(app: &Arc<AppState>, route: Route, caller: &Caller, request: &mut Request) -> Option<Self> {
        let what = route.audited()?;
        let (job, on) = named(route, request.uri().path());
        let from = Origin::Address(request.extensions().get::<Peer>()?.0);
        let by = caller.key().map(|key| By { key: key.id, name: key.name.clone() });
        let note = Note::default();
        request.extensions_mut().insert(note.clone());
        let entry = Entry { at: clock::now(), what, tenant: caller.tenant(), by, from, job, on };
        Some(Self { app: app.clone(), entry: Some(entry), note, id: Uuid::now_v7() })
    }

    /// Stores it, where the request did what it asked for.
    pub async fn close(mut self, status: StatusCode) {
        if !status.is_success() && self.note.submitted().is_none() {
            self.entry = None;
        }
        if let Some(entry) = self.take() {
            let (bus, id) = (self.app.shared.bus.clone(), self.id);
            // By itself: the client may go away meanwhile.
            let told = tokio::spawn(async move { audit::tell(&bus, &entry, id).await });
            drop(told.await);
        }
    }

    /// What was done; a submission that came to no job did nothing.
    fn take(&mut self) -> Option<Entry> {
        let entry = self.entry.take()?;
        let noted = std::mem::take(&mut *self.note.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (job, on) = (noted.job.or(entry.job), noted.on.or(entry.on));
        (entry.what != What::Submit || job.is_some()).then_some(Entry { job, on, ..entry })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.entry.is_some()
            && self.note.submitted().is_some()
            && let (Some(entry), Ok(runtime)) = (self.take(), tokio::runtime::Handle::try_current())
        {
            let (bus, id) = (self.app.shared.bus.clone(), self.id);
            runtime.spawn(async move { audit::tell(&bus, &entry, id).await });
        }
    }
}

/// What a request's path names: a job, or something else.
fn named(route: Route, path: &str) -> (Option<JobId>, Option<String>) {
    let at = route.path().split('/').position(|part| part == "{id}");
    let Some(text) = at.and_then(|at| path.split('/').nth(at)) else { return (None, None) };
    let text: String = form_urlencoded::parse(format!("={}", text.replace('+', "%2B")).as_bytes())
        .map(|(_, value)| value.chars().filter(|c| !c.is_control()).take(ON_CHARS_MAX).collect())
        .next()
        .unwrap_or_default();
    match route {
        _ if route.path().starts_with("/jobs/") || route.path().starts_with("/v1/batches/") => {
            (jobs::id(&text).ok(), None)
        }
        Route::FileContent => match text.parse() {
            Ok(FileId::Of(_, job)) => (Some(job), Some(text)),
            _ => (None, Some(text)),
        },
        _ => (None, Some(text)),
    }
}

/// `GET /audit`.
pub async fn many(app: App, RawQuery(text): RawQuery) -> Answer {
    let query = query(clock::now(), text.as_deref())?;
    let read = timeout(limits::STATUS_WITHIN, audit::read(&app.shared.bus, &query)).await;
    let (found, has_more) = read.map_err(|_| Rejection::unavailable("the records cannot be read now"))??;
    let data = found.into_iter().map(|(seq, entry)| Done::new(seq, entry)).collect();
    Ok(Json(AuditPage::new(data, has_more)).into_response())
}

fn query(now: Timestamp, text: Option<&str>) -> Result<audit::Query, Rejection> {
    let mut query = audit::Query { limit: limits::AUDIT_DEFAULT, ..Default::default() };
    let mut since = None;
    for (name, value) in params::pairs(text)? {
        let wrong = |message: String| Rejection::invalid(message).param(clipped(&name));
        match &*name {
            "job" => query.job = Some(jobs::id(&value).map_err(|refusal| refusal.param("job"))?),
            "tenant" => query.tenant = Some(value.parse().map_err(|why: Invalid| wrong(why.to_string()))?),
            "since" => {
                let message = || wrong("'since' must be a number and s, m, h or d, such as 1h".to_owned());
                since = Some(time::window(&value).ok_or_else(message)?);
            }
            "after" => {
                let after = value.parse().ok().filter(|after| (1..=limits::SEQ_MAX).contains(after));
                query.after = after.ok_or_else(|| wrong("'after' must be a record's number".to_owned()))?;
            }
            "limit" => {
                let limit = usize::from_str(&value).ok().filter(|n| (1..=limits::AUDIT_MAX).contains(n));
                query.limit = limit.ok_or_else(|| wrong(format!("'limit' must be 1 to {}", limits::AUDIT_MAX)))?;
            }
            _ => return Err(wrong("use job, tenant, since, after or limit".to_owned())),
        }
    }
    let since = since.or(query.job.is_none().then_some(DAY_MS));
    query.since_ms = since.map_or(0, |ms| now.get().saturating_sub(ms));
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let (now, job) = (Timestamp::new(10 * DAY_MS), JobId::keyed("t", "k"));
        let got = |text: &str| query(now, Some(text));
        assert_eq!((got("").unwrap().since_ms, got("").unwrap().limit), (9 * DAY_MS, limits::AUDIT_DEFAULT));
        assert_eq!(
            got(&format!("job={job}")).unwrap(),
            audit::Query { job: Some(job), limit: 100, ..Default::default() }
        );
        let all = got(&format!("job={job}&since=2d&tenant=blue&after=7&limit=9")).unwrap();
        assert_eq!((all.since_ms, all.after, all.limit), (8 * DAY_MS, 7, 9));
        for (bad, param) in [
            ("job=1", "job"),
            ("tenant=A", "tenant"),
            ("since=soon", "since"),
            ("after=0", "after"),
            ("limit=0", "limit"),
            ("x=1", "x"),
        ] {
            assert_eq!(got(bad).unwrap_err().param.as_deref(), Some(param), "{bad}");
        }
    }

    #[test]
    fn what_a_path_names_is_known() {
        let job = JobId::keyed("t", "k");
        assert_eq!(named(Route::Cancel, &format!("/jobs/{job}/cancel")), (Some(job), None));
        let batch = format!("batch_{}", job.uuid().simple());
        assert_eq!(named(Route::CancelBatch, &format!("/v1/batches/{batch}/cancel")), (Some(job), None));
        let file = format!("file-out{}", job.uuid().simple());
        let path = format!("/v1/files/{file}/content");
        assert_eq!(named(Route::FileContent, &path), (Some(job), Some(file)));
        assert_eq!(named(Route::Drain, "/workers/box%201%0a/drain"), (None, Some("box 1".into())));
        assert_eq!(named(Route::Submit, "/jobs"), (None, None));
    }
}
