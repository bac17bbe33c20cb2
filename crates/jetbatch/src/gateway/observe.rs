//! Around every handler: a span under the caller's, a measure, and a look at who sent it.
use super::{error::Refusal, state::AppState};
use crate::telemetry::{self, names::kind};
use api::ErrorCode;
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use tokio::time::Instant;
use tracing::{Instrument, Span, info_span};
use wire::{
    envelope::{TRACEPARENT, TRACESTATE},
    trace,
};

pub async fn observe(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let (span, began) = (span(&request, &route), Instant::now());
    let response = match is_foreign(request.method(), request.headers()) {
        false => next.run(request).instrument(span.clone()).await,
        true => foreign().into_response(),
    };
    let code = response.status();
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

/// A page of another site makes its reader's browser send this. The door asks for no password, and a browser on the
/// same machine can reach it; so what a browser says comes from elsewhere may not change anything.
fn is_foreign(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let site = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, site)| site);
    let is_own = matches!((site, text(header::HOST)), (Some(site), Some(host)) if site.eq_ignore_ascii_case(host));
    !method.is_safe() && !is_own
}

fn foreign() -> Refusal {
    Refusal::new(ErrorCode::ForeignOrigin, "pages of other sites may not submit here").param("Origin")
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
