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
    foresight::Asked,
};
use wire::envelope;

/// Segment facts on their way at a time.
const WINDOW: usize = 64;

struct Facts {
    job: JobId,
    window: Window,
    asked: Asked,
}

impl Plans for Facts {
    async fn take(&mut self, plan: SegmentPlan) -> Result<(), input::Error> {
        self.asked.take(&plan);
        let key = format!("{}:plan:{}", self.job, plan.segment);
        let message = envelope::event(self.job, &Event::SegmentPlanned(plan), None).id(key);
        Ok(self.window.push(message).await?)
    }

    async fn flush(&mut self) -> Result<(), input::Error> {
        Ok(self.window.flush().await?)
    }
}

/// The verdict, and what a forecast is to be asked of the input.
pub async fn validate(
    shared: &Shared,
    job: JobId,
    submitted: &Submitted,
    source: Source,
) -> Result<(Verdict, Asked), Error> {
    let asked = Asked::new(submitted.priority, submitted.window_ms).of(submitted.tenant);
    let mut facts = Facts { job, window: shared.bus.window(WINDOW), asked };
    let verdict = input::validate(shared, &Terms::from(submitted), source, &mut facts).await?;
    match &verdict {
        Verdict::Good { requests, .. } => shared.metrics.intake(*requests, 0),
        Verdict::Bad { requests, total, .. } => shared.metrics.intake(*requests, *total),
    }
    Ok((verdict, facts.asked))
}
