//! The one way in: whatever form a job comes in, it goes out on `jobs.submit`.
use super::{
    app::App,
    body::{self, media},
    error::{Answer, Rejection},
    fields::Fields,
    limits,
    quota::Job,
    quote,
    upload::{self, Upload},
};
use crate::{
    bus::PublishError,
    clock,
    mapped::Mapped,
    submitted::DERIVED,
    telemetry::{
        self,
        names::{self, kind, operation, span},
    },
};
use api::{Accepted, FORM, IDEMPOTENCY_KEY as KEY, JSON, NDJSON};
use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{
    JobId, Tenant, Timestamp,
    limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX},
    raw::RawRequest,
    status::State as Phase,
    submission::{Checked, Submission},
};
use tracing::{Instrument, Span, info_span};
use uuid::Uuid;
use wire::{Message, StoredStatus, Subject, envelope, stream};

pub const TAKEN: &str = "application/json, application/x-ndjson or multipart/form-data";

/// A submission, and all that belongs to it.
pub struct Offer {
    pub submission: Checked,
    /// Of what the client sent.
    pub fingerprint: String,
    /// The file that `input` names, if it came with the submission.
    pub upload: Option<Upload>,
}

/// `POST /jobs`.
pub async fn create(app: App, request: Request) -> Answer {
    let (query, is_dry) = quote::asked(request.uri().query())?;
    if is_dry {
        return quote::quote(app, query, request).await;
    }
    let headers = request.headers().clone();
    let key = key(&app, &headers)?;
    match media(&headers).as_str() {
        JSON => {
            if query.is_some() {
                return Err(Rejection::invalid("a JSON submission has its settings in the body, not in the query"));
            }
            let body::Json { value, fingerprint, place: _place } =
                body::json::<Submission>(&app, &headers, request.into_body()).await?;
            place(&app, key, Offer { submission: value.check()?, fingerprint, upload: None }).await
        }
        kind if kind != FORM && is_file(kind, query.as_deref()) => {
            let fields = Fields::query(query.as_deref())?;
            ready(&app, key, &fields)?;
            let file = upload::raw(&app, &app.shared.store, request).await?;
            place(&app, key, Offer::of_file(&fields, file)?).await
        }
        FORM => {
            let mut fields = Fields::query(query.as_deref())?;
            let file =
                upload::form(&app, &app.shared.store, request, &mut fields, |fields| ready(&app, key, fields)).await?;
            place(&app, key, Offer::of_file(&fields, file)?).await
        }
        other => Err(Rejection::media(other, TAKEN)),
    }
}

/// Request lines, or whatever is said to be a table.
pub fn is_file(kind: &str, query: Option<&str>) -> bool {
    matches!(kind, NDJSON | "application/jsonl") || Fields::query(query).is_ok_and(|fields| fields.is_mapped())
}

/// What can be said before the file is there. A job that may have been taken before is looked for first.
fn ready(app: &App, key: Option<JobId>, fields: &Fields) -> Result<(), Rejection> {
    let submission = fields.submission(String::new())?;
    is_sound(app, &submission)?;
    if key.or(submission.id).is_some() { Ok(()) } else { app.may_submit() }
}

/// The same, where nothing is to run.
pub fn check(app: &App, fields: &Fields) -> Result<(), Rejection> {
    let submission = fields.submission(String::new())?;
    is_sound(app, &submission)
}

/// Whether its table can be mapped, and its hooks may go where it wants them.
fn is_sound(app: &App, submission: &Submission) -> Result<(), Rejection> {
    if let Some(map) = submission.map() {
        let mapped = Mapped::of(map, submission.model.as_deref(), submission.endpoint.as_deref());
        let checked = mapped.and_then(|mapped| mapped.check());
        checked.map_err(|error| Rejection::invalid(error.message).param(error.param.unwrap_or_default()))?;
    }
    let Some(url) = &submission.webhook_url else { return Ok(()) };
    let told = app.shared.config.check_webhook(app.tenant(), url);
    told.map_err(|why| Rejection::invalid(why.to_string()).param("webhook_url"))
}

