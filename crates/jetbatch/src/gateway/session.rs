//! A page's key, kept by the browser in a cookie: no script sees it, and no other site's request carries it.
use super::{
    auth::{self, COOKIE, Caller},
    body,
    error::{Answer, Rejection},
    keys::who,
    limits, observe,
    state::AppState,
};
use api::{ErrorCode, SignIn, SignedOut};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::IntoResponse,
};
use std::sync::Arc;
use tokio::time::timeout;

/// As long as most browsers keep one.
const MAX_AGE_S: u64 = 400 * 86_400;

/// `POST /session`.
pub async fn open(State(app): State<Arc<AppState>>, headers: HeaderMap, sent: Body) -> Answer {
    let SignIn { key } = body::json(&app, &headers, sent).await?.value;
    let all = timeout(limits::KEYS_WITHIN, app.keys.completed()).await;
    all.map_err(|_| Rejection::unavailable("the keys are still being read; try again in a moment"))?;
    let text = key.trim();
    let caller = Caller::Key(auth::find(&app, text)?);
    let mut response = Json(who(&caller)).into_response();
    response.headers_mut().insert(SET_COOKIE, cookie(text, MAX_AGE_S)?);
    Ok(response)
}

/// `DELETE /session`.
pub async fn close(headers: HeaderMap) -> Answer {
    // Another site must not sign anybody out; a caller that is no browser has no cookie to lose.
    if !observe::is_own(&headers) && headers.contains_key(axum::http::header::COOKIE) {
        return Err(observe::foreign());
    }
    let mut response = Json(SignedOut::new()).into_response();
    response.headers_mut().insert(SET_COOKIE, cookie("", 0)?);
    Ok(response)
}

fn cookie(value: &str, age_s: u64) -> Result<HeaderValue, Rejection> {
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}");
    let mut cookie = HeaderValue::try_from(cookie)
        .map_err(|_| Rejection::new(ErrorCode::InvalidApiKey, domain::key::Refused::Unknown.to_string()))?;
    cookie.set_sensitive(true);
    Ok(cookie)
}
