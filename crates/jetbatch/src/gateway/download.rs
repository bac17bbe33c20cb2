//! A job's lines: the files of a job that has ended, and of one that runs what is archived so far.
use super::{
    app::App,
    error::{Answer, Rejection},
    jobs::id,
    limits::DOWNLOAD_BLOCK_BYTES,
    partial::Partial,
    range,
};
use crate::paths::Kind;
use api::{ErrorCode, INCOMPLETE, JOB_STATE, NDJSON};
use axum::{
    body::Body,
    extract::Path,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::event::File;
use futures::{Stream, StreamExt};
use store::{Store, StoreError};
use wire::StoredStatus;

/// `GET /jobs/{id}/results`.
pub async fn results(app: App, Path(job): Path<String>, headers: HeaderMap) -> Answer {
    lines(&app, &job, &headers, Kind::Output).await
}

/// `GET /jobs/{id}/errors`.
pub async fn errors(app: App, Path(job): Path<String>, headers: HeaderMap) -> Answer {
    lines(&app, &job, &headers, Kind::Errors).await
}

async fn lines(app: &App, job: &str, headers: &HeaderMap, kind: Kind) -> Answer {
    of_job(app, &app.job(id(job)?).await?, headers, kind).await
}

/// A job's own file; while it runs, what is archived so far.
pub async fn of_job(app: &App, stored: &StoredStatus, headers: &HeaderMap, kind: Kind) -> Answer {
    let status = &stored.status;
    let mut response = if status.state.is_terminal() {
        let written = match kind {
            Kind::Output => &status.output,
            Kind::Errors => &status.error_file,
        };
        file(app, written.as_ref(), headers)?
    } else {
        so_far(app, stored, kind, headers, app.download_place()?).await?
    };
    response.headers_mut().insert(JOB_STATE, HeaderValue::from_static(status.state.as_str()));
    Ok(response)
}

/// A file that does not change.
pub fn file(app: &App, file: Option<&File>, headers: &HeaderMap) -> Answer {
    let mut response = whole(&app.shared.store, file, headers, app.download_place()?)?;
    response.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(NDJSON));
    Ok(response)
}

/// The file of a job that has ended: it does not change, so that a download can be resumed.
fn whole(store: &Store, file: Option<&File>, headers: &HeaderMap, place: impl Send + 'static) -> Answer {
    let (size, tag) = (file.map_or(0, |file| file.bytes), file.and_then(tag));
    if range::is_other(headers, tag.as_ref()) {
        return Err(another());
    }
    if range::has(headers, tag.as_ref()) {
        return Ok((StatusCode::NOT_MODIFIED, tag.map(|tag| [(ETAG, tag)]), ()).into_response());
    }
    let (code, bytes) = match range::asked(headers, size, tag.as_ref()) {
        range::Asked::All => (StatusCode::OK, 0..size),
        range::Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        range::Asked::Beyond => return Ok(beyond(size)),
    };
    let mut response = code.into_response();
    let told = response.headers_mut();
    told.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(tag) = tag {
        told.insert(ETAG, tag);
    }
    told.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    if code == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
        told.insert(CONTENT_RANGE, HeaderValue::try_from(range).expect("digits and ASCII"));
    }
    if let Some(file) = file.filter(|_| !bytes.is_empty()) {
        *response.body_mut() = body(store.blocks(file.path.clone(), bytes, DOWNLOAD_BLOCK_BYTES), place);
    }
    Ok(response)
}

/// One path is written once.
fn tag(file: &File) -> Option<HeaderValue> {
    let hash = blake3::hash(format!("{}:{}", file.path, file.bytes).as_bytes());
    HeaderValue::try_from(format!("\"{}\"", &hash.to_hex()[..32])).ok()
}

/// Lines that are archived stay as they are: `bytes=N-` gives what has come after the first N bytes.
async fn so_far(
    app: &App,
    stored: &StoredStatus,
    kind: Kind,
    headers: &HeaderMap,
    place: impl Send + 'static,
) -> Answer {
    if range::is_other(headers, None) {
        return Err(another());
    }
    let status = &stored.status;
    let partial = Partial::open(&app.shared.store, status.id, kind, status.archived_prefix, status.losses).await?;
    let size = partial.size;
    let mut response = match range::from(headers) {
        None => body(partial.stream(), place).into_response(),
        Some(from) if from >= size => beyond(size),
        Some(from) => {
            let mut response = body(partial.range(from).await?.stream(), place).into_response();
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            tell(&mut response, CONTENT_RANGE, format!("bytes {from}-{}/*", size - 1));
            response
        }
    };
    for (name, value) in [(CACHE_CONTROL.as_str(), "no-store"), (INCOMPLETE, "true"), (ACCEPT_RANGES.as_str(), "bytes")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if response.status().is_success() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    }
    Ok(response)
}

fn another() -> Rejection {
    let why = "the file is not the one that 'If-Match' names: it has another tag, or none while its job runs";
    Rejection::new(ErrorCode::PreconditionFailed, why).param("If-Match")
}

fn beyond(size: u64) -> Response {
    let mut response = Rejection::new(ErrorCode::Range, format!("there are {size} bytes")).into_response();
    tell(&mut response, CONTENT_RANGE, format!("bytes */{size}"));
    response
}

fn tell(response: &mut Response, name: HeaderName, text: String) {
    response.headers_mut().insert(name, HeaderValue::try_from(text).expect("digits and ASCII"));
}

/// The lines as a body that holds its place until the last one is sent.
fn body(lines: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static, place: impl Send + 'static) -> Body {
    Body::from_stream(lines.map(move |block| {
        let _held = &place;
        block.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "a download was cut off"))
    }))
}
