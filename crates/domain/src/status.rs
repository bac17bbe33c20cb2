//! What a reader sees of a job: one value, the same for everyone who folds the same events.
use crate::{
    Job, JobId, Millis,
    eta::{Eta, Sla},
    event::{Cause, File, LineError, Outcome, Priority, Usage},
    job::Phase,
    warning::Warning,
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
            Phase::Closing(closing) => match closing.cause {
                Cause::Expired => Self::Finalizing,
                Cause::Cancelled => Self::Cancelling,
            },
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
    pub submitted_at: Millis,
    pub validated_at: Option<Millis>,
    pub started_at: Option<Millis>,
    pub closing_at: Option<Millis>,
    pub ended_at: Option<Millis>,
    pub deadline: Millis,
    pub segments: u32,
    /// Segments below it are archived: their lines can be read in input order.
    pub archived_prefix: u32,
    pub errors: Vec<LineError>,
    pub errors_total: u64,
    /// Requests that will be answered with an error, by kind, as validation found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    pub output: Option<File>,
    pub error_file: Option<File>,
    pub trace: Option<String>,
}

/// The part that depends on the clock and on what else runs. It is no part of the fold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Answers a second, over the job's run so far.
    pub requests_per_s: Option<f64>,
    /// Completion tokens a second, over the job's run so far.
    pub tokens_per_s: Option<f64>,
    pub eta: Option<Eta>,
    pub sla: Option<Sla>,
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
            warnings: job.planned.as_ref().map(|planned| planned.warnings.clone()).unwrap_or_default(),
            output: written.and_then(|w| w.output.clone()),
            error_file: written.and_then(|w| w.errors.clone()),
            trace: submitted.trace.clone(),
        }
    }
}

impl Live {
    /// The rates over the run, and how an ended job stands against its deadline. Cheap: no status is built for it.
    pub fn of(job: &Job, now: Millis, eta: Option<Eta>) -> Self {
        let (state, times, tally) = (State::of(job), Times::of(job), &job.tally);
        let until = times.ended.unwrap_or(now);
        let seconds = times.started.map(|from| until.since(from) as f64 / 1_000.0).filter(|s| *s > 0.0);
        let eta = eta.filter(|_| !state.is_terminal());
        Self {
            requests_per_s: seconds.map(|s| (tally.completed + tally.failed) as f64 / s),
            tokens_per_s: seconds.map(|s| tally.usage.completion as f64 / s),
            eta,
            sla: sla(state, times.ended, job.deadline, now, eta),
        }
    }
}

fn sla(state: State, ended: Option<Millis>, deadline: Millis, now: Millis, eta: Option<Eta>) -> Option<Sla> {
    match (state, ended) {
        (State::Completed, Some(at)) if at <= deadline => Some(Sla::Met),
        (State::Completed | State::Expired, _) => Some(Sla::Missed),
        (State::Failed | State::Cancelling | State::Cancelled, _) => None,
        (State::Validating | State::InProgress | State::Paused | State::Finalizing, _) => {
            Some(crate::eta::sla(now, deadline, eta))
        }
    }
}

/// When a job came how far. Clocks are set back, and a worker's may be another than the head's: none of these is
/// before what it follows.
struct Times {
    validated: Option<Millis>,
    started: Option<Millis>,
    closing: Option<Millis>,
    ended: Option<Millis>,
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

const fn closing_at(job: &Job) -> Option<Millis> {
    match &job.phase {
        Phase::Closing(closing) => Some(closing.at),
        Phase::Validating | Phase::Running | Phase::Rejected(_) | Phase::Ended(_) => None,
    }
}

/// When a job ended, as a status tells it.
pub fn ended_at(job: &Job) -> Option<Millis> {
    Times::of(job).ended
}

const fn end(job: &Job) -> Option<Millis> {
    match &job.phase {
        Phase::Rejected(rejected) => Some(rejected.at),
        Phase::Ended(ended) => Some(ended.at),
        Phase::Validating | Phase::Running | Phase::Closing(_) => None,
    }
}
