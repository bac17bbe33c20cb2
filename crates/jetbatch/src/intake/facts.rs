//! What validation finds, as facts of the log.
use super::accept::Error;
use crate::{
    bus::Window,
    input::{self, Plans, Source, Terms, Verdict},
    shared::Shared,
};
use domain::{
    Event, JobId,
    event::{SegmentPlan, Submitted},
};
use wire::envelope;

/// Segment facts on their way at a time.
const WINDOW: usize = 64;

struct Facts {
    job: JobId,
    window: Window,
}

impl Plans for Facts {
    async fn take(&mut self, plan: SegmentPlan) -> Result<(), input::Error> {
        let key = format!("{}:plan:{}", self.job, plan.segment);
        let message = envelope::event(self.job, &Event::SegmentPlanned(plan), None).id(key);
        Ok(self.window.push(message).await?)
    }

    async fn flush(&mut self) -> Result<(), input::Error> {
        Ok(self.window.flush().await?)
    }
}

pub async fn validate(shared: &Shared, job: JobId, submitted: &Submitted, source: Source) -> Result<Verdict, Error> {
    let mut facts = Facts { job, window: shared.bus.window(WINDOW) };
    let verdict = input::validate(shared, &Terms::from(submitted), source, &mut facts).await?;
    match &verdict {
        Verdict::Good { requests, .. } => shared.metrics.intake(*requests, 0),
        Verdict::Bad { requests, total, .. } => shared.metrics.intake(*requests, *total),
    }
    Ok(verdict)
}
