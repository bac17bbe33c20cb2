//! EVENTS -> `status`: the one writer of what readers see of a job. A lease makes it one; should there be two for a
//! moment, each write is compared and set, and no status goes back to an older one.
//!
//! It folds the log, from a snapshot or from the start, and keeps, for every job, one value in the bucket: the folded status with the
//! sequence of the last event in it, and the part that depends on the clock (rates, ETA, standing against the
//! deadline). A crash loses nothing: the next start folds again and writes what differs. It never writes an event, and
//! never reads the bucket to decide anything but whether a write can be spared.
mod alert;

mod compare;
mod deleted;
mod health;
mod pace;
mod quotes;
mod rebuild;
mod refresh;
mod repair;
mod resume;
mod run;
mod snapshots;
mod stalls;
mod stored;
mod table;
mod writer;
mod writes;

use crate::{
    bus::{ApplyError, PublishError, ReadError},
    log::LogError,
    shared::Shared,
};
use domain::JobId;
use std::time::Duration;
use table::JobTable;
use tokio_util::sync::CancellationToken;

pub use compare::{Comparison, Difference, compare};
pub use rebuild::rebuild;

/// Before the room begins anew after a fault that may pass.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the bucket 'status' holds job {job} as of event {seq}, but the log ends at {last}: EVENTS was lost or made \
         anew. Restore it, or delete the bucket to begin again from this log"
    )]
    LogLost { job: JobId, seq: u64, last: u64 },
    #[error("EVENTS was made anew while it was read. Start again once it holds the right log")]
    LogReplaced,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the bucket 'status' cannot be read")]
    Read(#[from] ReadError),
    #[error("the bucket 'status' cannot be written")]
    Write(#[from] PublishError),
    #[error("too many others write the status of job {job} at once")]
    Contended { job: JobId },
    #[error("the bucket 'status' cannot be made")]
    Apply(#[from] ApplyError),
}

impl Error {
    /// Whether trying again, or waiting, cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::LogLost { .. } | Self::LogReplaced => true,
            Self::Log(error) => error.is_final(),
            Self::Read(ReadError::NoStream { stream }) => stream == wire::stream::EVENTS.as_str(),
            Self::Read(_) | Self::Write(_) | Self::Apply(_) | Self::Contended { .. } => false,
        }
    }
}

/// Projects until it is stopped. A fault that may pass begins the fold anew; only a log that is lost, or one that this
/// version cannot read, ends it.
pub async fn run(shared: Shared, stop: CancellationToken) -> Result<(), Error> {
    let ended = project(&shared, &stop).await;
    // Whoever projects next shows them.
    JobTable::default().show(&shared.metrics);
    shared.metrics.stalled(0);
    shared.metrics.needed(&[]);
    shared.troubles.found(Vec::new());
    ended
}

async fn project(shared: &Shared, stop: &CancellationToken) -> Result<(), Error> {
    loop {
        match run::project(shared, stop).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the projector begins anew"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
