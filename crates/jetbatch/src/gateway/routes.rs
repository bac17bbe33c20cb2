//! What is where.
use super::{
    audit,
    auth::{Guard, guard},
    commands, dead, download,
    error::Rejection,
    events, health, jobs, keys, live, observe, openai, page, session, start,
    state::AppState,
    submit, tenant_limits, timeline, upload, usage, workers,
};
use api::{ErrorCode, Route};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Path},
    http::{Method, Uri, header::CONTENT_TYPE},
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::{MethodRouter, delete, get, post, put},
};
use domain::{command::CommandKind, health::Order, request::Endpoint};
use std::sync::{Arc, LazyLock};

/// Built from [`Route`], so that there is a handler for each route of the document, and for no other.
pub fn routes(app: Arc<AppState>) -> Router {
    let routes = Route::ALL.iter().copied();
    routes
        .fold(Router::new(), |router, route| router.route(route.path(), guarded(&app, route)))
        // What the page at `/` is made of; no part of the document.
        .route("/page/{name}", get(page::asset))
        .fallback(|uri: Uri| async move { Rejection::no_route(uri.path()) })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let message = format!("{method} is not taken at {}", uri.path());
            Rejection::new(ErrorCode::MethodNotAllowed, message)
        })
        // Each body has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

/// What is answered when there is no room for more.
pub fn probes(app: Arc<AppState>) -> Router {
    only_probes(app, Rejection::busy("connections"))
}

/// What is answered to an address that has as many connections as one may.
pub fn crowded(app: Arc<AppState>) -> Router {
    let why = "your address has as many connections as one may have (http.connections_per_address); use them again, or close some";
    only_probes(app, Rejection::new(ErrorCode::RateLimitExceeded, why).param("connections_per_address"))
}

fn only_probes(app: Arc<AppState>, refused: Rejection) -> Router {
    let probes = [Route::Alive, Route::Ready, Route::Metrics];
    let open = |router: Router<_>, route: Route| router.route(route.path(), guarded(&app, route));
    let router = probes.into_iter().fold(Router::new(), open);
    let router = router.fallback(move || std::future::ready(refused.clone()));
    router.layer(from_fn_with_state(app.clone(), observe::observe)).with_state(app)
}

/// No handler is reached but through the look at who asks.
fn guarded(app: &Arc<AppState>, route: Route) -> MethodRouter<Arc<AppState>> {
    handler(route).route_layer(from_fn_with_state(Guard { app: app.clone(), route }, guard))
}

fn handler(route: Route) -> MethodRouter<Arc<AppState>> {
    match route {
        Route::About => get(page::index),
        Route::Jobs => get(jobs::many),
        Route::Submit => post(submit::create),
        Route::Start => post(start::start),
        Route::Job => get(jobs::one),
        Route::Delete => delete(commands::delete),
        Route::Results => get(download::results),
        Route::Errors => get(download::errors),
        Route::Events => get(events::events),
        Route::Timeline => get(timeline::timeline),
        Route::Cancel => command(CommandKind::Cancel),
        Route::Pause => command(CommandKind::Pause),
        Route::Resume => command(CommandKind::Resume),
        Route::Deadline => command(CommandKind::Deadline),
        Route::Priority => command(CommandKind::Priority),
        Route::Retry => command(CommandKind::Retry),
        Route::Keep => post(upload::keep),
        Route::DeadList => get(dead::many),
        Route::Dead => get(dead::one),
        Route::DropDead => delete(dead::remove),
        Route::Replay => post(dead::replay),
        Route::Live => get(live::events),
        Route::Workers => get(workers::many),
        Route::Drain => order(Order::Drain),
        Route::Quarantine => order(Order::Quarantine),
        Route::Trust => order(Order::Trust),
        Route::Alive => get(health::alive),
        Route::Ready => get(health::ready),
        Route::Metrics => get(health::metrics),
        Route::OpenApi => get(openapi),
        Route::Files => get(openai::files::many),
        Route::CreateFile => post(openai::files::create),
        Route::File => get(openai::files::one),
        Route::DeleteFile => delete(openai::files::remove),
        Route::FileContent => get(openai::files::content),
        Route::CreateUpload => post(openai::uploads::create),
        Route::AddPart => post(openai::uploads::add),
        Route::CompleteUpload => post(openai::uploads::complete),
        Route::CancelUpload => post(openai::uploads::cancel),
        Route::Batches => get(openai::batches::many),
        Route::CreateBatch => post(openai::batches::create),
        Route::Batch => get(openai::batches::one),
        Route::CancelBatch => post(openai::batches::cancel),
        Route::Models => get(openai::models::many),
        Route::Model => get(openai::models::one),
        Route::Chat => ask(Endpoint::Chat),
        Route::Completions => ask(Endpoint::Completions),
        Route::Embeddings => ask(Endpoint::Embeddings),
        Route::Keys => get(keys::many),
        Route::CreateKey => post(keys::create),
        Route::Key => get(keys::one),
        Route::RevokeKey => delete(keys::revoke),
        Route::RotateKey => post(keys::rotate),
        Route::Limits => get(tenant_limits::many),
        Route::TenantLimits => get(tenant_limits::one),
        Route::SetLimits => put(tenant_limits::set),
        Route::Usage => get(usage::days),
        Route::Audit => get(audit::many),
        Route::Whoami => get(keys::whoami),
        Route::SignIn => post(session::open),
        Route::SignOut => delete(session::close),
    }
}

fn ask(endpoint: Endpoint) -> MethodRouter<Arc<AppState>> {
    post(move |app, request| openai::ask::ask(endpoint, app, request))
}

fn command(kind: CommandKind) -> MethodRouter<Arc<AppState>> {
    post(move |app, Path(job), headers, body| commands::give(kind, app, job, headers, body))
}

fn order(order: Order) -> MethodRouter<Arc<AppState>> {
    post(move |app, Path(name)| workers::tell(order, app, name))
}

async fn openapi() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| api::document().to_json().expect("a document is plain JSON"));
    ([(CONTENT_TYPE, api::JSON)], DOCUMENT.as_str())
}
