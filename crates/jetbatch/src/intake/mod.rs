//! Intake: takes submissions off `jobs.submit`, validates the input once while it streams by, and appends what it
//! found as facts. It owns a job's events until `JobPlanned` or `JobRejected`; it never runs or sends work.
mod accept;
mod check;
mod constraints;
mod source;
mod validate;

use crate::{
    bus::{Delivery, PullError},
    shared::Shared,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::stream;

const CONSUMER: &str = "intake";
/// The longest wait of one pull.
const WAIT: Duration = Duration::from_secs(20);
/// A submission message is at most the server's maximum payload.
const PULL_BYTES: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("intake cannot pull submissions")]
    Pull(#[from] PullError),
}

pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let mut puller = shared.bus.puller(stream::SUBMIT, CONSUMER).await?;
    let places = Arc::new(Semaphore::new(shared.config.intake.jobs_at_once.max(1)));
    let tasks = TaskTracker::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let pulled = tokio::select! {
            () = stop.cancelled() => break,
            pulled = puller.fetch(1, PULL_BYTES, WAIT) => pulled?,
        };
        let Some(delivery) = pulled.into_iter().next() else { continue };
        let (shared, stop) = (shared.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = handle(&shared, delivery) => {}
            }
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn attend(shared: &Shared, delivery: &Delivery, beat: Duration) -> Result<(), accept::Error> {
    let work = accept::submission(shared, delivery);
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(beat) => {
                if let Err(error) = delivery.progress().await {
                    tracing::warn!(%error, "the server was not told that the submission is in progress");
                }
            }
        }
    }
}

/// Facts first, then the ack: a crash in between brings the submission again, and its facts deduplicate.
async fn handle(shared: &Shared, delivery: Delivery) {
    let beat = Duration::from_secs(shared.config.nats.ack_wait_s.max(3)) / 3;
    let answered = match attend(shared, &delivery, beat).await {
        Ok(()) => delivery.ack().await,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a submission could not be handled; it is tried again"
            );
            delivery.nak(Some(Duration::from_secs(2))).await
        }
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a submission was not acknowledged; it comes again and is recognised");
    }
}
