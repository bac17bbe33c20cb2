//! Puts a job's part files together into its output. Nobody sees a half of it: the store shows a file when it is
//! whole, and the status names it only after the job's end.
use super::Passing;
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

pub async fn compose(shared: &Shared, job: &Job) -> Result<(), Passing> {
    let span = spans::archive(job, None);
    async {
        let parts: HashMap<String, u64> = shared.store.list(&paths::parts(job.id)).await?.into_iter().collect();
        let output = file(shared, job, Kind::Output, &parts, job.output_bytes).await?;
        let errors = file(shared, job, Kind::Errors, &parts, job.error_bytes).await?;
        let written = OutputWritten { at: clock::now(), output, errors };
        let message = envelope::event(job.id, &Event::OutputWritten(written), telemetry::traceparent().as_deref());
        shared.bus.publish(message.id(format!("{}:written", job.id))).await?;
        Ok(())
    }
    .instrument(span)
    .await
}

/// `bytes` is what the log says the parts hold together: another archiver that is ahead may be removing them by now.
async fn file(
    shared: &Shared,
    job: &Job,
    kind: Kind,
    parts: &HashMap<String, u64>,
    bytes: u64,
) -> Result<Option<File>, Passing> {
    let path = paths::file(job.id, kind);
    let held: u64 = (0..job.segments()).filter_map(|segment| parts.get(&paths::part(job.id, segment, kind))).sum();
    if held != bytes {
        return Err(Passing::Parts { job: job.id, held, bytes });
    }
    let mut writer = None;
    for segment in 0..job.segments() {
        let part = paths::part(job.id, segment, kind);
        let Some(&bytes) = parts.get(&part) else { continue };
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(shared.store.writer(&path).await?),
        };
        let blocks = shared.store.stream(part, 0..bytes);
        pin_mut!(blocks);
        while let Some(block) = blocks.next().await {
            writer.write(block?).await?;
        }
    }
    match writer {
        Some(writer) => Ok(Some(File { path, bytes: writer.finish().await? })),
        None => Ok(None),
    }
}
