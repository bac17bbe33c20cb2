//! What is told of a job's standing against its deadline.
use crate::log::Folded;
use domain::{
    Millis,
    eta::{Eta, Sla},
};
use wire::{Message, SlaAlert, Subject};

/// An end that was not projected within this time is history and not news: after a lost bucket, every job's end comes
/// by once more.
const NEWS_MS: u64 = 600_000;

/// Whether a standing is to be told after `alerted`. Only a step on is: an estimate near the deadline goes back and forth.
pub const fn is_news(alerted: Option<Sla>, sla: Sla) -> bool {
    let before = match alerted {
        Some(alerted) => rank(alerted),
        None => rank(Sla::OnTrack),
    };
    rank(sla) > before
}

/// Whether an end at `ended` may still be told.
pub const fn is_recent(ended: Option<Millis>, now: Millis) -> bool {
    match ended {
        Some(ended) => now.since(ended) < NEWS_MS,
        None => true,
    }
}

const fn rank(sla: Sla) -> u8 {
    match sla {
        Sla::OnTrack => 0,
        Sla::AtRisk => 1,
        Sla::Missed => 2,
        Sla::Met => 3,
    }
}

/// The id makes it one alert per job and standing, however often a projector starts.
pub fn message(folded: &Folded, sla: Sla, eta: Option<Eta>, at: Millis) -> Message {
    let job = &folded.job;
    let deadline = job.deadline;
    let alert = SlaAlert { job: job.id, at, sla, deadline, eta, remaining: job.remaining() };
    let payload = serde_json::to_vec(&alert).expect("an alert is plain JSON");
    let message = Message::new(Subject::SlaAlert(job.id), payload).id(format!("{}:{}", job.id, sla.as_str()));
    wire::trace::put(message, job.submitted.trace.as_deref())
}

pub fn log(folded: &Folded, sla: Sla, eta: Option<Eta>) {
    let (job, remaining) = (folded.job.id, folded.job.remaining());
    let deadline_ms = folded.job.deadline.get();
    let p90_ms = eta.map(|eta| eta.p90.get());
    match sla {
        Sla::OnTrack | Sla::Met => tracing::info!(%job, deadline_ms, sla = sla.as_str(), "the job met its deadline"),
        Sla::AtRisk => {
            tracing::warn!(%job, deadline_ms, p90_ms, remaining, sla = sla.as_str(), "the job may miss its deadline");
        }
        Sla::Missed => tracing::warn!(%job, deadline_ms, remaining, sla = sla.as_str(), "the job missed its deadline"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_on_are_told() {
        for (alerted, sla, want) in [
            (None, Sla::OnTrack, false),
            (None, Sla::AtRisk, true),
            (None, Sla::Met, true),
            (Some(Sla::AtRisk), Sla::OnTrack, false),
            (Some(Sla::AtRisk), Sla::AtRisk, false),
            (Some(Sla::AtRisk), Sla::Missed, true),
            (Some(Sla::Missed), Sla::Missed, false),
            (Some(Sla::Met), Sla::Met, false),
        ] {
            assert_eq!(is_news(alerted, sla), want, "{alerted:?} -> {sla:?}");
        }
    }
}