impl Offer {
    fn of_file(fields: &Fields, file: Upload) -> Result<Self, Rejection> {
        let submission = fields.submission(file.url())?;
        Ok(Self { submission, fingerprint: fields.fingerprint(&file.content), upload: Some(file) })
    }
}

/// The job that an idempotency key names.
pub fn key(app: &App, headers: &HeaderMap) -> Result<Option<JobId>, Rejection> {
    keyed(app.tenant(), headers)
}

fn keyed(tenant: Tenant, headers: &HeaderMap) -> Result<Option<JobId>, Rejection> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Rejection::invalid("it is given twice").param(KEY));
    }
    let key = value.to_str().ok().filter(|key| key.bytes().all(|b| b.is_ascii_graphic()));
    match key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len())) {
        Some(key) => Ok(Some(JobId::keyed(tenant.as_str(), key))),
        None => Err(Rejection::invalid(format!("it must be 1 to {KEY_BYTES_MAX} visible ASCII characters")).param(KEY)),
    }
}

/// Submits what a client sent. An id that he chose must not be one that another's key, or a retry, gives.
pub async fn place(app: &App, key: Option<JobId>, offer: Offer) -> Answer {
    match offer.submission.id {
        Some(id) if id.may_be_derived() && key != Some(id) => Err(Rejection::invalid(DERIVED).param("id")),
        _ => put(app, key, offer).await,
    }
}

/// The same, in the words of our own door.
pub async fn put(app: &App, key: Option<JobId>, offer: Offer) -> Answer {
    let Taken { before, id, state, deadline } = taken(app, key, offer).await?;
    Ok(accepted(if before { StatusCode::OK } else { StatusCode::ACCEPTED }, id, state, deadline))
}

/// A job that will be done.
pub struct Taken {
    /// It was taken before, under this key or id.
    pub before: bool,
    pub id: JobId,
    pub state: Phase,
    pub deadline: Timestamp,
}

impl Taken {
    fn of(before: bool, stored: &StoredStatus) -> Self {
        let status = &stored.status;
        Self { before, id: status.id, state: status.state, deadline: status.deadline }
    }
}

/// Submits, unless the id is taken.
///
/// The log decides whose an id is: intake appends a job's first event only where there is none. A status read before
/// saves a needless message, and one read after tells the loser of two submissions that raced for one key; if none
/// shows in time, both are told "accepted" and the log still keeps but one.
pub async fn taken(app: &App, key: Option<JobId>, mut offer: Offer) -> Result<Taken, Rejection> {
    is_sound(app, &offer.submission)?;
    let named = offer.submission.id.or(key);
    let id = named.unwrap_or_else(|| JobId::new(Uuid::now_v7()));
    if named.is_some()
        && let Some(stored) = app.claimed(id).await?
    {
        same(&stored, &offer.fingerprint)?;
        return Ok(Taken::of(true, &stored));
    }
    // The log remembers the job, so intake would take no second one: better said here than found out by waiting.
    if named.is_some() && app.was_deleted(id).await? {
        let why = format!("job {id} was submitted under this key or id before, and was deleted; use a new one");
        return Err(Rejection::conflict(why).param(KEY));
    }
    let requests = offer.submission.requests.as_ref().map_or(0, |requests| requests.len() as u64);
    // A limit before the forecast, which reads the whole input.
    let place = app.let_in(id, requests)?;
    quote::admit(app, &offer.submission).await?;
    offer.submission.sign(id, offer.fingerprint.clone());
    let deadline = clock::now().plus(offer.submission.window_ms());
    let span = span(id);
    send(app, id, &mut offer).instrument(span).await?;
    place.into_iter().for_each(Job::keep);
    app.note.job(id);
    if named.is_some()
        && let Some((stored, _)) = app.await_job(id, limits::RACE_WITHIN, |_| true).await?
    {
        same(&stored, &offer.fingerprint)?;
        return Ok(Taken::of(false, &stored));
    }
    // It is taken, whether it can be read back at once or not.
    let early = app.early(id).await.ok().flatten();
    let deadline = early.map_or(deadline, |stored| stored.status.deadline);
    Ok(Taken { before: false, id, state: Phase::Validating, deadline })
}

