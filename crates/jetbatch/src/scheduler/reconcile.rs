//! What WORK holds against what the log owes.
use super::{Error, Scheduler, Transient};
use crate::shared::Shared;
use domain::schedule::{Held, Now};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::{Filter, Subject, stream};

/// The longest wait for events that were stored already.
const FOLD_WAIT: Duration = Duration::from_secs(2);

struct Look {
    held: Held,
    /// The last event that was stored by then.
    until: u64,
}

async fn look(shared: &Shared, now: Now) -> Result<Look, Transient> {
    let subjects = shared.bus.subjects(stream::WORK, &Filter::Work).await?;
    let until = shared.bus.last_seq(stream::EVENTS).await?;
    let chunks = subjects.keys().filter_map(|subject| match subject.parse() {
        Ok(Subject::Work { pool, job, chunk }) => Some(((job, chunk), pool)),
        _ => None,
    });
    let held = Held { chunks: chunks.collect(), at: now.at, looked: now.moment };
    Ok(Look { held, until })
}

impl Scheduler {
    pub(super) async fn reconcile_now(&mut self) -> Result<(), Error> {
        match look(&self.shared, self.now()).await {
            Ok(look) => {
                // A worker stores the fact before it acks: what is not in WORK and has no fact by `until` is lost.
                if self.fold_up_to(look.until).await? {
                    self.settle(&look.held);
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "WORK could not be looked at"),
        }
        Ok(())
    }

    /// Whether all events up to `until` are folded. The stream's last events may have been removed from it: then the
    /// reader is caught up without having seen them.
    async fn fold_up_to(&mut self, until: u64) -> Result<bool, Error> {
        let limit = Instant::now() + FOLD_WAIT;
        while self.log.seq() < until {
            match timeout_at(limit, self.log.next()).await {
                Ok(change) => self.note(&*change?),
                Err(_) => return Ok(self.log.caught_up()),
            }
        }
        Ok(true)
    }

    fn settle(&mut self, held: &Held) {
        let seen = self.core.reconcile(&self.log, held);
        if seen.lost > 0 {
            tracing::warn!(chunks = seen.lost, "WORK has lost chunks; they are sent again");
        }
        for (pool, chunks) in seen.found {
            tracing::info!(%pool, chunks, "WORK holds chunks sent before");
        }
    }
}
