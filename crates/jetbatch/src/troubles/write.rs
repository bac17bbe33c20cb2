//! What a head tells, brought into the bucket and onto ALERTS.
use super::{
    Ours,
    held::{TOLD_FOR, Task},
};
use crate::{
    bus::{Bucket, Bus, PublishError},
    clock,
};
use domain::{
    Timestamp,
    trouble::{Scope, Trouble},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use wire::{Message, Subject, Told, TroubleAlert, bucket};

/// What lasts is written again so often: a third of the bucket's time to live.
const EVERY: Duration = Duration::from_secs(TOLD_FOR.as_secs() / 3);
/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// One write: where NATS is away, nothing can be told by it, and what is told meanwhile is written later.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// A head that ends does not wait longer.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(ours: Arc<Ours>, bus: Bus, head: String) {
    let mut at = Instant::now() + EVERY;
    loop {
        tokio::select! {
            () = ours.changed.notified() => {}
            () = tokio::time::sleep_until(at) => {
                ours.lock().again();
                at = Instant::now() + EVERY;
            }
        }
        ours.show_if(|held| held.expire(Instant::now()));
        while !write(&ours, &bus, &head).await {
            sleep(PAUSE).await;
        }
    }
}

/// Writes what is over, for a short while.
pub async fn settle(ours: &Ours, bus: &Bus, head: &str) {
    // Where NATS is silent, the server forgets it.
    drop(timeout(LEAVE_WITHIN, write(ours, bus, head)).await);
}

/// Whether all was written.
async fn write(ours: &Ours, bus: &Bus, head: &str) -> bool {
    let (bucket, tasks) = (bus.bucket(bucket::TROUBLES), ours.lock().tasks());
    let mut is_all = true;
    for task in tasks {
        match timeout(WRITE_WITHIN, perform(&task, bus, &bucket, head)).await {
            Ok(Ok(())) => ours.lock().done(&task),
            // What one cannot do, the next may.
            Ok(Err(error)) => {
                tracing::debug!(%error, "a trouble is not told yet");
                is_all = false;
            }
            Err(_) => {
                bucket.ensure().await;
                return false;
            }
        }
    }
    if !is_all {
        bucket.ensure().await;
    }
    is_all
}

async fn perform(task: &Task, bus: &Bus, bucket: &Bucket, head: &str) -> Result<(), PublishError> {
    let told = |scope: &Scope, trouble: &Trouble, is_found| {
        let (scope, head, trouble) = (scope.clone(), head.to_owned(), trouble.clone());
        Told { scope, head, is_found, trouble }
    };
    match task {
        Task::Write { scope, trouble, is_found, is_new } => {
            let told = told(scope, trouble, *is_found);
            bucket.put(&told.key(), serde_json::to_vec(&told).expect("a trouble is plain JSON")).await?;
            if *is_new { bus.offer(alert(&told, trouble.since, false)).await.map(drop) } else { Ok(()) }
        }
        Task::Withdraw { scope, trouble } => {
            let told = told(scope, trouble, false);
            bucket.delete(&told.key()).await?;
            bus.offer(alert(&told, clock::now(), true)).await.map(drop)
        }
    }
}

/// One at its beginning and one at its end, however often it is tried.
fn alert(told: &Told, at: Timestamp, is_over: bool) -> Message {
    let Told { scope, head, trouble, .. } = told;
    let id = format!("{scope}:{}:{head}:{}:{is_over}", trouble.what.as_str(), trouble.since.get());
    let subject = Subject::TroubleAlert(trouble.what, scope.clone());
    let alert = TroubleAlert { told: told.clone(), at, is_over };
    Message::new(subject, serde_json::to_vec(&alert).expect("an alert is plain JSON")).id(id)
}
