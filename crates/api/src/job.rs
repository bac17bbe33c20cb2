use crate::{Kind, Route, Time};
use domain::{
    JobId, alarm,
    eta::{self, Sla},
    event::{self, File, LineError, Priority},
    foresight::Why,
    status::{Counts, Live, State, Status},
    trouble,
    warning::Warning,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A job as it stands. Keys that a newer server adds are passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    pub id: JobId,
    pub object: Kind,
    pub state: State,
    /// Of requests that name none.
    pub model: Option<String>,
    /// Of requests that name none.
    pub endpoint: Option<String>,
    pub priority: Priority,
    pub metadata: BTreeMap<String, String>,
    pub requests: Counts,
    pub usage: Usage,
    /// Answers a second, over the job's run so far.
    pub requests_per_s: Option<f64>,
    /// Completion tokens a second, over the job's run so far.
    pub tokens_per_s: Option<f64>,
    /// Runs of chunks.
    pub attempts: u64,
    /// Those among them that repeated a failed one.
    pub retries: u64,
    pub submitted_at: Time,
    pub validated_at: Option<Time>,
    pub started_at: Option<Time>,
    pub closing_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub deadline: Time,
    pub eta: Option<Eta>,
    /// Why the estimate moved when it last did by more than a fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_moved: Option<Why>,
    pub sla: Option<Sla>,
    /// That it will miss its deadline, if that is to be feared, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// What it waits for, where it cannot go on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<Stalled>,
    /// Of an input that failed validation: the first hundred.
    pub errors: Vec<LineError>,
    pub errors_total: u64,
    /// Requests that will be answered with an error, by kind.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    pub output: Option<File>,
    pub error_file: Option<File>,
    /// Why it ended without its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub trace_id: Option<String>,
    /// The host of the `webhook_url` that it was submitted with, whose rest may be a secret; `none` where nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_host: Option<String>,
    pub links: JobLinks,
}

/// Tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub cached_tokens: u64,
    pub total_tokens: u64,
}

/// When a job will be done: with one chance in ten, with even odds, and with nine chances in ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "ToldEta")]
pub struct Eta {
    pub p10: Time,
    pub p50: Time,
    pub p90: Time,
}

/// What a server told that knew no p10.
#[derive(Deserialize)]
struct ToldEta {
    p10: Option<Time>,
    p50: Time,
    p90: Time,
}

impl From<ToldEta> for Eta {
    fn from(told: ToldEta) -> Self {
        let ToldEta { p10, p50, p90 } = told;
        Self { p10: p10.unwrap_or(p50), p50, p90 }
    }
}

/// What a job waits for, why, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stalled {
    pub what: trouble::Kind,
    pub cause: String,
    pub mend: String,
    pub since: Time,
}

impl From<trouble::Trouble> for Stalled {
    fn from(trouble: trouble::Trouble) -> Self {
        let trouble::Trouble { what, cause, mend, since } = trouble;
        Self { what, cause, mend, since: since.into() }
    }
}

/// That a job misses its deadline with more than one chance in ten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Risk {
    /// With more than nine in ten.
    pub certain: bool,
    pub since: Time,
    pub what: alarm::What,
    /// The same in words.
    pub why: String,
}

impl From<alarm::Risk> for Risk {
    fn from(risk: alarm::Risk) -> Self {
        let alarm::Risk { certain, since, reason } = risk;
        Self { certain, since: since.into(), what: reason.what, why: reason.words() }
    }
}

/// Paths, and not addresses: the door cannot know the name it was reached by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLinks {
    #[serde(rename = "self")]
    pub itself: String,
    pub results: String,
    pub errors: String,
    pub events: String,
    pub cancel: String,
}

/// Which jobs, and how many of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The model that the job was submitted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Those after this job: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<JobId>,
    /// 1 to 100; 20 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
}

