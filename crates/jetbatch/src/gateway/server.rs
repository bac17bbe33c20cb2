//! Connections: their number and patience are bounded, and all of them end when the room is told to stop.
use super::{audit::Peer, limits, linger::Linger, write_timeout::WriteTimeout};
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What is served, and to how many at once.
pub struct Doors {
    pub connections: usize,
    pub all: Router,
    /// For connections beyond those.
    pub probes: Router,
}

/// A connection that was given its place.
struct Guest {
    app: Router,
    head_within: Duration,
    is_probe: bool,
    _place: OwnedSemaphorePermit,
}

struct Places {
    all: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

/// Until `stop`, and then until the last answer is sent or [`limits::DRAIN_WITHIN`] is over.
pub async fn serve(listener: TcpListener, doors: Doors, stop: CancellationToken) {
    let all = Arc::new(Semaphore::new(doors.connections));
    let places = Places { all, probes: Arc::new(Semaphore::new(limits::PROBES_MAX)) };
    let (open, cut) = (TaskTracker::new(), CancellationToken::new());
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => {
                // The one after it waits in the kernel's queue.
                let Some(Some(guest)) = stop.run_until_cancelled(doors.place(&places)).await else { break };
                let serving = connection(socket, peer.ip(), guest, stop.clone());
                let cut = cut.clone();
                open.spawn(async move {
                    tokio::select! { () = serving => {}, () = cut.cancelled() => {} }
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

impl Doors {
    /// A place for a connection: where all are taken, one of those that are kept for probes.
    async fn place(&self, places: &Places) -> Option<Guest> {
        let (all, probes) = (&places.all, &places.probes);
        let free = match all.clone().try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => tokio::select! {
                biased;
                place = all.clone().acquire_owned() => Ok(place.ok()?),
                place = probes.clone().acquire_owned() => Err(place.ok()?),
            },
        };
        Some(match free {
            Ok(place) => {
                Guest { app: self.all.clone(), head_within: limits::HEAD_WITHIN, is_probe: false, _place: place }
            }
            Err(place) => {
                Guest { app: self.probes.clone(), head_within: limits::PROBE_WITHIN, is_probe: true, _place: place }
            }
        })
    }
}

/// Tells each request where it came from.
struct FromPeer<S>(S, IpAddr);

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for FromPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.1.to_canonical()));
        self.0.call(request)
    }
}

async fn connection(socket: TcpStream, peer: IpAddr, guest: Guest, stop: CancellationToken) {
    // Without it an event waits for the one after it. Where the system refuses, it is slower, not wrong.
    let _ = socket.set_nodelay(true);
    let io = TokioIo::new(Linger::new(WriteTimeout::new(socket, limits::STALL_MAX)));
    let Guest { app, head_within, is_probe, _place } = guest;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_within).max_buf_size(limits::READ_BYTES_MAX);
    http.keep_alive(!is_probe);
    let mut served = pin!(http.serve_connection(io, FromPeer(TowerToHyperService::new(app), peer)));
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
