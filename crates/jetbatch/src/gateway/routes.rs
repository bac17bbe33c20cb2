//! What is where.
use super::{
    dead, download, error::Refusal, events, health, jobs, observe, orders, start, state::AppState, submit, upload,
};
use api::{About, ErrorCode, Route};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{Method, Uri, header::CONTENT_TYPE},
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::{MethodRouter, delete, get, post},
};
use domain::submission::Order;
use std::sync::{Arc, LazyLock};

/// Built from [`Route`], so that there is a handler for each route of the document, and for no other.
pub fn routes(app: Arc<AppState>) -> Router {
    let routes = Route::ALL.iter().copied();
    routes
        .fold(Router::new(), |router, route| router.route(route.path(), handler(route)))
        .fallback(|uri: Uri| async move { Refusal::no_route(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let message = format!("{method} is not taken at {}", uri.path());
            Refusal::new(ErrorCode::MethodNotAllowed, message)
        })
        // Each body has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

fn handler(route: Route) -> MethodRouter<Arc<AppState>> {
    match route {
        Route::About => get(about),
        Route::Jobs => get(jobs::many),
        Route::Submit => post(submit::create),
        Route::Start => post(start::start),
        Route::Job => get(jobs::one),
        Route::Delete => delete(orders::delete),
        Route::Results => get(download::results),
        Route::Errors => get(download::errors),
        Route::Events => get(events::events),
        Route::Cancel => order(Order::Cancel),
        Route::Pause => order(Order::Pause),
        Route::Resume => order(Order::Resume),
        Route::Deadline => order(Order::Deadline),
        Route::Priority => order(Order::Priority),
        Route::Retry => order(Order::Retry),
        Route::Keep => post(upload::keep),
        Route::DeadList => get(dead::many),
        Route::Dead => get(dead::one),
        Route::DropDead => delete(dead::remove),
        Route::Replay => post(dead::replay),
        Route::Alive => get(health::alive),
        Route::Ready => get(health::ready),
        Route::Metrics => get(health::metrics),
        Route::OpenApi => get(openapi),
    }
}

fn order(order: Order) -> MethodRouter<Arc<AppState>> {
    post(move |State(app), Path(job), headers, body| orders::give(order, app, job, headers, body))
}

async fn about() -> Json<About> {
    Json(About::new(env!("CARGO_PKG_VERSION")))
}

async fn openapi() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| api::document().to_json().expect("a document is plain JSON"));
    ([(CONTENT_TYPE, api::JSON)], DOCUMENT.as_str())
}
