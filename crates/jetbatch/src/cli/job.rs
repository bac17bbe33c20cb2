//! A job as a person reads it.
use super::text;
use api::{Accepted, Eta, Job, Risk, Stalled, Time, Usage};
use domain::{
    event::{Code, File, LineError},
    status::Counts,
    warning::Warning,
};
use std::fmt::Write as _;

/// The job as a person reads it.
pub fn page(job: &Job, now: u64) -> String {
    let mut page = lines(rows(job, now));
    for warning in &job.warnings {
        let said = if warning.is_of_requests() { warned(warning) } else { warning.message.clone() };
        let _ = writeln!(page, "warning    {said}");
    }
    for error in &job.errors {
        let _ = writeln!(page, "error      {}", line(error));
    }
    if let Some(more) = more_errors(job, job.errors.len()) {
        let _ = writeln!(page, "           {more}");
    }
    page
}

/// A job that was taken, and of which no more is known yet.
pub fn accepted(accepted: &Accepted, now: u64) -> String {
    lines([
        ("job", Some(accepted.id.to_string())),
        ("state", Some(accepted.state.as_str().to_owned())),
        ("deadline", Some(text::moment(accepted.deadline.ms(), now))),
    ])
}

/// What is said where so many errors are shown, and there are more.
pub fn more_errors(job: &Job, shown: usize) -> Option<String> {
    let hidden = job.errors_total.saturating_sub(shown as u64);
    (hidden > 0).then(|| format!("and {}", text::plural(hidden, "more error")))
}

pub fn rates(job: &Job) -> Option<String> {
    let requests = job.requests_per_s.map(|rate| format!("{} requests/s", text::rate(rate)))?;
    let tokens = job.tokens_per_s.map(|rate| format!(", {} tokens/s", text::rate(rate)));
    Some(requests + &tokens.unwrap_or_default())
}

