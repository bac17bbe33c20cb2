//! Connections: their number and patience are bounded, and all of them end when the room is told to stop.
use super::{
    audit::Peer,
    limits,
    linger::Linger,
    places::{Place, Places},
    tls::Tls,
    write_timeout::WriteTimeout,
};
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What is served, and to how many at once.
pub struct Doors {
    pub connections: usize,
    pub tls: Option<Arc<Tls>>,
    /// From one address; 0: its share of them.
    pub per_address: usize,
    /// For an address that has its own.
    pub crowded: Router,
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
    _of_address: Option<Place<IpAddr>>,
}

struct Rooms {
    all: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    addresses: Arc<Places<IpAddr>>,
}

/// Who is taken for one caller: of IPv6 a whole network is one's own.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// Until `stop`, and then until the last answer is sent or [`limits::DRAIN_WITHIN`] is over.
pub async fn serve(listener: TcpListener, doors: Doors, stop: CancellationToken) {
    let all = Arc::new(Semaphore::new(doors.connections));
    let addresses = Arc::new(match doors.per_address {
        0 => Places::new(doors.connections),
        each => Places::each(each),
    });
    let rooms = Rooms { all, probes: Arc::new(Semaphore::new(limits::PROBES_MAX)), addresses };
    let (open, cut) = (TaskTracker::new(), CancellationToken::new());
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => {
                let guest = match doors.of_address(&rooms, peer.ip()) {
                    // The one after it waits in the kernel's queue.
                    Ok(place) => stop.run_until_cancelled(doors.place(&rooms, place)).await.flatten(),
                    Err(Some(guest)) => Some(guest),
                    Err(None) => continue,
                };
                let Some(guest) = guest else { break };
                let serving = connection(socket, peer.ip(), doors.tls.clone(), guest, stop.clone());
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
    async fn place(&self, rooms: &Rooms, of_address: Option<Place<IpAddr>>) -> Option<Guest> {
        let (all, probes) = (&rooms.all, &rooms.probes);
        let free = match all.clone().try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => tokio::select! {
                biased;
                place = all.clone().acquire_owned() => Ok(place.ok()?),
                place = probes.clone().acquire_owned() => Err(place.ok()?),
            },
        };
        let (app, head_within, is_probe, place) = match free {
            Ok(place) => (&self.all, limits::HEAD_WITHIN, false, place),
            Err(place) => (&self.probes, limits::PROBE_WITHIN, true, place),
        };
        Some(Guest { app: app.clone(), head_within, is_probe, _place: place, _of_address: of_address })
    }

    /// An address's place, where it is counted. One that has its own is turned away at once, or closed.
    fn of_address(&self, rooms: &Rooms, peer: IpAddr) -> Result<Option<Place<IpAddr>>, Option<Guest>> {
        if self.per_address == 0 && peer.to_canonical().is_loopback() {
            return Ok(None);
        }
        rooms.addresses.take(network(peer)).map(Some).ok_or_else(|| self.turn_away(rooms))
    }

    /// It is told so, in a place of those that are kept for probes, where one is free.
    fn turn_away(&self, rooms: &Rooms) -> Option<Guest> {
        let place = rooms.probes.clone().try_acquire_owned().ok()?;
        let (app, head_within) = (self.crowded.clone(), limits::PROBE_WITHIN);
        Some(Guest { app, head_within, is_probe: true, _place: place, _of_address: None })
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

async fn connection(socket: TcpStream, peer: IpAddr, tls: Option<Arc<Tls>>, guest: Guest, stop: CancellationToken) {
    // Without it an event waits for the one after it. Where the system refuses, it is slower, not wrong.
    let _ = socket.set_nodelay(true);
    let socket = WriteTimeout::new(socket, limits::STALL_MAX);
    let Some(tls) = tls else { return talk(socket, peer, guest, stop).await };
    match tls.accept(socket, guest.head_within).await {
        Ok(socket) => talk(socket, peer, guest, stop).await,
        Err(error) => tracing::debug!(%error, "a connection came to no TLS"),
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    peer: IpAddr,
    guest: Guest,
    stop: CancellationToken,
) {
    let io = TokioIo::new(Linger::new(socket));
    let Guest { app, head_within, is_probe, _place, _of_address } = guest;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
