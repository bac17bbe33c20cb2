//! Webhooks: reads what EVENTS and ALERTS tell of jobs, puts each hook into HOOKS, and sends what lies there, signed, until
//! it is taken or given up. A hook's id follows from what it tells, so one that is sent twice is known by it.
mod flying;
mod post;
mod secrets;
mod send;
mod standings;
mod tell;
mod turns;

use crate::{bus::PullError, clock, config::Config, shared::Shared};
use domain::trouble::{Kind, Scope, Trouble};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before streams that cannot be pulled from are tried again.
const AGAIN: Duration = Duration::from_secs(5);
const CONSUMER: &str = "webhooks";
/// Less than a room is given to stop, and than one whose lease is lost.
const END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("webhooks cannot be pulled")]
    Pull(#[from] PullError),
    #[error(transparent)]
    Secret(#[from] secrets::Error),
    #[error("no HTTP client for webhooks")]
    Client(#[from] reqwest::Error),
}

/// Whether all that is to sign is there: better said at the start than by whichever head leads next.
pub fn check(config: &Config) -> Result<(), Error> {
    secrets::Secrets::open(config).map(drop).map_err(Error::from)
}

/// Until `stop`, and a moment longer for what is on its way.
pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let given_up = async {
        stop.cancelled().await;
        sleep(END_WITHIN).await;
    };
    let ended = tokio::select! {
        ended = work(&shared, &stop) => ended,
        () = given_up => Ok(()),
    };
    // Whoever leads next tells them.
    shared.metrics.webhooks_off(0);
    shared.troubles.clear(&Scope::Installation, Kind::Webhooks);
    ended
}

/// Without a stream, or with one that is another's, there are no webhooks: no reason for the head to end.
async fn work(shared: &Shared, stop: &CancellationToken) -> Result<(), Error> {
    loop {
        match session(shared, stop).await {
            Err(Error::Pull(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "webhooks cannot be pulled; trying again");
                let cause = format!("webhooks cannot be pulled: {error}");
                let mend = "`jetbatch streams apply` makes a stream again that is gone";
                let trouble = Trouble::new(Kind::Webhooks, cause, mend, clock::now());
                shared.troubles.tell(Scope::Installation, trouble);
                stop.run_until_cancelled(sleep(AGAIN)).await;
            }
            ended => return ended,
        }
    }
}

async fn session(shared: &Shared, stop: &CancellationToken) -> Result<(), Error> {
    let sender = send::Sender::open(shared).await?;
    tokio::try_join!(
        tell::run(shared, tell::Source::Events, stop),
        tell::run(shared, tell::Source::Alerts, stop),
        sender.run(stop),
    )
    .map(drop)
}
