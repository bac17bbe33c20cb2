//! Connections: their number and patience are bounded, and all of them end when the room is told to stop.
use super::{limits, write_timeout::WriteTimeout};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Until `stop`, and then until the last answer is sent or [`limits::DRAIN_WITHIN`] is over.
pub async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    let (places, open, cut) =
        (Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)), TaskTracker::new(), CancellationToken::new());
    loop {
        let Some(Ok(place)) = stop.run_until_cancelled(places.clone().acquire_owned()).await else { break };
        let socket = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted.map(|(socket, _)| socket),
        };
        match socket {
            Ok(socket) => {
                let serving = connection(socket, app.clone(), stop.clone());
                let cut = cut.clone();
                open.spawn(async move {
                    tokio::select! { () = serving => {}, () = cut.cancelled() => {} }
                    drop(place);
                });
            }
            Err(error) => rest_after(&error).await,
        }
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(limits::DRAIN_WITHIN, open.wait()).await.is_err() {
        cut.cancel();
        open.wait().await;
    }
}

async fn connection(socket: TcpStream, app: Router, stop: CancellationToken) {
    // Without it an event waits for the one after it. Where the system refuses, it is slower, not wrong.
    let _ = socket.set_nodelay(true);
    let io = TokioIo::new(WriteTimeout::new(socket, limits::STALL_MAX));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits::HEAD_WITHIN).max_buf_size(limits::READ_BYTES_MAX);
    let mut served = pin!(http.serve_connection(io, TowerToHyperService::new(app)));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// One connection's failure is not the door's; a lack of descriptors passes.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind as K;
    if !matches!(error.kind(), K::ConnectionRefused | K::ConnectionAborted | K::ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections; trying again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
