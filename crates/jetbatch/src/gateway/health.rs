//! Whether the door is alive, and whether all that it stands on is there.
use super::{auth::Caller, error::Answer, limits, state::AppState, workers};
use crate::{
    bus::{Stream, redact},
    metrics::OPEN_METRICS,
};
use api::{Readiness, Ready};
use axum::{
    Json,
    extract::State,
    http::{Extensions, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use domain::trouble::{Scope, Trouble};
use futures::future::join_all;
use std::{collections::BTreeSet, fmt, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use wire::stream;

/// The last look, so that many who ask at once cost one.
#[derive(Default)]
pub struct Health(Mutex<Option<(Instant, Vec<String>)>>);

/// What is not told again meanwhile is over.
const TOLD_WITHIN: Duration = Duration::from_secs(35);
const TROUBLES_MAX: usize = 20;
const STREAMS: [Stream; 4] = [stream::SUBMIT, stream::EVENTS, stream::WORK, stream::RESULTS];

/// `GET /healthz`: who can answer is alive.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`.
pub async fn ready(State(app): State<Arc<AppState>>, extensions: Extensions) -> Answer {
    let mut last = app.health.0.lock().await;
    let reasons = match &*last {
        Some((at, reasons)) if at.elapsed() < limits::READY_KEPT => reasons.clone(),
        _ => {
            let reasons = look(&app).await;
            *last = Some((Instant::now(), reasons.clone()));
            reasons
        }
    };
    let ready = match extensions.get::<Caller>() {
        Some(_) => {
            let nats = app.shared.config.nats.url.as_deref().map(redact);
            Ready { nats, troubles: troubles(&app), ..Ready::new(reasons) }
        }
        // A probe needs to know no more, and a stranger is told no more.
        None => Ready::new(reasons.first().map(|_| "a key shows what is missing".to_owned()).into_iter().collect()),
    };
    let code = match ready.status {
        Readiness::Ready => StatusCode::OK,
        Readiness::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((code, Json(ready)).into_response())
}

async fn look(app: &AppState) -> Vec<String> {
    let bus = &app.shared.bus;
    if !app.is_connected() {
        return vec!["there is no connection to NATS".to_owned()];
    }
    // It lies in memory, and a server that was started anew has lost it.
    bus.ensure(stream::WORK).await;
    let streams = join_all(STREAMS.map(|name| async move { reason(&format!("stream {name}"), bus.state(name)).await }));
    let (streams, store) = tokio::join!(streams, reason("store", app.shared.store.probe()));
    let list = (!app.status_watch.is_complete()).then(|| "the list of jobs is still being read".to_owned());
    let list = list.or_else(|| (!app.gate.is_open()).then(|| "the log is not known yet".to_owned()));
    let troubles = app.shared.troubles.of(&Scope::Installation);
    let troubles = troubles.iter().filter(|trouble| trouble.what.stops()).map(words);
    streams.into_iter().flatten().chain(store).chain(list).chain(troubles).collect()
}

/// What all heads tell of pools.
fn troubles(app: &AppState) -> Vec<String> {
    let told = app.troubles.within(TOLD_WITHIN).into_iter().map(|(_, told)| told);
    let of_pools = told.filter(|told| matches!(told.scope, Scope::Pool(_)));
    let words: BTreeSet<String> = of_pools.map(|told| format!("{}: {}", told.scope, words(&told.trouble))).collect();
    words.into_iter().take(TROUBLES_MAX).collect()
}

fn words(trouble: &Trouble) -> String {
    format!("{}: {}; {}", trouble.what.as_str(), trouble.cause, trouble.mend)
}

async fn reason<T, E: fmt::Display>(what: &str, check: impl Future<Output = Result<T, E>>) -> Option<String> {
    match timeout(limits::READY_WITHIN, check).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("{what}: {error}")),
        Err(_) => Some(format!("{what}: no answer within {} s", limits::READY_WITHIN.as_secs())),
    }
}

/// `GET /metrics`.
pub async fn metrics(State(app): State<Arc<AppState>>) -> Answer {
    let counts = app.shared.bus.counts();
    let workers = workers::beats(&app);
    app.shared.metrics.workers(workers.iter().map(|beat| (&beat.pool, beat.state)));
    app.shared.metrics.bus(counts.publish_retries, counts.reconnects);
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], app.shared.metrics.encode()).into_response())
}
