//! Puts a job's part files together into its output. Nobody sees a half of it: the store shows a file when it is
//! whole, and the status names it only after the job's end.
use super::Transient;
use crate::{
    clock,
    shared::Shared,
    spans,
    store::{Kind, paths},
    telemetry,
};
use domain::{
    Event, Job,
    event::{File, OutputWritten},
};
use futures::{StreamExt, pin_mut};
use std::collections::HashMap;
use tracing::Instrument;
use wire::envelope;

pub async fn compose(shared: &Shared, job: &Job) -> Result<(), Transient> {
    let span = spans::archive(job, None);
    async {
        let parts: HashMap<String, u64> = shared.store.list(&paths::parts(job.id)).await?.into_iter().collect();
        let output = file(shared, job, Kind::Output, &parts).await?;
        let errors = file(shared, job, Kind::Errors, &parts).await?;
        let written = OutputWritten { at: clock::now(), output, errors };
        let message = envelope::event(job.id, &Event::OutputWritten(written), telemetry::context().as_deref());
        shared.bus.publish(message.id(format!("{}:written", job.id))).await?;
        Ok(())
    }
    .instrument(span)
    .await
}

async fn file(shared: &Shared, job: &Job, kind: Kind, parts: &HashMap<String, u64>) -> Result<Option<File>, Transient> {
    let archived = match kind {
        Kind::Output => job.output_bytes,
        Kind::Errors => job.error_bytes,
    };
    let parts = chosen(job, kind, parts);
    let found = parts.iter().map(|(_, bytes)| bytes).sum();
    // Another archiver may be done, and be removing the parts: its file must not be replaced by a shorter one.
    if found != archived {
        return Err(Transient::Parts { found, archived });
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let path = paths::file(job.id, kind);
    let mut writer = shared.store.writer(&path).await?;
    for (part, bytes) in parts {
        let blocks = shared.store.stream(part, 0..bytes);
        pin_mut!(blocks);
        while let Some(block) = blocks.next().await {
            writer.write(block?).await?;
        }
    }
    match writer.bytes() {
        found if found == archived => Ok(Some(File { path, bytes: writer.finish().await? })),
        found => Err(Transient::Parts { found, archived }),
    }
}

/// A job's part files of one kind that are there, in input order.
fn chosen(job: &Job, kind: Kind, parts: &HashMap<String, u64>) -> Vec<(String, u64)> {
    let names = (0..job.segments()).map(|segment| paths::part(job.id, segment, kind));
    names.filter_map(|name| parts.get(&name).map(|bytes| (name, *bytes))).collect()
}
