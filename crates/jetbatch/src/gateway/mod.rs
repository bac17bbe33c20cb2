//! The HTTP door. It turns requests into messages on `jobs.submit` and `jobs.control`, and shows jobs from the bucket
//! `status` and files from the store. It never reads the event log, and never writes a status.
mod body;
mod dead;
mod download;
mod early;
mod error;
mod events;
mod fields;
mod health;
mod index;
mod jobs;
mod limits;
mod min_rate;
mod observe;
mod orders;
mod partial;
mod range;
mod resubmit;
mod routes;
mod row;
mod server;
mod start;
mod state;
mod status_watch;
mod submit;
mod upload;
mod write_timeout;

use crate::shared::Shared;
use state::AppState;
use std::{convert::Infallible, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Nothing ends the door but `stop`: what it stands on may be away for a while, and it says so meanwhile.
pub type Error = Infallible;

/// Serves until `stop`, and then what is being answered.
pub async fn run(shared: Shared, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    let app = Arc::new(AppState::new(shared, stop.clone()));
    let watch = app.status_watch.run(app.status.clone(), stop.clone());
    tokio::join!(watch, server::serve(listener, routes::routes(app.clone()), stop));
    Ok(())
}
