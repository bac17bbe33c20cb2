//! What a reader sees of a job: one value, the same for everyone who folds the same events.
use crate::{
    Job, JobId, Tenant, Timestamp,
    alarm::Risk,
    eta::{Eta, Sla},
    event::{File, Input, LineError, Outcome, Planned, Priority, Remains, Submitted, Usage, is_zero},
    foresight::Why,
    job::Phase,
    pack::Packing,
    retry::Policies,
    trouble::Trouble,
    warning::Warning,
    webhook,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{EnumString, IntoStaticStr, VariantArray};

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum State {
    Validating,
    /// The input did not validate.
    Failed,
    InProgress,
    Paused,
    /// Every request has its answer (or the deadline has passed); the files are being written.
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

impl State {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    pub fn of(job: &Job) -> Self {
        match &job.phase {
            Phase::Validating => Self::Validating,
            Phase::Rejected(_) => Self::Failed,
            Phase::Running if job.remaining() == 0 => Self::Finalizing,
            Phase::Running if job.paused => Self::Paused,
            Phase::Running => Self::InProgress,
            Phase::Closing(_) if job.is_cancelled() => Self::Cancelling,
            Phase::Closing(_) => Self::Finalizing,
            Phase::Ended(ended) => match ended.outcome {
                Outcome::Completed => Self::Completed,
                Outcome::Expired => Self::Expired,
                Outcome::Cancelled => Self::Cancelled,
            },
        }
    }
}

/// total = completed + failed + unanswered + remaining, in every state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Counts {
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
    /// Left without an answer when the job expired or was cancelled; each has its error line.
    pub unanswered: u64,
    pub remaining: u64,
}

/// The folded part of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub id: JobId,
    /// Whose job it is.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    pub state: State,
    pub fingerprint: String,
    pub model: Option<String>,
    pub endpoint: Option<String>,
    pub priority: Priority,
    pub metadata: BTreeMap<String, String>,
    pub requests: Counts,
    pub usage: Usage,
    pub attempts: u64,
    pub retries: u64,
    pub submitted_at: Timestamp,
    pub validated_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub closing_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub deadline: Timestamp,
    pub segments: u32,
    /// Segments below it are archived: their lines can be read in input order.
    pub archived_prefix: u32,
    pub errors: Vec<LineError>,
    pub errors_total: u64,
    /// Chunks whose results were lost, and ran again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
    /// Requests that will be answered with an error, by kind, as validation found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    pub output: Option<File>,
    pub error_file: Option<File>,
    /// Why it ended without its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub trace: Option<String>,
    /// The host of the URL that it names for its webhooks, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_host: Option<String>,
}

/// The part that depends on the clock and on what else runs. It is no part of the fold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Answers a second, over the job's run so far.
    pub requests_per_s: Option<f64>,
    /// Completion tokens a second, over the job's run so far.
    pub tokens_per_s: Option<f64>,
    pub eta: Option<Eta>,
    /// Why the estimate moved when it last did by more than a fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_moved: Option<Why>,
    pub sla: Option<Sla>,
    /// That it will miss its deadline, if that is to be feared, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Box<Risk>>,
    /// What it waits for, where it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Box<Trouble>>,
}

impl Status {
    pub fn of(job: &Job) -> Self {
        let submitted = &job.submitted;
        let (errors, errors_total) = match &job.phase {
            Phase::Rejected(rejected) => (rejected.errors.clone(), rejected.errors_total),
            Phase::Validating | Phase::Running | Phase::Closing(_) | Phase::Ended(_) => (Vec::new(), 0),
        };
        let state = State::of(job);
        let times = Times::of(job);
        let written = job.written.as_ref().filter(|_| state.is_terminal());
        Self {
            id: job.id,
            tenant: submitted.tenant,
            state,
            fingerprint: submitted.fingerprint.clone(),
            model: submitted.model.clone(),
            endpoint: submitted.endpoint.clone(),
            priority: job.priority,
            metadata: submitted.metadata.clone(),
            requests: counts(job),
            usage: job.tally.usage,
            attempts: job.attempts,
            retries: job.retries,
            submitted_at: submitted.at,
            validated_at: times.validated,
            started_at: times.started,
            closing_at: times.closing,
            ended_at: times.ended,
            deadline: job.deadline,
            segments: job.segments(),
            archived_prefix: job.archived_prefix,
            errors,
            errors_total,
            losses: job.losses(),
            warnings: job.planned.as_ref().map(|planned| planned.warnings.clone()).unwrap_or_default(),
            output: written.and_then(|w| w.output.clone()),
            error_file: written.and_then(|w| w.errors.clone()),
            reason: reason(job).map(str::to_owned),
            trace: submitted.trace.clone(),
            webhook_host: submitted.webhook_url.as_deref().map(webhook::shown),
        }
    }