impl Job {
    pub fn new(status: Status, live: Live) -> Self {
        Self {
            id: status.id,
            object: Kind::Job,
            state: status.state,
            model: status.model,
            endpoint: status.endpoint,
            priority: status.priority,
            metadata: status.metadata,
            requests: status.requests,
            usage: status.usage.into(),
            requests_per_s: live.requests_per_s.map(round),
            tokens_per_s: live.tokens_per_s.map(round),
            attempts: status.attempts,
            retries: status.retries,
            submitted_at: status.submitted_at.into(),
            validated_at: status.validated_at.map(Time),
            started_at: status.started_at.map(Time),
            closing_at: status.closing_at.map(Time),
            ended_at: status.ended_at.map(Time),
            deadline: status.deadline.into(),
            eta: live.eta.map(Eta::from),
            eta_moved: live.eta_moved,
            sla: live.sla,
            risk: live.risk.map(|risk| (*risk).into()),
            stalled: live.stalled.map(|trouble| (*trouble).into()),
            errors: status.errors,
            errors_total: status.errors_total,
            warnings: status.warnings,
            output: status.output,
            error_file: status.error_file,
            reason: status.reason,
            trace_id: status.trace.as_deref().and_then(trace_id).map(str::to_owned),
            webhook_host: status.webhook_host,
            links: JobLinks::of(status.id),
        }
    }

    /// Requests that have their line, of whatever kind.
    pub const fn answered(&self) -> u64 {
        self.requests.completed + self.requests.failed + self.requests.unanswered
    }

    /// Whether it completed without one good answer.
    pub fn is_all_failed(&self) -> bool {
        self.state == State::Completed && self.requests.total > 0 && self.requests.failed == self.requests.total
    }
}

impl JobLinks {
    pub fn of(job: JobId) -> Self {
        Self {
            itself: Route::Job.of(job),
            results: Route::Results.of(job),
            errors: Route::Errors.of(job),
            events: Route::Events.of(job),
            cancel: Route::Cancel.of(job),
        }
    }
}

impl From<event::Usage> for Usage {
    fn from(usage: event::Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            cached_tokens: usage.cached,
            total_tokens: usage.prompt + usage.completion,
        }
    }
}

impl From<eta::Eta> for Eta {
    fn from(eta: eta::Eta) -> Self {
        Self { p10: eta.p10.into(), p50: eta.p50.into(), p90: eta.p90.into() }
    }
}

fn round(rate: f64) -> f64 {
    (rate * 1_000.0).round() / 1_000.0
}

/// The second part of a `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::half_way;

    #[test]
    fn a_job_reads_as_promised() {
        let (status, live) = half_way();
        let id = status.id;
        let json = serde_json::to_string(&Job::new(status, live)).unwrap();
        let want = concat!(
            r#"{"id":"ID","object":"job","state":"in_progress","model":"tiny","endpoint":null,"priority":"normal","#,
            r#""metadata":{"team":"a"},"requests":{"total":10,"completed":4,"failed":1,"unanswered":0,"remaining":5},"#,
            r#""usage":{"prompt_tokens":40,"completion_tokens":20,"cached_tokens":0,"total_tokens":60},"#,
            r#""requests_per_s":0.333,"tokens_per_s":null,"attempts":3,"retries":1,"#,
            r#""submitted_at":"2023-11-14T22:13:20.000Z","validated_at":"2023-11-14T22:13:20.250Z","#,
            r#""started_at":"2023-11-14T22:13:21.000Z","closing_at":null,"ended_at":null,"#,
            r#""deadline":"2023-11-15T22:13:20.000Z","#,
            r#""eta":{"p10":"2023-11-14T22:14:19.250Z","p50":"2023-11-14T22:14:20.000Z","p90":"2023-11-14T22:14:21.500Z"},"#,
            r#""eta_moved":"worker_lost","sla":"on_track","#,
            r#""errors":[],"errors_total":0,"warnings":[],"output":null,"error_file":null,"#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","links":{"self":"/jobs/ID","results":"/jobs/ID/results","#,
            r#""errors":"/jobs/ID/errors","events":"/jobs/ID/events","cancel":"/jobs/ID/cancel"}}"#,
        );
        assert_eq!(json, want.replace("ID", &id.to_string()));
    }

    #[test]
    fn a_job_is_read_as_it_is_written_and_more_is_passed_over() {
        let (status, live) = half_way();
        let job = Job::new(status, live);
        let mut json = serde_json::to_value(&job).unwrap();
        json["new_key"] = 1.into();
        assert_eq!(serde_json::from_value::<Job>(json).unwrap(), job);
    }
}