fn span(job: JobId) -> Span {
    let span = info_span!("submit", otel.name = span::SUBMIT, otel.kind = kind::PRODUCER, %job);
    telemetry::set(&span, || names::messaging(operation::SEND, stream::SUBMIT.as_str(), "jobs.submit"));
    span
}

async fn send(app: &App, id: JobId, offer: &mut Offer) -> Result<(), Rejection> {
    let payload = fit(app, offer).await?;
    let bytes = payload.len();
    let message = Message::new(Subject::SubmitJob(id), payload)
        .id(format!("{id}:{}", offer.fingerprint))
        .header(envelope::CONTENT_TYPE, envelope::MSGPACK);
    let message = wire::trace::put(app.owner().put(message), telemetry::context().as_deref());
    // Kept before the publish: a client that goes away drops this future, and the message may be stored all the same.
    app.gate.pass(&app.shared).await?;
    offer.upload.iter_mut().for_each(Upload::keep);
    let published = app.shared.bus.publish(message).await;
    if !matches!(published, Ok(_) | Err(PublishError::Unknown { .. })) {
        offer.upload.iter_mut().for_each(|upload| upload.discard(&app.shared.store));
    }
    // `duplicate` says nothing here: it may be this very message, sent again after a lost answer.
    let stored = published?;
    app.gate.pass(&app.shared).await?;
    tracing::info!(
        seq = stored.seq,
        bytes,
        input_bytes = offer.upload.as_ref().map(|u| u.bytes),
        "a job was submitted"
    );
    Ok(())
}

/// The message's payload. Requests that are too large for it go to the store, as an upload of one line each.
async fn fit(app: &App, offer: &mut Offer) -> Result<Bytes, Rejection> {
    let payload = envelope::encode(&*offer.submission);
    if payload.len() <= limits::INLINE_BYTES_MAX {
        return Ok(payload);
    }
    drop(payload);
    if let Some(requests) = offer.submission.take_requests() {
        let lines = futures::stream::iter(requests.into_iter().map(|request| Ok::<_, String>(line(&request))));
        let upload = upload::receive(app, lines).await?;
        offer.submission.set_input(upload.url());
        offer.upload = Some(upload);
    }
    let payload = envelope::encode(&*offer.submission);
    if payload.len() <= MESSAGE_BYTES_MAX {
        return Ok(payload);
    }
    Err(Rejection::too_large("the submission is too large even without its requests"))
}

fn line(request: &RawRequest) -> Bytes {
    format!("{}\n", request.as_str()).into()
}

fn same(stored: &StoredStatus, fingerprint: &str) -> Result<(), Rejection> {
    if stored.status.fingerprint == fingerprint {
        return Ok(());
    }
    let id = stored.status.id;
    Err(Rejection::conflict(format!("job {id} was submitted under this key or id before, with another body"))
        .param(KEY))
}

pub fn accepted(code: StatusCode, id: JobId, state: Phase, deadline: Timestamp) -> Response {
    let accepted = Accepted::new(id, state, deadline);
    (code, [(LOCATION, accepted.status_url.clone())], Json(accepted)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_job() {
        let named = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(KEY, axum::http::HeaderValue::from_bytes(value).unwrap());
            keyed(Tenant::default(), &headers)
        };
        assert_eq!(keyed(Tenant::default(), &HeaderMap::new()), Ok(None));
        assert_eq!(named(b"monday"), Ok(Some(JobId::keyed("default", "monday"))));
        assert!(named(&[b'x'; KEY_BYTES_MAX]).is_ok());
        for bad in [&b""[..], b"two words", "\u{fc}".as_bytes(), &[b'x'; KEY_BYTES_MAX + 1]] {
            assert_eq!(named(bad).unwrap_err().param.as_deref(), Some(KEY));
        }
        let name = axum::http::HeaderName::from_static("idempotency-key");
        let two = HeaderMap::from_iter(["a", "b"].map(|key| (name.clone(), key.parse().unwrap())));
        assert!(keyed(Tenant::default(), &two).is_err(), "one of two keys");
    }

    #[test]
    fn a_line_is_one_line() {
        let request: RawRequest = serde_json::from_str("{\n \"custom_id\": \"a\\nb\"\n}").unwrap();
        assert_eq!(line(&request), "{\"custom_id\":\"a\\nb\"}\n");
    }
}
