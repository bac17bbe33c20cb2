//! Commands from `jobs.control`, and the jobs that are made of others. They are carried out by every head and not by the leader alone: a command is compared
//! and set on its own job's events and needs no fold of the others, so a cancel does not wait for the next leader.
mod resubmit;

use crate::{
    bus::{AckError, Delivery, PullError},
    clock,
    command::{self, execute},
    payload,
    shared::Shared,
};
use domain::{
    Millis,
    decide::Refusal,
    submission::{Control, Order},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use wire::{envelope, stream};

const CONSUMER: &str = "control";
const WAIT: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 16;
const BYTES: usize = 1 << 20;
/// Retries that run at once: each reads two files and writes one.
const RETRIES_AT_ONCE: usize = 2;
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
    // Beside the others, for as long as a large input takes. What is dropped at the end is delivered again.
    let (mut retries, places) = (JoinSet::new(), Arc::new(Semaphore::new(RETRIES_AT_ONCE)));
    loop {
        let pulled = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            pulled = puller.fetch(AT_ONCE, BYTES, WAIT) => pulled?,
        };
        for delivery in pulled {
            match read(&delivery) {
                Err(why) => drop_it(delivery, &why).await,
                Ok(control) if control.command == Order::Retry => {
                    retries.spawn(retry(shared.clone(), delivery, control, places.clone()));
                }
                Ok(control) => {
                    let end = order(&shared, &control).await;
                    answer(delivery, &control, end).await;
                }
            }
        }
        while retries.try_join_next().is_some() {}
    }
}

/// What a command came to.
enum End {
    Done,
    /// There is no such job.
    Unknown,
    Refused(String),
    Again(Box<dyn std::error::Error + Send + Sync>),
}

async fn answer(delivery: Delivery, control: &Control, end: End) {
    let (job, command) = (control.job, control.command.as_str());
    let answered = match end {
        End::Done => delivery.ack().await,
        // Its submission may stand in SUBMIT still, behind others.
        End::Unknown if is_fresh(&delivery) => delivery.nak(Some(Duration::from_secs(1))).await,
        End::Unknown => {
            tracing::info!(%job, command, "command refused: there is no such job");
            delivery.ack().await
        }
        End::Refused(why) => {
            tracing::info!(%job, command, why, "command refused");
            delivery.ack().await
        }
        End::Again(error) => {
            tracing::warn!(%job, command, error = &*error as &dyn std::error::Error, "a command is tried again");
            delivery.nak(Some(Duration::from_secs(1))).await
        }
    };
    note(answered);
}

async fn drop_it(delivery: Delivery, why: &str) {
    tracing::warn!(why, "a message on jobs.control is no command; it is dropped");
    note(delivery.ack().await);
}

fn note(answered: Result<(), AckError>) {
    if let Err(error) = answered {
        tracing::warn!(%error, "a command was not acknowledged; it comes again and does no harm");
    }
}

async fn retry(shared: Shared, delivery: Delivery, control: Control, places: Arc<Semaphore>) {
    let beat = Duration::from_secs(shared.config.nats.ack_wait_s.max(3)) / 3;
    let trace = wire::trace::read(|name| delivery.header(name));
    let work = async {
        let _place = places.acquire().await;
        resubmit::resubmit(&shared, control.job, trace.as_deref()).await
    };
    let end = match delivery.keep(beat, work).await {
        Ok((id, is_new)) => {
            tracing::info!(job = %control.job, retry = %id, is_new, "retry");
            End::Done
        }
        Err(resubmit::Error::Unknown) => End::Unknown,
        Err(resubmit::Error::Refused(refusal)) => End::Refused(refusal.to_string()),
        Err(error) => End::Again(error.into()),
    };
    answer(delivery, &control, end).await;
}

fn read(delivery: &Delivery) -> Result<Control, String> {
    payload::read(delivery.header(envelope::CONTENT_TYPE), &delivery.payload)
}

async fn order(shared: &Shared, control: &Control) -> End {
    let command = match control.command(clock::now()) {
        Ok(Some(command)) => command,
        Ok(None) => return End::Done,
        Err(fault) => return End::Refused(fault.to_string()),
    };
    match execute(&shared.bus, control.job, None, command, None).await {
        Ok(done) => {
            tracing::info!(job = %control.job, command = control.command.as_str(), done, "command");
            End::Done
        }
        Err(command::Error::Refused(Refusal::Unknown)) => End::Unknown,
        Err(command::Error::Refused(refusal)) => End::Refused(refusal.to_string()),
        Err(error) => End::Again(error.into()),
    }
}

fn is_fresh(delivery: &Delivery) -> bool {
    clock::now().since(Millis::new(delivery.stored_ms)) < UNKNOWN_MS
}
