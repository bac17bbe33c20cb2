//! A job's lines: the files of a job that has ended, and of one that runs what is archived so far.
use super::{
    error::{Answer, Refusal},
    jobs::id,
    limits::DOWNLOAD_BLOCK_BYTES,
    partial::Partial,
    range,
    state::AppState,
};
use crate::store::{Kind, Store, StoreError};
use api::{ErrorCode, JOB_STATE, NDJSON};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use bytes::Bytes;
use domain::event::File;
use futures::{Stream, StreamExt};
use std::sync::Arc;
use wire::StoredStatus;

/// `GET /jobs/{id}/results`.
pub async fn results(State(app): State<Arc<AppState>>, Path(job): Path<String>, headers: HeaderMap) -> Answer {
    lines(&app, &job, &headers, Kind::Output).await
}

/// `GET /jobs/{id}/errors`.
pub async fn errors(State(app): State<Arc<AppState>>, Path(job): Path<String>, headers: HeaderMap) -> Answer {
    lines(&app, &job, &headers, Kind::Errors).await
}

async fn lines(app: &AppState, job: &str, headers: &HeaderMap, kind: Kind) -> Answer {
    let stored = app.job(id(job)?).await?;
    let place = app.download_place()?;
    let status = &stored.status;
    let mut response = if status.state.is_terminal() {
        let file = match kind {
            Kind::Output => &status.output,
            Kind::Errors => &status.error_file,
        };
        whole(&app.shared.store, file.as_ref(), headers, place)?
    } else {
        so_far(app, &stored, kind, place).await?
    };
    let told = response.headers_mut();
    told.insert(JOB_STATE, HeaderValue::from_static(status.state.as_str()));
    told.insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

/// The file of a job that has ended: it does not change, so that a download can be resumed.
fn whole(store: &Store, file: Option<&File>, headers: &HeaderMap, place: impl Send + 'static) -> Answer {
    let size = file.map_or(0, |file| file.bytes);
    let (code, bytes) = match range::asked(headers, size) {
        range::Asked::All => (StatusCode::OK, 0..size),
        range::Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        range::Asked::Beyond => {
            let refusal = Refusal::new(ErrorCode::Range, format!("there are {size} bytes"));
            let mut response = refusal.into_response();
            let size = HeaderValue::try_from(format!("bytes */{size}")).expect("digits and ASCII");
            response.headers_mut().insert(CONTENT_RANGE, size);
            return Ok(response);
        }
    };
    let mut response = code.into_response();
    let told = response.headers_mut();
    told.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
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

async fn so_far(app: &AppState, stored: &StoredStatus, kind: Kind, place: impl Send + 'static) -> Answer {
    let status = &stored.status;
    let partial = Partial::open(&app.shared.store, status.id, kind, status.archived_prefix).await?;
    Ok(([(CACHE_CONTROL, "no-store")], body(partial.stream(), place)).into_response())
}

/// The lines as a body that holds its place until the last one is sent.
fn body(lines: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static, place: impl Send + 'static) -> Body {
    Body::from_stream(lines.map(move |block| {
        let _held = &place;
        block.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "a download was cut off"))
    }))
}
