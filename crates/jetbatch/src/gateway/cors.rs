//! Pages of other sites that may call this door: those that `http.cors_origins` lists. They show a key, as any client; no
//! cookie goes with them, since what answers them never allows it.
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
/// What a page may send, where it does not ask for more.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, idempotency-key");
/// What a page may read beside what browsers show anyway.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-batch-id, retry-after, etag, content-range, accept-ranges, jetbatch-state, x-incomplete",
);
/// Seconds for which a browser keeps what it was told.
const KEPT_S: HeaderValue = HeaderValue::from_static("600");

/// The origin that a request comes from, where it is one of those.
pub fn origin(allowed: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)).then(|| origin.clone())
}

/// The answer to a browser that asks whether a page may send something.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    if method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(HEADERS);
    let told: [(HeaderName, HeaderValue); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, asked),
        (header::ACCESS_CONTROL_MAX_AGE, KEPT_S),
    ];
    Some((StatusCode::NO_CONTENT, told).into_response())
}

/// Lets a page read an answer. What is kept of it on the way must not be given to another origin.
pub fn tell(response: &mut Response, origin: Option<HeaderValue>) {
    let told = response.headers_mut();
    told.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        told.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        told.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
}