    /// What is left of a job whose events are gone. How it was to be cut and retried is of no use any more.
    pub fn remains(&self) -> Remains {
        let submitted = Submitted {
            at: self.submitted_at,
            fingerprint: self.fingerprint.clone(),
            input: Input::Inline,
            model: self.model.clone(),
            endpoint: self.endpoint.clone(),
            window_ms: self.deadline.since(self.submitted_at),
            metadata: self.metadata.clone(),
            priority: self.priority,
            trace: self.trace.clone(),
            packing: Packing::default(),
            policies: Policies::default(),
            strict: false,
            tenant: self.tenant,
            pools: Vec::new(),
            webhook_url: None,
        };
        let (requests, warnings) = (self.requests.total, self.warnings.clone());
        let planned = |at| Planned { at, input: String::new(), requests, segments: 0, bytes: 0, warnings };
        Remains { submitted, planned: self.validated_at.map(planned), usage: self.usage }
    }
}

/// What is known of a job beside its events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outlook<'a> {
    pub eta: Option<Eta>,
    pub moved: Option<Why>,
    pub risk: Option<&'a Risk>,
    pub stalled: Option<&'a Trouble>,
}

impl Live {
    /// The rates over the run, and how an ended job stands against its deadline. Cheap: no status is built for it.
    pub fn of(job: &Job, now: Timestamp, outlook: Outlook<'_>) -> Self {
        let Outlook { eta, moved, risk, stalled } = outlook;
        let (state, times, tally) = (State::of(job), Times::of(job), &job.tally);
        let until = times.ended.unwrap_or(now);
        let seconds = times.started.map(|from| until.since(from) as f64 / 1_000.0).filter(|s| *s > 0.0);
        let stalled = stalled.filter(|_| !state.is_terminal() && state != State::Paused);
        let eta = eta.filter(|_| !state.is_terminal() && stalled.is_none());
        let risk = risk.filter(|_| times.ended.is_none());
        let sla = sla(state, times.ended, job.deadline, now, eta, risk);
        let is_open = matches!(sla, Some(Sla::OnTrack | Sla::AtRisk));
        Self {
            requests_per_s: seconds.map(|s| (tally.completed + tally.failed) as f64 / s),
            tokens_per_s: seconds.map(|s| tally.usage.completion as f64 / s),
            eta,
            eta_moved: moved.filter(|_| eta.is_some()),
            risk: risk.filter(|_| sla.is_some()).cloned().map(Box::new),
            sla: if is_open && stalled.is_some() { Some(Sla::Stalled) } else { sla },
            stalled: stalled.cloned().map(Box::new),
        }
    }
}

fn sla(
    state: State,
    ended: Option<Timestamp>,
    deadline: Timestamp,
    now: Timestamp,
    eta: Option<Eta>,
    risk: Option<&Risk>,
) -> Option<Sla> {
    match (state, ended) {
        (State::Completed, Some(at)) if at <= deadline => Some(Sla::Met),
        (State::Completed | State::Expired, _) => Some(Sla::Missed),
        (State::Failed | State::Cancelling | State::Cancelled, _) => None,
        (State::Validating | State::InProgress | State::Paused | State::Finalizing, _) => {
            // A risk that was told of lasts until it is over for some time.
            match crate::eta::sla(now, deadline, eta) {
                Sla::OnTrack if risk.is_some() => Some(Sla::AtRisk),
                sla => Some(sla),
            }
        }
    }
}

/// When a job came how far. Clocks are set back, and a worker's may be another than the head's: none of these is
/// before what it follows.
struct Times {
    validated: Option<Timestamp>,
    started: Option<Timestamp>,
    closing: Option<Timestamp>,
    ended: Option<Timestamp>,
}

impl Times {
    fn of(job: &Job) -> Self {
        let validated = job.planned.as_ref().map(|planned| planned.at.max(job.submitted.at));
        let from = validated.unwrap_or(job.submitted.at);
        let closing = closing_at(job).map(|at| at.max(from));
        let ended = end(job).map(|at| at.max(from));
        let started = job.started.map(|at| at.clamp(from, ended.unwrap_or(at.max(from))));
        Self { validated, started, closing, ended }
    }
}

fn counts(job: &Job) -> Counts {
    let tally = &job.tally;
    Counts {
        total: job.total(),
        completed: tally.completed,
        failed: tally.failed,
        unanswered: tally.unanswered,
        remaining: job.remaining(),
    }
}

const fn closing_at(job: &Job) -> Option<Timestamp> {
    match &job.phase {
        Phase::Closing(closing) => Some(closing.at),
        Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => None,
    }
}

/// When a job ended, as a status tells it.
pub fn ended_at(job: &Job) -> Option<Timestamp> {
    Times::of(job).ended
}

fn reason(job: &Job) -> Option<&'static str> {
    match &job.phase {
        Phase::Ended(ended) => ended.abandoned.as_ref().map(|abandoned| abandoned.reason()),
        Phase::Validating | Phase::Running | Phase::Closing(_) | Phase::Rejected(_) => None,
    }
}

const fn end(job: &Job) -> Option<Timestamp> {
    match &job.phase {
        Phase::Rejected(rejected) => Some(rejected.at),
        Phase::Ended(ended) => Some(ended.at),
        Phase::Validating | Phase::Running | Phase::Closing(_) => None,
    }
}
