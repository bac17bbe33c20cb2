//! What is where.
use super::{dead, desk::Desk, download, error::Refusal, events, health, jobs, observe, orders, short, submit, upload};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{Method, StatusCode, Uri},
    middleware::from_fn_with_state,
    routing::{get, post},
};
use domain::submission::Order;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn routes(desk: Arc<Desk>) -> Router {
    let orders = Order::ALL.iter().copied().filter(|order| *order != Order::Delete);
    let orders = orders.fold(Router::new(), |router, order| {
        let give = move |State(desk), Path(job), headers, body| orders::give(order, desk, job, headers, body);
        router.route(&orders::path(order), post(give))
    });
    orders
        .route("/", get(index))
        .route("/jobs", get(jobs::many).post(submit::create))
        .route("/start", post(short::start))
        .route("/jobs/{id}", get(jobs::one).delete(orders::delete))
        .route("/jobs/{id}/results", get(download::results))
        .route("/jobs/{id}/errors", get(download::errors))
        .route("/jobs/{id}/events", get(events::events))
        .route("/dead", get(dead::many))
        .route("/dead/{id}", get(dead::one).delete(dead::remove))
        .route("/dead/{id}/replay", post(dead::replay))
        .route("/files", post(upload::keep))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(|uri: Uri| async move { Refusal::no_route(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let message = format!("{method} is not taken at {}", uri.path());
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
        // Each body has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(desk.clone(), observe::observe))
        .with_state(desk)
}

async fn index() -> Json<Value> {
    Json(json!({
        "name": "jetbatch",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "jobs": "/jobs",
            "start": "/start",
            "files": "/files",
            "dead": "/dead",
            "health": "/healthz",
            "ready": "/readyz",
            "metrics": "/metrics",
        },
    }))
}
