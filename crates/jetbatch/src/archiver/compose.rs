//! Puts a job's part files together into its output. Nobody sees a half of it: the store shows a file when it is
//! whole, and the status names it only after the job's end.
use super::{Transient, segment::again};
use crate::{
    clock,
    paths::{self, Kind},
    shared::Shared,
    spans, telemetry,
};
use domain::{
    Event, Job, JobId,
    event::{File, OutputWritten},
};
use std::collections::HashMap;
use tracing::Instrument;
use wire::envelope;

pub async fn compose(shared: &Shared, job: &Job) -> Result<(), Transient> {
    let span = spans::archive(job, None);
    async {
        let parts: HashMap<String, u64> = shared.store.list(&paths::parts(job.id)).await?.into_iter().collect();
        let written = match (chosen(job, Kind::Output, &parts), chosen(job, Kind::Errors, &parts)) {
            (Ok(output), Ok(errors)) => {
                let output = file(shared, job, Kind::Output, output).await?;
                let errors = file(shared, job, Kind::Errors, errors).await?;
                OutputWritten { at: clock::now(), output, errors, losses: job.losses() }
            }
            _ if are_there(shared, job).await? => in_place(job, job.output_bytes, job.error_bytes),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        tell(shared, job.id, written).await
    }
    .instrument(span)
    .await
}

/// What is told of files that lie in their places.
pub fn in_place(job: &Job, output_bytes: u64, error_bytes: u64) -> OutputWritten {
    let file = |kind, bytes| (bytes > 0).then(|| File { path: paths::file(job.id, kind, job.losses()), bytes });
    let (output, errors) = (file(Kind::Output, output_bytes), file(Kind::Errors, error_bytes));
    OutputWritten { at: clock::now(), output, errors, losses: job.losses() }
}

pub async fn tell(shared: &Shared, job: JobId, written: OutputWritten) -> Result<(), Transient> {
    let id = again(format!("{job}:written"), written.losses);
    let message = envelope::event(job, &Event::OutputWritten(written), telemetry::context().as_deref());
    shared.bus.publish(message.id(id)).await?;
    Ok(())
}

/// Whether one segment was all of it and was written in its place, or the fact alone is missing: it was not stored, or the
/// log has lost it since, and the parts are removed.
async fn are_there(shared: &Shared, job: &Job) -> Result<bool, Transient> {
    for (kind, bytes) in [(Kind::Output, job.output_bytes), (Kind::Errors, job.error_bytes)] {
        if bytes > 0 && shared.store.size(&paths::file(job.id, kind, job.losses())).await? != Some(bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn file(shared: &Shared, job: &Job, kind: Kind, parts: Vec<(String, u64)>) -> Result<Option<File>, Transient> {
    if parts.is_empty() {
        return Ok(None);
    }
    let path = paths::file(job.id, kind, job.losses());
    let bytes = shared.store.join(&path, parts).await?;
    Ok(Some(File { path, bytes }))
}

/// A job's part files of one kind, in input order, if all are there. Another archiver may be done, and be removing them: its
/// file must not be replaced by a shorter one.
fn chosen(job: &Job, kind: Kind, parts: &HashMap<String, u64>) -> Result<Vec<(String, u64)>, Transient> {
    let archived = match kind {
        Kind::Output => job.output_bytes,
        Kind::Errors => job.error_bytes,
    };
    let names = (0..job.segments()).map(|segment| paths::part(job.id, segment, kind, job.losses_of(segment)));
    let parts: Vec<_> = names.filter_map(|name| parts.get(&name).map(|bytes| (name, *bytes))).collect();
    let found = parts.iter().map(|(_, bytes)| bytes).sum();
    if found == archived { Ok(parts) } else { Err(Transient::Parts { found, archived }) }
}
