//! The door of a process with workers (`worker.listen`): for probes and for Prometheus, where no gateway runs beside it. It asks
//! for no key and tells nothing of jobs.
use crate::{
    gateway::{self, Doors},
    metrics::OPEN_METRICS,
    shared::Shared,
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Of who asks.
const CONNECTIONS_MAX: usize = 64;

/// How many pools' engines are still being loaded.
#[derive(Clone, Default)]
pub struct Loading(Arc<AtomicUsize>);

impl Loading {
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Until `stop`.
pub async fn run(listener: TcpListener, shared: Shared, loading: Loading, stop: CancellationToken) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "probes and metrics");
    let ready = move || async move { ready(loading.count()) };
    let app = Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready));
    let app = app.route("/metrics", get(metrics)).with_state(shared);
    let doors = Doors {
        connections: CONNECTIONS_MAX,
        tls: None,
        per_address: 0,
        crowded: app.clone(),
        all: app.clone(),
        probes: app,
    };
    gateway::serve(listener, doors, stop).await;
    Ok(())
}

fn ready(loading: usize) -> (StatusCode, String) {
    match loading {
        0 => (StatusCode::OK, "ok\n".to_owned()),
        count => (StatusCode::SERVICE_UNAVAILABLE, format!("{count} engines are being loaded\n")),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let counts = shared.bus.counts();
    shared.metrics.bus(counts.publish_retries, counts.reconnects);
    ([(CONTENT_TYPE, OPEN_METRICS)], shared.metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_loads_is_not_ready() {
        let loading = Loading::default();
        loading.begin();
        assert_eq!(ready(loading.count()).0, StatusCode::SERVICE_UNAVAILABLE);
        loading.clone().end();
        assert_eq!(ready(loading.count()).0, StatusCode::OK);
    }
}
