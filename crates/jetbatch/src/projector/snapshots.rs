//! When the fold is written as a snapshot: after so many events or so much time, and when the room stops. The fold goes
//! on meanwhile.
use super::run::Projector;
use crate::{
    log::snapshot::{self, Image, WriteError},
    shared::Shared,
};
use domain::{JobId, foresight::Foresight, usage::Ledger};
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::Store;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long the last one may take when the room is told to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the projector finds again beside the jobs.
#[derive(Deserialize)]
pub struct Notes {
    /// As in [`super::table::JobTable`].
    pub over: u64,
    /// Deleted jobs whose status is to be taken away still.
    pub gone: Vec<JobId>,
    /// None was kept before there was one: it learns from there on.
    #[serde(default)]
    pub foresight: Foresight,
    /// None was kept before there was one: it is folded from the first event.
    #[serde(default)]
    pub usage: Option<Ledger>,
}

/// The same, as it is written.
#[derive(Serialize)]
struct Noted<'a> {
    over: u64,
    gone: Vec<JobId>,
    foresight: &'a Foresight,
    usage: &'a Ledger,
}

pub struct Snapshots {
    store: Store,
    /// 0: none are written.
    events_max: u64,
    every: Duration,
    /// Events that no snapshot holds.
    events: u64,
    at: Instant,
    running: Option<AbortOnDropHandle<Result<(), WriteError>>>,
}

impl Snapshots {
    pub fn new(shared: &Shared) -> Self {
        let config = &shared.config.projector;
        let events_max = if snapshot::are_kept(shared) { config.snapshot_events } else { 0 };
        let (every, at) = (Duration::from_secs(config.snapshot_s), Instant::now());
        Self { store: shared.store.clone(), events_max, every, events: 0, at, running: None }
    }

    pub fn count(&mut self) {
        self.events += 1;
    }

    fn is_due(&self) -> bool {
        let is_time = self.events >= self.events_max || (self.events > 0 && self.at.elapsed() >= self.every);
        self.events_max > 0 && is_time && self.running.is_none()
    }

    /// What could not be written is still to be.
    fn look(&mut self) {
        if self.running.as_ref().is_some_and(AbortOnDropHandle::is_finished)
            && let Some(running) = self.running.take()
            && !matches!(running.now_or_never(), Some(Ok(Ok(()))))
        {
            self.events += 1;
        }
    }

    /// One at a time, and beside the fold.
    fn begin(&mut self, image: Image) {
        (self.events, self.at) = (0, Instant::now());
        let store = self.store.clone();
        self.running = Some(AbortOnDropHandle::new(tokio::spawn(async move { write(&store, image).await })));
    }
}

/// Failing is harmless: the next start reads more of the log.
async fn write(store: &Store, image: Image) -> Result<(), WriteError> {
    let done = snapshot::write(store, image).await;
    done.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "a snapshot is not written"))
}

impl Projector {
    /// Writes a snapshot if one is due.
    pub fn snapshot(&mut self) {
        self.snapshots.look();
        if self.snapshots.is_due() {
            let image = self.image();
            self.snapshots.begin(image);
        }
    }

    /// At the end, of all that was folded.
    pub async fn last_snapshot(mut self) {
        let last = async {
            if let Some(running) = self.snapshots.running.take() {
                self.snapshots.events += u64::from(!matches!(running.await, Ok(Ok(()))));
            }
            if self.snapshots.events > 0 && self.snapshots.events_max > 0 {
                // It tells of its failure itself.
                let _ = write(&self.snapshots.store, self.image()).await;
            }
        };
        if timeout(STOP_MAX, last).await.is_err() {
            tracing::warn!("the projector stops without a snapshot; the next start reads more of the log");
        }
    }

    fn image(&self) -> Image {
        let gone = self.table.iter().filter(|(_, entry)| entry.gone).map(|(job, _)| *job).collect();
        let notes = Noted { over: self.table.over, gone, foresight: &self.foresight, usage: &self.usage };
        self.log.image(wire::envelope::encode(&notes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Tenant, Timestamp, usage::Amounts};
    use wire::envelope::{decode, encode};

    /// As it was written before there was a foresight.
    #[derive(Serialize)]
    struct Before {
        over: u64,
        gone: Vec<JobId>,
        pools: std::collections::BTreeMap<String, u64>,
    }

    #[test]
    fn notes_of_before_are_read() {
        let gone = vec![JobId::keyed("t", "a")];
        let before = Before { over: 3, gone: gone.clone(), pools: [("a".to_owned(), 1)].into() };
        let notes: Notes = decode("note", &encode(&before)).unwrap();
        assert_eq!((notes.over, &notes.gone), (3, &gone));
        assert_eq!(notes.usage, None);
        let (mut usage, one) = (Ledger::default(), Amounts { jobs: 1, ..Amounts::default() });
        usage.note(Tenant::default(), Timestamp::new(1), Amounts::default(), one);
        let noted = Noted { over: notes.over, gone, foresight: &notes.foresight, usage: &usage };
        let read = decode::<Notes>("note", &encode(&noted)).unwrap();
        assert_eq!((read.over, read.usage), (3, Some(usage)));
        assert!(decode::<Notes>("note", b"none").is_err());
    }
}
