//! The door of a process with workers (`worker.listen`): for probes and for Prometheus, where no gateway runs beside it. It asks
//! for no key and tells nothing of jobs.
use crate::{metrics::OPEN_METRICS, shared::Shared};
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
    time::Duration,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// Of who asks and does not come to an end: no worker waits for him.
const END_WITHIN: Duration = Duration::from_secs(2);

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
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        sleep(END_WITHIN).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended,
        () = late => Ok(()),
    }
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
