//! The HTTP door. It turns requests into messages on `jobs.submit` and `jobs.control`, and shows jobs from the bucket
//! `status` and files from the store. It never reads the event log, and never writes a status.
mod board;
mod body;
mod dead;
mod desk;
mod door;
mod download;
mod early;
mod error;
mod events;
mod fields;
mod health;
mod index;
mod jobs;
mod limits;
mod observe;
mod orders;
mod pace;
mod patient;
mod prefix;
mod range;
mod retry;
mod routes;
mod row;
mod short;
mod submit;
mod upload;

use crate::shared::Shared;
use desk::Desk;
use std::{convert::Infallible, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Nothing ends the door but `stop`: what it stands on may be away for a while, and it says so meanwhile.
pub type Error = Infallible;

/// Serves until `stop`, and then what is being answered.
pub async fn run(shared: Shared, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    let desk = Arc::new(Desk::new(shared, stop.clone()));
    let board = desk.board.run(desk.status.clone(), stop.clone());
    tokio::join!(board, door::serve(listener, routes::routes(desk.clone()), stop));
    Ok(())
}
