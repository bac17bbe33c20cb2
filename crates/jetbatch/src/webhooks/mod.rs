//! Webhooks: reads what EVENTS and ALERTS tell of jobs, puts each hook into HOOKS, and sends what lies there, signed, until
//! it is taken or given up. A hook's id follows from what it tells, so one that is sent twice is known by it.
mod post;
mod secrets;
mod send;
mod standings;
mod tell;

use crate::{bus::PullError, shared::Shared};
use tokio_util::sync::CancellationToken;

const CONSUMER: &str = "webhooks";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("webhooks cannot be pulled")]
    Pull(#[from] PullError),
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    #[error("no HTTP client for webhooks")]
    Client(#[from] reqwest::Error),
}

/// Until `stop`.
pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let sender = send::Sender::open(&shared).await?;
    tokio::try_join!(
        tell::run(&shared, tell::Source::Events, &stop),
        tell::run(&shared, tell::Source::Alerts, &stop),
        sender.run(&stop),
    )
    .map(drop)
}
