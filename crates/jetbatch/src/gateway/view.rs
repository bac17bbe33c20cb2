//! A job as the door shows it.
use domain::{
    Millis,
    eta::Sla,
    event::{File, LineError, Priority},
    status::{Counts, State},
    warning::Warning,
};
use serde::Serialize;
use std::collections::BTreeMap;
use wire::work::StoredStatus;

#[derive(Debug, Serialize)]
pub struct View<'a> {
    id: String,
    object: &'static str,
    state: State,
    model: Option<&'a str>,
    endpoint: Option<&'a str>,
    priority: Priority,
    metadata: &'a BTreeMap<String, String>,
    requests: Counts,
    usage: Usage,
    requests_per_s: Option<f64>,
    tokens_per_s: Option<f64>,
    attempts: u64,
    retries: u64,
    submitted_at: String,
    validated_at: Option<String>,
    started_at: Option<String>,
    closing_at: Option<String>,
    ended_at: Option<String>,
    deadline: String,
    eta: Option<Eta>,
    sla: Option<Sla>,
    errors: &'a [LineError],
    errors_total: u64,
    warnings: &'a [Warning],
    output: Option<&'a File>,
    error_file: Option<&'a File>,
    trace_id: Option<&'a str>,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: u64,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct Eta {
    p50: String,
    p90: String,
}

/// Paths, and not addresses: the door cannot know the name it was reached by.
#[derive(Debug, Serialize)]
pub struct Links {
    #[serde(rename = "self")]
    pub itself: String,
    pub results: String,
    pub errors: String,
    pub events: String,
    pub cancel: String,
}

impl Links {
    pub fn of(job: domain::JobId) -> Self {
        let below = |what: &str| format!("/jobs/{job}{what}");
        Self {
            itself: below(""),
            results: below("/results"),
            errors: below("/errors"),
            events: below("/events"),
            cancel: below("/cancel"),
        }
    }
}

impl<'a> View<'a> {
    pub fn of(stored: &'a StoredStatus) -> Self {
        let (status, live) = (&stored.status, &stored.live);
        let usage = &status.usage;
        Self {
            id: status.id.to_string(),
            object: "job",
            state: status.state,
            model: status.model.as_deref(),
            endpoint: status.endpoint.as_deref(),
            priority: status.priority,
            metadata: &status.metadata,
            requests: status.requests,
            usage: Usage {
                prompt_tokens: usage.prompt,
                completion_tokens: usage.completion,
                cached_tokens: usage.cached,
                total_tokens: usage.prompt + usage.completion,
            },
            requests_per_s: live.requests_per_s.map(round),
            tokens_per_s: live.tokens_per_s.map(round),
            attempts: status.attempts,
            retries: status.retries,
            submitted_at: rfc3339(status.submitted_at),
            validated_at: status.validated_at.map(rfc3339),
            started_at: status.started_at.map(rfc3339),
            closing_at: status.closing_at.map(rfc3339),
            ended_at: status.ended_at.map(rfc3339),
            deadline: rfc3339(status.deadline),
            eta: live.eta.map(|eta| Eta { p50: rfc3339(eta.p50), p90: rfc3339(eta.p90) }),
            sla: live.sla,
            errors: &status.errors,
            errors_total: status.errors_total,
            warnings: &status.warnings,
            output: status.output.as_ref(),
            error_file: status.error_file.as_ref(),
            trace_id: status.trace.as_deref().and_then(trace_id),
            links: Links::of(status.id),
        }
    }
}

/// With milliseconds, in UTC. A time beyond what a calendar holds is shown as its last one.
pub fn rfc3339(at: Millis) -> String {
    let time = i64::try_from(at.get()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
}

fn round(rate: f64) -> f64 {
    (rate * 1_000.0).round() / 1_000.0
}

/// The second part of a `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use domain::{JobId, eta, event, status};

    /// A job half way, as the projector would store it.
    pub fn stored(state: State) -> StoredStatus {
        let status = status::Status {
            id: JobId::keyed("t", "a"),
            state,
            fingerprint: "f".into(),
            model: Some("tiny".into()),
            endpoint: None,
            priority: Priority::Normal,
            metadata: BTreeMap::from([("team".into(), "a".into())]),
            requests: Counts { total: 10, completed: 4, failed: 1, unanswered: 0, remaining: 5 },
            usage: event::Usage { prompt: 40, completion: 20, cached: 0 },
            attempts: 3,
            retries: 1,
            submitted_at: Millis::new(1_700_000_000_000),
            validated_at: Some(Millis::new(1_700_000_000_250)),
            started_at: Some(Millis::new(1_700_000_001_000)),
            closing_at: None,
            ended_at: None,
            deadline: Millis::new(1_700_086_400_000),
            segments: 1,
            archived_prefix: 0,
            errors: Vec::new(),
            errors_total: 0,
            warnings: Vec::new(),
            output: None,
            error_file: None,
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        };
        let at = Millis::new(1_700_000_060_000);
        let eta = Some(eta::Eta { p50: at, p90: at.plus(1_500) });
        let live = status::Live { requests_per_s: Some(1.0 / 3.0), tokens_per_s: None, eta, sla: Some(Sla::OnTrack) };
        StoredStatus { v: 1, seq: 7, status, live }
    }

    #[test]
    fn a_job_reads_as_promised() {
        let json = serde_json::to_value(View::of(&stored(State::InProgress))).unwrap();
        assert_eq!(json["state"], "in_progress");
        assert_eq!(json["submitted_at"], "2023-11-14T22:13:20.000Z");
        assert_eq!(json["validated_at"], "2023-11-14T22:13:20.250Z");
        assert_eq!(json["ended_at"], serde_json::Value::Null);
        assert_eq!(json["eta"]["p90"], "2023-11-14T22:14:21.500Z");
        assert_eq!(json["sla"], "on_track");
        assert_eq!(json["usage"]["total_tokens"], 60);
        assert_eq!(json["requests_per_s"], 0.333);
        assert_eq!(json["requests"]["remaining"], 5);
        assert_eq!(json["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(json["links"]["self"], format!("/jobs/{}", JobId::keyed("t", "a")));
        assert_eq!(json["output"], serde_json::Value::Null);
    }

    #[test]
    fn no_time_is_too_large_to_show() {
        assert!(rfc3339(Millis::new(u64::MAX)).starts_with("9999-"));
    }
}
