//! What is told of a job's standing against its deadline: when it is at risk, as [`domain::alarm`] has it, and how it ended.
use super::table::Entry;
use crate::log::Folded;
use domain::{
    Timestamp,
    alarm::{Alarm, Reason, Watch},
    eta::{Eta, Sla},
    status::State,
};
use wire::{Message, SlaAlert, Subject};

/// An end that was not projected within this time is history and not news: after a lost bucket, every job's end comes
/// by once more.
const NEWS_MS: u64 = 600_000;

/// Whether a standing at its end is to be told after `alerted`. Only a step on is.
pub const fn is_news(alerted: Option<Sla>, sla: Sla) -> bool {
    let before = match alerted {
        Some(alerted) => rank(alerted),
        None => 0,
    };
    rank(sla) > before
}

/// What is told of it.
pub const fn end(sla: Sla) -> Option<Alarm> {
    match sla {
        Sla::Missed => Some(Alarm::Missed),
        Sla::Met => Some(Alarm::Met),
        Sla::OnTrack | Sla::AtRisk | Sla::Stalled => None,
    }
}

/// Whether an end at `ended` may still be told.
pub const fn is_recent(ended: Option<Timestamp>, now: Timestamp) -> bool {
    match ended {
        Some(ended) => now.since(ended) < NEWS_MS,
        None => true,
    }
}

/// Whether its deadline is still to be kept.
pub const fn is_open(state: State) -> bool {
    match state {
        State::Validating | State::InProgress | State::Paused | State::Finalizing => true,
        State::Failed | State::Completed | State::Expired | State::Cancelling | State::Cancelled => false,
    }
}

const fn rank(sla: Sla) -> u8 {
    match sla {
        // A trouble has alerts of its own, and so has a risk.
        Sla::OnTrack | Sla::Stalled | Sla::AtRisk => 0,
        Sla::Missed => 1,
        Sla::Met => 2,
    }
}

/// An alert, but for the job.
pub struct Told {
    alarm: Alarm,
    reason: Option<Reason>,
    eta: Option<Eta>,
    at: Timestamp,
}

impl Told {
    /// Of its end, or of its deadline that has passed.
    pub fn end(alarm: Alarm, entry: &Entry, at: Timestamp) -> Self {
        let reason = entry.watch.risk().filter(|_| alarm == Alarm::Missed).map(|risk| risk.reason.clone());
        Self { alarm, reason, eta: entry.eta, at }
    }

    /// Of its alarm, raised or lowered: `before` says what it had been raised for.
    pub fn risk(alarm: Alarm, entry: &Entry, before: &Watch, at: Timestamp) -> Self {
        let risk = entry.watch.risk().or(before.risk());
        Self { alarm, reason: risk.map(|risk| risk.reason.clone()), eta: entry.eta, at }
    }

    const fn sla(&self) -> Sla {
        match self.alarm {
            Alarm::AtRisk | Alarm::Certain => Sla::AtRisk,
            Alarm::Recovered => Sla::OnTrack,
            Alarm::Missed => Sla::Missed,
            Alarm::Met => Sla::Met,
        }
    }

    /// The id makes it one alert per job and end, however often a projector starts; a job is at risk more than once.
    fn id(&self, folded: &Folded) -> String {
        let (job, word) = (folded.job.id, self.alarm.as_str());
        match self.alarm {
            Alarm::Missed | Alarm::Met => format!("{job}:{word}"),
            Alarm::AtRisk | Alarm::Certain | Alarm::Recovered => format!("{job}:{word}:{}", self.at.get()),
        }
    }

    pub fn message(&self, folded: &Folded) -> Message {
        let job = &folded.job;
        let alert = SlaAlert {
            job: job.id,
            tenant: job.submitted.tenant,
            at: self.at,
            sla: self.sla(),
            deadline: job.deadline,
            eta: self.eta,
            remaining: job.remaining(),
            alarm: Some(self.alarm),
            reason: self.reason.clone(),
            why: self.why(),
        };
        let payload = serde_json::to_vec(&alert).expect("an alert is plain JSON");
        let message = Message::new(Subject::SlaAlert(job.id), payload).id(self.id(folded));
        wire::trace::put(message, job.submitted.trace.as_deref())
    }

    fn why(&self) -> Option<String> {
        self.reason.as_ref().map(Reason::words)
    }

    pub fn log(&self, folded: &Folded) {
        let (job, remaining) = (folded.job.id, folded.job.remaining());
        let deadline_ms = folded.job.deadline.get();
        let p90_ms = self.eta.map(|eta| eta.p90.get());
        let (why, sla) = (self.why().unwrap_or_default(), self.sla().as_str());
        match self.alarm {
            Alarm::Met => tracing::info!(%job, deadline_ms, sla, "the job met its deadline"),
            Alarm::Recovered => {
                tracing::info!(%job, deadline_ms, p90_ms, remaining, sla, "the job will meet its deadline")
            }
            Alarm::AtRisk => {
                tracing::warn!(%job, deadline_ms, p90_ms, remaining, sla, why, "the job may miss its deadline");
            }
            Alarm::Certain => {
                tracing::warn!(%job, deadline_ms, p90_ms, remaining, sla, why, "the job will miss its deadline");
            }
            Alarm::Missed => tracing::warn!(%job, deadline_ms, remaining, sla, why, "the job missed its deadline"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_on_are_told() {
        for (alerted, sla, want) in [
            (None, Sla::OnTrack, false),
            (None, Sla::AtRisk, false),
            (None, Sla::Met, true),
            (Some(Sla::AtRisk), Sla::OnTrack, false),
            (Some(Sla::AtRisk), Sla::Missed, true),
            (Some(Sla::Missed), Sla::Missed, false),
            (Some(Sla::Met), Sla::Met, false),
        ] {
            assert_eq!(is_news(alerted, sla), want, "{alerted:?} -> {sla:?}");
            assert!(!want || end(sla).is_some(), "{sla:?}");
        }
    }
}