pub type Row = (&'static str, Option<String>);

pub fn lines(rows: impl IntoIterator<Item = Row>) -> String {
    let rows = rows.into_iter().filter_map(|(name, value)| Some((name, value?)));
    rows.fold(String::new(), |mut page, (name, value)| {
        let _ = writeln!(page, "{name:<10} {value}");
        page
    })
}

fn rows(job: &Job, now: u64) -> [Row; 20] {
    let moment = |at: Time| text::moment(at.ms(), now);
    [
        ("job", Some(job.id.to_string())),
        ("state", Some(job.state.as_str().to_owned())),
        ("model", job.model.clone()),
        ("requests", Some(counts(job.requests))),
        ("tokens", tokens(job.usage)),
        ("rate", rates(job)),
        ("retries", (job.retries > 0).then(|| text::count(job.retries))),
        ("submitted", Some(moment(job.submitted_at))),
        ("started", job.started_at.map(moment)),
        ("ended", job.ended_at.map(moment)),
        ("eta", job.eta.map(|eta| odds(eta, now))),
        ("moved", job.eta_moved.filter(|_| job.eta.is_some()).map(|why| why.as_str().replace('_', " "))),
        ("deadline", Some(moment(job.deadline))),
        ("sla", job.sla.map(|sla| sla.as_str().to_owned())),
        ("risk", job.risk.as_ref().map(|risk| feared(risk, now))),
        ("stalled", job.stalled.as_ref().map(|stalled| waits(stalled, now))),
        ("mend", job.stalled.as_ref().map(|stalled| stalled.mend.clone())),
        ("reason", job.reason.clone()),
        ("output", job.output.as_ref().map(file)),
        ("errors", job.error_file.as_ref().map(file)),
    ]
}

fn counts(counts: Counts) -> String {
    let parts = [
        (counts.completed, "completed"),
        (counts.failed, "failed"),
        (counts.unanswered, "unanswered"),
        (counts.remaining, "remaining"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, what)| format!(", {} {what}", text::count(number))).collect();
    format!("{} in all{}", text::count(counts.total), parts.concat())
}

fn tokens(usage: Usage) -> Option<String> {
    let Usage { prompt_tokens, completion_tokens, .. } = usage;
    (prompt_tokens + completion_tokens > 0)
        .then(|| format!("{} prompt, {} completion", text::count(prompt_tokens), text::count(completion_tokens)))
}

fn odds(eta: Eta, now: u64) -> String {
    let far = text::span(eta.p90.ms().saturating_sub(now));
    format!("{}, nine times in ten within {far}", text::moment(eta.p50.ms(), now))
}

/// `certain: the rate fell by 40 % (since 2026-11-20T15:04:05Z (9.0 s ago))`.
fn feared(risk: &Risk, now: u64) -> String {
    let certain = if risk.certain { "certain: " } else { "" };
    format!("{certain}{} (since {})", risk.why, text::moment(risk.since.ms(), now))
}

/// `worker: no worker serves pool 'tiny' (since 2026-11-20T15:04:05Z (9.0 s ago))`.
fn waits(stalled: &Stalled, now: u64) -> String {
    format!("{}: {} (since {})", stalled.what.as_str(), stalled.cause, text::moment(stalled.since.ms(), now))
}

fn file(file: &File) -> String {
    format!("{} ({})", file.path, text::bytes(file.bytes))
}

/// `line 17: body.temperature: must be a number (invalid_type)`.
pub fn line(error: &LineError) -> String {
    let at = error.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{at}{}", said(error.param.as_deref(), &error.message, error.code))
}

/// `line 17 and 3 more: Unsupported parameter: ...`.
pub fn warned(warning: &Warning) -> String {
    let more = match warning.count {
        0 | 1 => String::new(),
        count => format!(" and {} more", text::count(count - 1)),
    };
    format!("line {}{more}: {}", warning.line, said(warning.param.as_deref(), &warning.message, warning.code))
}

/// The field is said once, in the message or before it.
fn said(param: Option<&str>, message: &str, code: Code) -> String {
    let param = param.filter(|param| !is_named(param, message)).map(|param| format!("{param}: ")).unwrap_or_default();
    let code = serde_json::to_value(code).ok();
    let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("unknown");
    format!("{param}{message} ({code})")
}

/// Whether the message has the field's name as a word.
fn is_named(param: &str, message: &str) -> bool {
    let own = param.strip_prefix("body.").unwrap_or(param);
    let words = message.split(|c: char| !c.is_alphanumeric() && !"_[].".contains(c));
    words.map(|word| word.trim_end_matches('.')).any(|word| word == own || word == param)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of which the server says this, among what it says of every job.
    fn job(said: serde_json::Value) -> Job {
        let id = "9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a";
        let mut job = serde_json::json!({
            "id": id, "object": "job", "priority": "normal", "metadata": {}, "attempts": 0, "retries": 0,
            "requests": {"total": 0, "completed": 0, "failed": 0, "unanswered": 0, "remaining": 0},
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0, "total_tokens": 0},
            "submitted_at": 0, "deadline": 0, "errors": [], "errors_total": 0,
            "links": {"self": "", "results": "", "errors": "", "events": "", "cancel": ""},
        });
        for (key, value) in said.as_object().unwrap() {
            job[key] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_failed_job_shows_its_errors() {
        let job = job(serde_json::json!({
            "state": "failed", "requests": {"total": 0, "completed": 0, "failed": 0, "unanswered": 0, "remaining": 0},
            "deadline": "1970-01-01T00:00:10Z", "new_key": 1, "errors_total": 3,
            "errors": [{"code": "invalid_type", "line": 17, "param": "body.n", "message": "must be a number"}],
        }));
        let page = page(&job, 0);
        assert!(page.contains("error      line 17: body.n: must be a number (invalid_type)"), "{page}");
        assert!(page.contains("and 2 more errors"), "{page}");
        assert!(page.contains("deadline   1970-01-01T00:00:10Z (in 10 s)"), "{page}");
    }

    #[test]
    fn a_field_is_named_once() {
        let error = |param: &str, message: &str| {
            line(&LineError {
                code: Code::InvalidType,
                line: Some(1),
                param: Some(param.into()),
                message: message.into(),
            })
        };
        let message = "Invalid type for `top_k`: expected an integer, got a list";
        assert_eq!(error("body.top_k", message), format!("line 1: {message} (invalid_type)"));
        let message = "no pool serves the model 'x'; served are: tiny";
        assert_eq!(error("body.model", message), format!("line 1: {message} (invalid_type)"));
        assert_eq!(error("custom_id", "it stands twice"), "line 1: custom_id: it stands twice (invalid_type)");
    }

    #[test]
    fn a_warning_tells_how_many() {
        let job = job(serde_json::json!({
            "state": "in_progress",
            "warnings": [{"code": "unsupported_parameter", "param": "body.stream", "count": 1200, "line": 7,
                "message": "Unsupported parameter: `stream`: no"}],
        }));
        let page = page(&job, 0);
        let want = "warning    line 7 and 1,199 more: Unsupported parameter: `stream`: no (unsupported_parameter)";
        assert!(page.contains(want), "{page}");
    }

    #[test]
    fn a_running_job_shows_when_it_ends() {
        let job = job(serde_json::json!({
            "state": "in_progress", "submitted_at": 1000, "eta": {"p50": 70_000, "p90": 90_000},
            "requests": {"total": 3000, "completed": 1200, "failed": 0, "unanswered": 0, "remaining": 1800},
            "requests_per_s": 512.4, "tokens_per_s": 4700.0,
        }));
        let page = page(&job, 10_000);
        assert!(page.contains("requests   3,000 in all, 1,200 completed, 1,800 remaining"), "{page}");
        assert!(page.contains("rate       512 requests/s, 4,700 tokens/s"), "{page}");
        assert!(page.contains("(in 1 min 0 s), nine times in ten within 1 min 20 s"), "{page}");
    }
}
