//! Results that nobody is told of: a worker that slept through the end of its job stores its result into a place that
//! was cleared, and its fact is a repetition that the log drops. So RESULTS itself is looked at, now and then.
use super::clean;
use crate::{bus::ReadError, shared::Shared};
use domain::JobId;
use std::{collections::BTreeSet, time::Duration};
use tokio_util::task::AbortOnDropHandle;
use wire::{Filter, Subject, envelope, stream};

/// Longer than a sleeper usually sleeps, and short against the time that fills a stream.
const EVERY: Duration = Duration::from_secs(60);

/// Looks until it is dropped.
pub fn watch(shared: Shared) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = sweep(&shared).await {
                tracing::debug!(%error, "RESULTS could not be looked through");
            }
        }
    }))
}

/// Removes what jobs that have ended hold in RESULTS.
async fn sweep(shared: &Shared) -> Result<(), ReadError> {
    let subjects = shared.bus.subjects(stream::RESULTS, &Filter::All.to_string()).await?;
    let jobs: BTreeSet<JobId> = subjects.keys().filter_map(|subject| owner(subject)).collect();
    for job in jobs {
        if has_ended(shared, job).await? {
            tracing::debug!(%job, "results came after the job's end");
            clean::job(shared, job).await;
        }
    }
    Ok(())
}

fn owner(subject: &str) -> Option<JobId> {
    match subject.parse() {
        Ok(Subject::Result { job, .. } | Subject::ResultPart { job, .. } | Subject::InputPart { job, .. }) => Some(job),
        Ok(_) | Err(_) => None,
    }
}

/// The stream's leader says so, for a fold may be behind and a result that is needed must stay.
async fn has_ended(shared: &Shared, job: JobId) -> Result<bool, ReadError> {
    let last = shared.bus.last(stream::EVENTS, &Subject::JobEvent(job).to_string()).await?;
    let name = last.as_ref().and_then(|raw| raw.header(envelope::TYPE));
    Ok(matches!(name, Some("JobEnded" | "JobRejected" | "JobDeleted")))
}
