//! The HTTP door, and the service on NATS that answers alike. It turns requests into messages on `jobs.submit.<job>` and
//! `jobs.control.<job>`, and shows jobs from the bucket `status` and files from the store. It never reads the event log, and
//! never writes a status.
mod ahead;
mod app;
mod audit;
mod auth;
mod body;
mod commands;
mod cors;
mod dead;
mod download;
mod early;
mod error;
mod events;
mod fields;
mod gate;
mod health;
mod host;
mod index;
mod jobs;
mod keys;
mod limits;
mod linger;
mod live;
mod micro;
mod min_rate;
mod observe;
mod openai;
mod page;
mod params;
mod partial;
mod places;
mod quota;
mod quote;
mod range;
mod resubmit;
mod routes;
mod row;
mod server;
mod session;
mod start;
mod state;
mod status_watch;
mod submit;
mod tenant_limits;
mod timeline;
mod tls;
mod upload;
mod usage;
mod workers;
mod write_timeout;

use crate::{keys as store, quota as limited, shared::Shared};
use auth::Demand;
use nix::sys::resource::{Resource, getrlimit};
pub use server::{Doors, serve};
use state::AppState;
use std::sync::Arc;
use tls::Tls;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Nothing ends a door that stands but `stop`: what it stands on may be away for a while, and it says so meanwhile.
pub type Error = tls::Error;

/// Serves until `stop`, and then what is being answered.
pub async fn run(shared: Shared, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    let tls = match &shared.config.http.tls {
        Some(files) => Some(Arc::new(Tls::open(files).await?)),
        None => None,
    };
    let connections = limits::connections(descriptors());
    let app = Arc::new(AppState::new(shared, connections, stop.clone()));
    let watch = app.status_watch.run(app.status.clone(), stop.clone());
    let doors = Doors {
        connections,
        tls: tls.clone(),
        per_address: app.shared.config.http.connections_per_address,
        crowded: routes::crowded(app.clone()),
        all: routes::routes(app.clone()),
        probes: routes::probes(app.clone()),
    };
    let catalog = app.catalog.run(app.files.clone(), stop.clone());
    let gate = app.gate.run(&app.shared, &app.status_watch, stop.clone());
    let ring = app.keys.run(store::bucket(&app.shared.bus), stop.clone());
    let rules = app.quota.rules.run(limited::bucket(&app.shared.bus), stop.clone());
    let first = stop.run_until_cancelled(tell_first(&app));
    let micro = micro::run(&app, stop.clone());
    let renewed = async {
        if let Some(tls) = &tls {
            tls.follow(stop.clone()).await;
        }
    };
    tokio::join!(renewed, watch, catalog, gate, ring, rules, first, micro, serve(listener, doors, stop.clone()));
    Ok(())
}

/// Says how the first key is made, where nobody is let in without one.
async fn tell_first(app: &AppState) {
    if app.demand == Demand::Never && !app.shared.config.http.listen.ip().is_loopback() {
        tracing::warn!("the door asks for no key (http.auth = \"off\"): whoever reaches it may do anything");
    }
    if app.demand == Demand::Always {
        app.keys.completed().await;
        if app.keys.is_empty() {
            tracing::warn!("no request is let in: {}", auth::FIRST);
        }
    }
}

/// What this process may hold open.
fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}
