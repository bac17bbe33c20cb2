//! A job as the server tells it.
use super::text;
use domain::{
    event::{Code, LineError},
    status::{Counts, State},
    warning::Warning,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::fmt::Write as _;

/// What is read of `GET /jobs/{id}`. Keys that a newer server adds are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: String,
    pub state: State,
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub requests: Counts,
    #[serde(default)]
    pub usage: Usage,
    #[serde(default)]
    pub requests_per_s: Option<f64>,
    #[serde(default)]
    pub tokens_per_s: Option<f64>,
    #[serde(default)]
    pub retries: u64,
    #[serde(default)]
    pub submitted_at: Option<When>,
    #[serde(default)]
    pub validated_at: Option<When>,
    #[serde(default)]
    pub started_at: Option<When>,
    #[serde(default)]
    pub ended_at: Option<When>,
    #[serde(default)]
    pub deadline: Option<When>,
    #[serde(default)]
    pub eta: Option<Eta>,
    #[serde(default)]
    pub sla: Option<String>,
    #[serde(default)]
    pub errors: Vec<LineError>,
    #[serde(default)]
    pub errors_total: u64,
    #[serde(default)]
    pub warnings: Vec<Warning>,
    #[serde(default)]
    pub output: Option<File>,
    #[serde(default)]
    pub error_file: Option<File>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Eta {
    pub p50: When,
    pub p90: When,
}

#[derive(Debug, Clone, Deserialize)]
pub struct File {
    pub path: String,
    pub bytes: u64,
}

/// A moment: RFC 3339, or milliseconds since 1970.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum When {
    Millis(u64),
    Text(Timestamp),
}

impl When {
    pub fn ms(&self) -> u64 {
        match self {
            Self::Millis(ms) => *ms,
            Self::Text(at) => u64::try_from(at.as_millisecond()).unwrap_or(0),
        }
    }
}

impl Job {
    /// Requests that have their line, of whatever kind.
    pub const fn answered(&self) -> u64 {
        self.requests.completed + self.requests.failed + self.requests.unanswered
    }

    /// The job as a person reads it.
    pub fn page(&self, now: u64) -> String {
        let mut page = String::new();
        for (name, value) in self.rows(now) {
            let _ = writeln!(page, "{name:<10} {value}");
        }
        for warning in &self.warnings {
            let _ = writeln!(page, "warning    {}", warned(warning));
        }
        for error in &self.errors {
            let _ = writeln!(page, "error      {}", line(error));
        }
        if let Some(more) = self.more_errors(self.errors.len()) {
            let _ = writeln!(page, "           {more}");
        }
        page
    }

    /// What is said where so many errors are shown, and there are more.
    pub fn more_errors(&self, shown: usize) -> Option<String> {
        let hidden = self.errors_total.saturating_sub(shown as u64);
        (hidden > 0).then(|| format!("and {}", text::plural(hidden, "more error")))
    }

    /// Whether it completed without one good answer.
    pub fn is_all_failed(&self) -> bool {
        self.state == State::Completed && self.requests.total > 0 && self.requests.failed == self.requests.total
    }

    fn rows(&self, now: u64) -> Vec<(&'static str, String)> {
        let at = |when: &Option<When>| when.as_ref().map(|when| text::moment(when.ms(), now));
        let rows = [
            ("job", Some(self.id.clone())),
            ("state", Some(self.state.as_str().to_owned())),
            ("model", self.model.clone()),
            ("requests", Some(self.counts())),
            ("tokens", self.tokens()),
            ("rate", self.rates()),
            ("retries", (self.retries > 0).then(|| text::count(self.retries))),
            ("submitted", at(&self.submitted_at)),
            ("started", at(&self.started_at)),
            ("ended", at(&self.ended_at)),
            ("eta", self.eta.as_ref().map(|eta| eta.text(now))),
            ("deadline", at(&self.deadline)),
            ("sla", self.sla.clone()),
            ("output", self.output.as_ref().map(File::text)),
            ("errors", self.error_file.as_ref().map(File::text)),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn counts(&self) -> String {
        let counts = self.requests;
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

    fn tokens(&self) -> Option<String> {
        let Usage { prompt_tokens, completion_tokens } = self.usage;
        (prompt_tokens + completion_tokens > 0)
            .then(|| format!("{} prompt, {} completion", text::count(prompt_tokens), text::count(completion_tokens)))
    }

    pub fn rates(&self) -> Option<String> {
        let requests = self.requests_per_s.map(|rate| format!("{} requests/s", text::rate(rate)))?;
        let tokens = self.tokens_per_s.map(|rate| format!(", {} tokens/s", text::rate(rate)));
        Some(requests + &tokens.unwrap_or_default())
    }
}

impl Eta {
    fn text(&self, now: u64) -> String {
        let far = |when: &When| text::span(when.ms().saturating_sub(now));
        format!("{}, nine times in ten within {}", text::moment(self.p50.ms(), now), far(&self.p90))
    }
}

impl File {
    fn text(&self) -> String {
        format!("{} ({})", self.path, text::bytes(self.bytes))
    }
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

    #[test]
    fn a_failed_job_shows_its_errors() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": "x", "state": "failed", "requests": {"total": 0, "completed": 0, "failed": 0, "unanswered": 0, "remaining": 0},
            "deadline": "1970-01-01T00:00:10Z", "new_key": 1, "errors_total": 3,
            "errors": [{"code": "invalid_type", "line": 17, "param": "body.n", "message": "must be a number"}],
        }))
        .unwrap();
        let page = job.page(0);
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
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": "x", "state": "in_progress",
            "warnings": [{"code": "unsupported_parameter", "param": "body.stream", "count": 1200, "line": 7,
                "message": "Unsupported parameter: `stream`: no"}],
        }))
        .unwrap();
        let page = job.page(0);
        let want = "warning    line 7 and 1,199 more: Unsupported parameter: `stream`: no (unsupported_parameter)";
        assert!(page.contains(want), "{page}");
    }

    #[test]
    fn a_running_job_shows_when_it_ends() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": "x", "state": "in_progress", "submitted_at": 1000, "eta": {"p50": 70_000, "p90": 90_000},
            "requests": {"total": 3000, "completed": 1200, "failed": 0, "unanswered": 0, "remaining": 1800},
            "requests_per_s": 512.4, "tokens_per_s": 4700.0,
        }))
        .unwrap();
        let page = job.page(10_000);
        assert!(page.contains("requests   3,000 in all, 1,200 completed, 1,800 remaining"), "{page}");
        assert!(page.contains("rate       512 requests/s, 4,700 tokens/s"), "{page}");
        assert!(page.contains("(in 1 min 0 s), nine times in ten within 1 min 20 s"), "{page}");
    }
}
