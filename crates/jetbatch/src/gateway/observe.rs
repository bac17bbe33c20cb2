//! Around every handler: a span under the caller's, a measure, and a look at who sent it.
use super::{cors, error::Rejection, state::AppState};
use crate::telemetry::{self, names::kind};
use api::ErrorCode;
use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument, Span, info_span};
use uuid::Uuid;
use wire::{
    envelope::{TRACEPARENT, TRACESTATE},
    trace,
};

pub async fn observe(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let (span, began) = (span(&request, &route), Instant::now());
    let has_body = !request.body().is_end_stream();
    let origins = &app.shared.config.http.cors_origins;
    let origin = cors::origin(origins, request.headers());
    let mut response = match admit(&app, &request, origin.is_some()) {
        Ok(()) => match cors::preflight(request.method(), request.headers()).filter(|_| origin.is_some()) {
            Some(response) => response,
            None => next.run(request).instrument(span.clone()).await,
        },
        Err(refused) => refused.into_response(),
    };
    if !origins.is_empty() {
        cors::tell(&mut response, origin);
    }
    let id = format!("req_{}", Uuid::now_v7().simple());
    response.headers_mut().insert(api::REQUEST_ID, HeaderValue::try_from(id).expect("an id is ASCII"));
    let code = response.status();
    if has_body && !code.is_success() {
        // What is left of the body may not be read, and then nothing that comes behind it is heard.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    telemetry::set(&span, || [("http.response.status_code", i64::from(code.as_u16()).into())]);
    if code.is_server_error() {
        telemetry::fail(&span, code.canonical_reason().unwrap_or_default());
    }
    app.shared.metrics.http(&route, code.as_u16(), began.elapsed().as_secs_f64());
    response
}

/// A span for what changes something, and for what its caller traces. Whoever watches a job or probes a process asks
/// again and again, and those spans would bury the jobs'.
fn span(request: &Request, route: &str) -> Span {
    let method = request.method();
    if method.is_safe() && !request.headers().contains_key(TRACEPARENT) {
        return Span::none();
    }
    let span = info_span!("http", otel.name = format!("{method} {route}"), otel.kind = kind::SERVER);
    telemetry::parent(&span, context(request.headers()).as_deref());
    telemetry::set(&span, || {
        let (method, route) = (method.to_string(), route.to_owned());
        [("http.request.method", method.into()), ("http.route", route.into())]
    });
    span
}

fn context(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok()?;
    // One list, which may come in several headers.
    let states: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    Some(trace::join(parent, &states.join(",")))
}

/// `is_listed`: it comes from a page that may call this door.
fn admit(app: &AppState, request: &Request, is_listed: bool) -> Result<(), Rejection> {
    app.names.check(request.version(), request.uri(), request.headers())?;
    if !is_text(request.uri().path()) {
        return Err(Rejection::invalid("the path is no text: its percent signs spell no UTF-8").param("id"));
    }
    if !is_listed && is_foreign(request.method(), request.headers()) { Err(foreign()) } else { Ok(()) }
}

/// Whether a path is UTF-8 once its percent signs are read.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// A page of another site makes its reader's browser send this. A door on loopback asks for no key, and a browser on the
/// same machine can reach it; so what a browser says comes from elsewhere may not change anything.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) && !method.is_safe() && !is_origin_own(headers)
}

fn is_origin_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, site)| site);
    matches!((site, text(header::HOST)), (Some(site), Some(host)) if site.eq_ignore_ascii_case(host))
}

/// Whether a browser says that a page of this door sends this. A cookie alone proves nothing: a browser adds it unasked.
pub fn is_own(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => is_origin_own(headers),
    }
}

pub fn foreign() -> Rejection {
    Rejection::new(ErrorCode::ForeignOrigin, "pages of other sites may not submit here").param("Origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_pages_of_other_sites_are_foreign() {
        let foreign = |method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8800"));
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            is_foreign(&method, &headers)
        };
        assert!(!foreign(Method::POST, None));
        assert!(!foreign(Method::POST, Some("http://localhost:8800")));
        assert!(!foreign(Method::GET, Some("http://evil.example")));
        assert!(foreign(Method::POST, Some("http://evil.example")));
        assert!(foreign(Method::POST, Some("http://localhost:8801")));
        assert!(foreign(Method::POST, Some("null")));
    }
}
