//! Commands from `jobs.control`.
use crate::{
    bus::{Delivery, PullError},
    clock,
    command::{self, execute},
    payload,
    shared::Shared,
};
use domain::{
    decide::Command,
    submission::{Control, Order},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wire::{envelope, stream};

const CONSUMER: &str = "control";
const WAIT: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 16;
const BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("commands cannot be pulled")]
    Pull(#[from] PullError),
}

pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
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
    payload::read(delivery.header(envelope::CONTENT_TYPE), &delivery.payload)
}

async fn order(shared: &Shared, control: &Control) -> Result<(), command::Error> {
    let command = match control.command {
        Order::Cancel => Command::Cancel { at: clock::now() },
    };
    match execute(&shared.bus, control.job, None, command, None).await {
        Ok(done) => tracing::info!(job = %control.job, command = ?control.command, done, "command"),
        Err(command::Error::Refused(refusal)) => {
            tracing::info!(job = %control.job, command = ?control.command, %refusal, "command refused");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
