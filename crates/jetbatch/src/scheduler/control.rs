//! Commands from `jobs.control`. They are carried out by every head and not by the leader alone: a command is compared
//! and set on its own job's events and needs no fold of the others, so a cancel does not wait for the next leader.
use crate::{
    bus::{Delivery, PullError},
    clock,
    command::{self, execute},
    shared::Shared,
};
use domain::{Millis, decide::Refusal, submission::Control};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wire::{envelope, stream};

const CONSUMER: &str = "control";
const WAIT: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 16;
const BYTES: usize = 1 << 20;
/// A command for a job that does not exist yet waits for it so long.
const UNKNOWN_MS: u64 = 600_000;
/// Less than a room is given to stop.
const END_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("commands cannot be pulled")]
    Pull(#[from] PullError),
}

/// Until `stop`. The command in hand may end then, for a while; without NATS it comes again.
pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(END_WITHIN).await;
    };
    tokio::select! {
        done = work(shared, &stop) => done,
        () = given_up => Ok(()),
    }
}

async fn work(shared: Shared, stop: &CancellationToken) -> Result<(), Error> {
    let mut puller = shared.bus.puller(stream::SUBMIT, CONSUMER).await?;
    loop {
        let pulled = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            pulled = puller.fetch(AT_ONCE, BYTES, WAIT) => pulled?,
        };
        for delivery in pulled {
            handle(&shared, delivery).await;
        }
    }
}

async fn handle(shared: &Shared, delivery: Delivery) {
    let answered = match read(&delivery) {
        Err(why) => {
            tracing::warn!(why, "a message on jobs.control is no command; it is dropped");
            delivery.ack().await
        }
        Ok(control) => match order(shared, &control).await {
            Ok(()) => delivery.ack().await,
            // Its submission may stand in SUBMIT still, behind others.
            Err(command::Error::Refused(Refusal::Unknown)) if is_fresh(&delivery) => {
                delivery.nak(Some(Duration::from_secs(1))).await
            }
            Err(command::Error::Refused(refusal)) => {
                tracing::info!(job = %control.job, command = control.command.as_str(), %refusal, "command refused");
                delivery.ack().await
            }
            Err(error) => {
                tracing::warn!(job = %control.job, error = &error as &dyn std::error::Error, "a command is tried again");
                delivery.nak(Some(Duration::from_secs(1))).await
            }
        },
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a command was not acknowledged; it comes again and does no harm");
    }
}

fn read(delivery: &Delivery) -> Result<Control, String> {
    let json = match delivery.header(envelope::CONTENT_TYPE) {
        Some(kind) => kind.starts_with(envelope::JSON),
        None => delivery.payload.trim_ascii_start().first() == Some(&b'{'),
    };
    if json {
        return serde_json::from_slice(&delivery.payload).map_err(|e| e.to_string());
    }
    rmp_serde::from_slice(&delivery.payload).map_err(|e| e.to_string())
}

async fn order(shared: &Shared, control: &Control) -> Result<(), command::Error> {
    let command = match control.command(clock::now()) {
        Ok(Some(command)) => command,
        Ok(None) => return Ok(()),
        Err(fault) => {
            tracing::warn!(job = %control.job, command = control.command.as_str(), %fault, "a command is dropped");
            return Ok(());
        }
    };
    let done = execute(&shared.bus, control.job, None, command, None).await?;
    tracing::info!(job = %control.job, command = control.command.as_str(), done, "command");
    Ok(())
}

fn is_fresh(delivery: &Delivery) -> bool {
    clock::now().since(Millis::new(delivery.stored_ms)) < UNKNOWN_MS
}
