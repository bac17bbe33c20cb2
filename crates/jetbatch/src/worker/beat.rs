//! What the worker says of itself, every few seconds, in the bucket `workers`.
use super::chunk::Runner;
use crate::clock;
use std::{sync::Arc, sync::atomic::Ordering, time::Duration};
use tokio_util::sync::CancellationToken;
use wire::{bucket, work::Heartbeat};

/// A third of the bucket's time to live, at most.
const EVERY: Duration = Duration::from_secs(5);

pub async fn run(runner: Arc<Runner>, stop: CancellationToken) {
    let key = format!("{}.{}", runner.pool, runner.name);
    let bucket = runner.shared.bus.bucket(bucket::WORKERS);
    loop {
        let beat = serde_json::to_vec(&heartbeat(&runner)).unwrap_or_default();
        if let Err(error) = bucket.put(&key, beat).await {
            tracing::warn!(%error, "the heartbeat was not stored");
        }
        runner.shared.metrics.worker(&runner.pool, runner.slots.count(), runner.slots.busy());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    if let Err(error) = bucket.delete(&key).await {
        tracing::debug!(%error, "the heartbeat was not withdrawn; it ages out");
    }
}

fn heartbeat(runner: &Runner) -> Heartbeat {
    let about = runner.engine.about();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Heartbeat {
        worker: runner.name.clone(),
        pool: runner.pool.clone(),
        model: about.model,
        engine: about.engine.to_owned(),
        device: about.device,
        slots: count(runner.slots.count()),
        busy: count(runner.slots.busy()),
        at: clock::now(),
        started: runner.started,
        requests: runner.requests.load(Ordering::Relaxed),
        completion_tokens: runner.tokens.load(Ordering::Relaxed),
        draining: false,
        restarts: runner.engine.restarts(),
    }
}
