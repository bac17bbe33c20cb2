//! Starts rooms in one process, and stops them in an order that hands everything on.
mod door;
mod engines;
mod rlimit;
mod role;
mod start;
mod stop;

pub use engines::{apart, check, engine_host, load};
pub use role::{Role, Roles};
pub use start::{connect, nats, pools, start};

use crate::{bus, installation, troubles::Troubles};
use domain::Pool;
use std::{
    collections::{BTreeMap, HashMap},
    error::Error as StdError,
    net::SocketAddr,
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Cause = Box<dyn StdError + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no pool is configured, so no request could be answered; give a configuration such as config/jetbatch.toml"
    )]
    NoPools,
    #[error(transparent)]
    Server(#[from] bus::server::ServerError),
    #[error("nats.context")]
    Context(#[from] bus::context::ContextError),
    #[error("the nats-server that jetbatch started ended by itself")]
    ServerEnded,
    #[error(transparent)]
    Connect(#[from] bus::ConnectError),
    #[error(transparent)]
    Streams(#[from] bus::ApplyError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Installation(#[from] installation::Error),
    #[error("store '{url}' refuses to serve us: {why}")]
    Refused { url: String, why: String },
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("pool '{pool}' has no engine")]
    Engine { pool: Pool, source: Cause },
    #[error("pool '{pool}' takes no work, because its engine did not pass the check")]
    Unfit { pool: Pool, source: engine::check::Error },
    #[error("the {role} failed")]
    Room { role: Role, source: Cause },
    #[error("the {role} ended by itself")]
    Ended { role: Role },
    #[error("the {role} did not stop within {} s", limit.as_secs())]
    Stuck { role: Role, limit: Duration },
    #[error("the {role} panicked: {source}")]
    Panicked { role: Role, source: tokio::task::JoinError },
}

/// Rooms that run. Dropped without [`Running::stop`] they end at once; what they did not acknowledge is done again.
pub struct Running {
    /// Where the gateway listens, if it is one of the roles.
    pub http: Option<SocketAddr>,
    /// What this process is called where it leads.
    name: String,
    rooms: JoinSet<Result<(), Error>>,
    live: HashMap<tokio::task::Id, Role>,
    /// One for each role, because they stop one after the other.
    stops: BTreeMap<Role, CancellationToken>,
    drain: Duration,
    loading: door::Loading,
    troubles: Troubles,
    /// Last: it is dropped after the rooms.
    server: Option<bus::server::Server>,
}
