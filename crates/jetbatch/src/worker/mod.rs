//! The worker: pulls chunks, runs them on the engine, stores the answers, says so, and acknowledges, in that order. It
//! talks to NATS alone. It never decides what is retried and never writes output.
mod beat;
mod cancel_check;
mod chunk;
mod health;
mod life;
mod orders;
mod others;
mod render;
mod report;
mod slots;

use crate::{
    bus::{Delivery, PullError, Puller},
    shared::Shared,
};
pub use beat::Starting;
use chunk::Runner;
use domain::Pool;
use engine::Engine;
pub use life::Tenure;
use slots::{Announced, Slots};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use wire::stream;

/// The longest wait of one pull.
const WAIT: Duration = Duration::from_secs(20);
/// A WORK message is at most the server's maximum payload.
const PULL_BYTES: usize = 2 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the worker cannot pull work")]
    Pull(#[from] PullError),
}

/// Serves one pool until `stop`, then drains: what runs may end within `worker.drain_s`, the rest is handed back.
pub async fn run(
    shared: Shared,
    pool: Pool,
    tenure: Tenure,
    engine: Arc<dyn Engine>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let about = engine.about();
    tenure.loaded().await;
    tracing::info!(worker = tenure.name, %pool, model = about.model, engine = about.engine, device = about.device, slots = about.slots, "worker ready");
    let mut puller = shared.bus.puller(stream::WORK, pool.as_str()).await?;
    let slots = Slots::new(about.slots);
    let abandon = CancellationToken::new();
    let runner = Arc::new(Runner::new(shared.clone(), tenure, pool, engine, slots.clone()));
    runner.health.inherit(runner.tenure.known().await).await;
    let tasks = TaskTracker::new();
    let beating = CancellationToken::new();
    let orders = orders::listen(&runner).await;
    let _orders = AbortOnDropHandle::new(tokio::spawn(orders::obey(runner.clone(), orders)));
    let beats = tokio::spawn(beat::run(runner.clone(), beating.clone()));
    let probes = tokio::spawn(probe(runner.clone(), beating.clone()));
    let _sizes = AbortOnDropHandle::new(tokio::spawn(resize(runner.engine.clone(), slots.clone())));
    let pulled = pull(&mut puller, &runner, &slots, &tasks, &stop, &abandon).await;
    runner.draining.store(true, Ordering::Relaxed);
    // What its last pull brought goes back at once.
    drop(puller);
    drain(&shared, tasks, abandon).await;
    beating.cancel();
    // A heartbeat that panicked has nothing to say.
    drop(beats.await);
    drop(probes.await);
    runner.tenure.ended().await;
    pulled
}

/// Follows an engine that takes now more requests at once, now fewer.
async fn resize(engine: Arc<dyn Engine>, slots: Slots) {
    let Some(mut now) = engine.slots() else { return };
    loop {
        let count = *now.borrow_and_update();
        slots.set(count).await;
        if now.changed().await.is_err() {
            return;
        }
    }
}

/// Asks the engine of a worker in doubt again, until `stop`.
async fn probe(runner: Arc<Runner>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = runner.health.probe(&*runner.engine) => {}
    }
}

async fn pull(
    puller: &mut Puller,
    runner: &Arc<Runner>,
    slots: &Slots,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    abandon: &CancellationToken,
) -> Result<(), Error> {
    // An engine that ends its process with whatever it is asked ends it here, with nothing in hand.
    tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        _ = runner.health.examine(&*runner.engine) => {}
    }
    loop {
        let pulled = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            pulled = fetch(puller, slots, runner) => pulled?,
        };
        if !pulled.is_empty() {
            runner.tenure.works().await;
        }
        for delivery in pulled {
            runner.health.took();
            tasks.spawn(attend(runner.clone(), delivery, slots.announce_chunk(), abandon.clone()));
        }
    }
}

/// No more than slots can begin soon, and nothing for an engine that is down or in doubt: other workers may have one.
async fn fetch(puller: &mut Puller, slots: &Slots, runner: &Runner) -> Result<Vec<Delivery>, PullError> {
    slots.hungry().await;
    runner.engine.ready().await;
    let most = runner.health.takes().await;
    puller.fetch(most.min(slots.chunks_to_fetch()), PULL_BYTES, WAIT).await
}

/// Runs one chunk and answers for it once: acknowledged when it is settled, handed back when it is not.
async fn attend(runner: Arc<Runner>, delivery: Delivery, announced: Announced, abandon: CancellationToken) {
    let settled = tokio::select! {
        biased;
        () = abandon.cancelled() => None,
        settled = settle(&runner, &delivery, announced) => Some(settled),
    };
    runner.health.settled();
    let answered = match settled {
        Some(Ok(())) => delivery.ack().await,
        None => match runner.hand_back(&delivery).await {
            Ok(()) => delivery.ack().await,
            Err(_) => delivery.nak(None).await,
        },
        Some(Err(chunk::Error::Decode(error))) => {
            // Reconciling sends the chunk again if it is still owed.
            tracing::error!(%error, subject = delivery.subject, "a message in WORK is no chunk; it is removed");
            delivery.term("not a chunk").await
        }
        Some(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a chunk's failure could not be told; it comes again"
            );
            delivery.nak(Some(Duration::from_secs(1))).await
        }
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a chunk's delivery was not answered; it may come again, and its result is recognised");
    }
}

/// Tells the server every third of `ack_wait` that the chunk is in progress.
async fn settle(runner: &Runner, delivery: &Delivery, announced: Announced) -> Result<(), chunk::Error> {
    delivery.keep(runner.progress_every(), runner.settle(delivery, announced)).await
}

async fn drain(shared: &Shared, tasks: TaskTracker, abandon: CancellationToken) {
    tasks.close();
    let limit = Duration::from_secs(shared.config.worker.drain_s);
    if tokio::time::timeout(limit, tasks.wait()).await.is_err() {
        tracing::warn!(chunks = tasks.len(), "the worker hands back what it could not finish");
        abandon.cancel();
        tasks.wait().await;
    }
}

/// Host, process and start: two processes never share it.
pub fn name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{:x}", host(32), std::process::id(), since.as_millis())
}

/// The machine's name, at most so many characters of it.
fn host(chars_max: usize) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let is_kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    host.unwrap_or_default().chars().filter(is_kept).take(chars_max).collect()
}
