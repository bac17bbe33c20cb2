//! Intake: takes submissions off SUBMIT, begins their jobs at once, validates the inputs in their turn, once while they
//! stream by, and appends what it found as facts. It owns a job's events until `JobPlanned` or `JobRejected`; it never
//! runs or sends work.
mod accept;
mod facts;
mod held;
mod plan;

use crate::{
    bus::{Delivery, PullError},
    shared::Shared,
};
use accept::Ticket;
use domain::queue::{Place, Queue};
use futures::FutureExt;
use held::Held;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::{
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::stream;

const CONSUMER: &str = "intake";
/// The longest wait of one pull.
const WAIT: Duration = Duration::from_secs(20);
/// Submissions of one pull, all begun at once.
const PULL_MAX: usize = 256;
const PULL_BYTES: usize = 4 << 20;
/// Small inputs validated at once, beside those of `jobs_at_once`. They wait for NATS and for the disk, each for itself.
const SMALL_AT_ONCE: usize = 32;
/// Before a submission that could not be handled comes again.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("intake cannot pull submissions")]
    Pull(#[from] PullError),
}

pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let mut puller = shared.bus.puller(stream::SUBMIT, CONSUMER).await?;
    let mut beat = interval(Duration::from_secs(shared.config.nats.ack_wait_s.max(3)) / 3);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut intake = Intake::new(shared);
    loop {
        intake.validate();
        let room = intake.held.room().min(PULL_MAX);
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beat.tick() => intake.held.beat().await,
            Some(done) = intake.tasks.join_next() => intake.note(done),
            pulled = puller.fetch(room, PULL_BYTES, WAIT), if room > 0 => pulled?.into_iter().for_each(|d| intake.take(d)),
        }
    }
    intake.tasks.shutdown().await;
    intake.held.give_back().await;
    Ok(())
}

/// What a task came to.
enum Done {
    Begun(Result<Option<Box<Ticket>>, accept::Error>),
    Validated(Place, Result<(), accept::Error>),
}

struct Intake {
    shared: Shared,
    held: Held,
    queue: Queue<Box<Ticket>>,
    tasks: JoinSet<Option<(u64, Done)>>,
}

impl Intake {
    fn new(shared: Shared) -> Self {
        let queue = Queue::new(shared.config.intake.jobs_at_once.max(1), SMALL_AT_ONCE);
        Self { shared, held: Held::default(), queue, tasks: JoinSet::new() }
    }

    fn take(&mut self, delivery: Delivery) {
        let (seq, shared) = (delivery.seq, self.shared.clone());
        let Some(delivery) = self.held.add(delivery) else { return };
        let work = async move { accept::submission(&shared, &delivery).await.map(|begun| begun.map(Box::new)) };
        self.tasks.spawn(async move { Some((seq, Done::Begun(whole(work).await))) });
    }

    fn validate(&mut self) {
        while let Some((place, ticket)) = self.queue.begin() {
            let (seq, shared, span) = (ticket.seq, self.shared.clone(), ticket.span.clone());
            let work = async move { plan::run(&shared, *ticket).await };
            self.tasks.spawn(async move { Some((seq, Done::Validated(place, whole(work.instrument(span)).await))) });
        }
    }

    fn note(&mut self, done: Result<Option<(u64, Done)>, JoinError>) {
        let Ok(Some((seq, done))) = done else { return };
        match done {
            Done::Begun(Ok(Some(ticket))) => self.queue.push(ticket.turn(), ticket.size, ticket),
            Done::Begun(Ok(None)) => self.answer(seq, Ok(())),
            Done::Begun(Err(error)) => self.answer(seq, Err(error)),
            Done::Validated(place, result) => {
                self.queue.free(place);
                self.answer(seq, result);
            }
        }
    }

    /// Facts first, then the ack: a crash in between brings the submission again, and its facts deduplicate.
    fn answer(&mut self, seq: u64, result: Result<(), accept::Error>) {
        let Some(delivery) = self.held.remove(seq) else { return };
        self.tasks.spawn(async move {
            answer(delivery, result).await;
            None
        });
    }
}

/// A panic is one submission's, and its place is given back.
async fn whole<T>(work: impl Future<Output = Result<T, accept::Error>>) -> Result<T, accept::Error> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(accept::Error::Panicked))
}

async fn answer(delivery: Delivery, result: Result<(), accept::Error>) {
    let answered = match result {
        Ok(()) => delivery.ack().await,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a submission could not be handled; it is tried again"
            );
            delivery.nak(Some(AGAIN)).await
        }
    };
    if let Err(error) = answered {
        tracing::warn!(%error, "a submission was not acknowledged; it comes again and is recognised");
    }
}
