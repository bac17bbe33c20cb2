use super::{BatchId, ExpiresAfter, FileId, JobFile, unix};
use crate::Eta;
use domain::{
    Timestamp,
    eta::Sla,
    event::{Cause, Input, LineError, Priority},
    foresight::Why,
    raw::RawRequest,
    status::{Live, State, Status},
    submission::pairs,
    warning::Warning,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A job as OpenAI's batch. `eta`, `eta_moved`, `sla` and `warnings` are ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiBatch)]
pub struct Batch {
    #[schema(value_type = String)]
    pub id: BatchId,
    /// `batch`.
    pub object: String,
    pub endpoint: String,
    pub model: Option<String>,
    pub errors: Option<BatchErrors>,
    #[schema(value_type = String)]
    pub input_file_id: FileId,
    pub completion_window: String,
    pub status: BatchStatus,
    #[schema(value_type = Option<String>)]
    pub output_file_id: Option<FileId>,
    #[schema(value_type = Option<String>)]
    pub error_file_id: Option<FileId>,
    pub created_at: u64,
    pub in_progress_at: Option<u64>,
    pub expires_at: Option<u64>,
    pub finalizing_at: Option<u64>,
    pub completed_at: Option<u64>,
    pub failed_at: Option<u64>,
    pub expired_at: Option<u64>,
    pub cancelling_at: Option<u64>,
    pub cancelled_at: Option<u64>,
    pub request_counts: BatchCounts,
    pub usage: BatchUsage,
    pub metadata: Option<BTreeMap<String, String>>,
    pub eta: Option<Eta>,
    #[serde(default)]
    pub eta_moved: Option<Why>,
    pub sla: Option<Sla>,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OpenAiBatchStatus)]
pub enum BatchStatus {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiBatchErrors)]
pub struct BatchErrors {
    /// `list`.
    pub object: String,
    pub data: Vec<LineError>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiBatchCounts)]
pub struct BatchCounts {
    pub total: u64,
    pub completed: u64,
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiBatchUsage)]
pub struct BatchUsage {
    pub input_tokens: u64,
    pub input_tokens_details: InputDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputDetails,
    pub total_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InputDetails {
    pub cached_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputDetails {
    pub reasoning_tokens: u64,
}

/// Some of the batches, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = OpenAiBatchPage)]
pub struct BatchPage {
    /// `list`.
    pub object: String,
    pub data: Vec<Batch>,
    #[schema(value_type = Option<String>)]
    pub first_id: Option<BatchId>,
    #[schema(value_type = Option<String>)]
    pub last_id: Option<BatchId>,
    pub has_more: bool,
}

impl BatchPage {
    pub fn new(data: Vec<Batch>, has_more: bool) -> Self {
        let id = |batch: Option<&Batch>| batch.map(|batch| batch.id);
        let (first_id, last_id) = (id(data.first()), id(data.last()));
        Self { object: "list".to_owned(), data, first_id, last_id, has_more }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Those after this batch: `last_id` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// 1 to 100; 20 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
}

/// What a batch is made of. Fields that OpenAI does not have: `priority`, `strict`, `webhook_url`, `model` for lines that name
/// none, and `requests` in place of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = OpenAiCreateBatch)]
pub struct CreateBatch {
    pub input_file_id: Option<String>,
    pub endpoint: Option<String>,
    /// `24h`, or any duration up to 30 days: `90s`, `30m`, `7d`.
    pub completion_window: Option<String>,
    #[serde(deserialize_with = "metadata")]
    pub metadata: Option<BTreeMap<String, String>>,
    pub output_expires_after: Option<ExpiresAfter>,
    pub priority: Option<Priority>,
    pub strict: Option<bool>,
    pub model: Option<String>,
    /// Where the batch's end and its alerts are sent, signed, in place of its tenant's URL; `none`: nowhere.
    pub webhook_url: Option<String>,
    #[schema(value_type = Option<Vec<Object>>)]
    pub requests: Option<Vec<RawRequest>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    pairs(deserializer).map(|pairs| (!pairs.is_empty()).then_some(pairs))
}

/// What a status does not tell of a job, and its events do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    pub input: Option<Input>,
    pub window_ms: u64,
    /// When it stopped to take answers, and why.
    pub closing: Option<(Timestamp, Cause)>,
    /// When its last answer came.
    pub answered: Option<Timestamp>,
}

/// Of jobs that say nothing of it.
const ENDPOINT: &str = "/v1/chat/completions";

impl Batch {
    pub fn new(status: Status, live: Live, lifecycle: &Lifecycle) -> Self {
        let (state, job) = (status.state, status.id);
        let ended = |want: State| status.ended_at.filter(|_| state == want).map(unix);
        let file = |file: JobFile, is_there: bool| is_there.then_some(FileId::Of(file, job));
        let closing = |want: Cause| lifecycle.closing.filter(|(_, cause)| *cause == want).map(|(at, _)| unix(at));
        let cancelling_at = closing(Cause::Cancelled).or_else(|| ended(State::Cancelled));
        Self {
            id: BatchId(job),
            object: "batch".to_owned(),
            endpoint: status.endpoint.unwrap_or_else(|| ENDPOINT.to_owned()),
            model: status.model,
            errors: (state == State::Failed).then(|| BatchErrors { object: "list".to_owned(), data: status.errors }),
            input_file_id: input(lifecycle.input.as_ref()).unwrap_or(FileId::Of(JobFile::Input, job)),
            completion_window: domain::time::spelled(lifecycle.window_ms),
            status: state.into(),
            output_file_id: file(JobFile::Output, status.output.is_some_and(|file| file.bytes > 0)),
            error_file_id: file(JobFile::Errors, status.error_file.is_some_and(|file| file.bytes > 0)),
            created_at: unix(status.submitted_at),
            in_progress_at: status.validated_at.map(unix),
            expires_at: Some(unix(status.deadline)),
            finalizing_at: finalizing(state, lifecycle, status.ended_at),
            completed_at: ended(State::Completed),
            failed_at: ended(State::Failed),
            expired_at: ended(State::Expired),
            cancelling_at,
            cancelled_at: ended(State::Cancelled),
            request_counts: BatchCounts {
                total: status.requests.total,
                completed: status.requests.completed,
                failed: status.requests.failed + status.requests.unanswered,
            },
            usage: status.usage.into(),
            metadata: (!status.metadata.is_empty()).then_some(status.metadata),
            eta: live.eta.map(Eta::from),
            eta_moved: live.eta_moved,
            sla: live.sla,
            warnings: status.warnings,
        }
    }
}

/// The file that was uploaded for it.
fn input(input: Option<&Input>) -> Option<FileId> {
    let Input::Stored(path) = input? else { return None };
    let name = path.rsplit('/').next()?.strip_suffix(".jsonl")?;
    Uuid::try_parse(name).ok().map(FileId::Upload)
}

/// A cancelled one goes by `cancelling`.
fn finalizing(state: State, lifecycle: &Lifecycle, ended: Option<Timestamp>) -> Option<u64> {
    match (state, lifecycle.closing) {
        (State::Finalizing | State::Completed | State::Expired, closing) => {
            let closed = closing.map(|(at, _)| at).or(lifecycle.answered).or(ended)?;
            Some(unix(ended.map_or(closed, |ended| closed.min(ended))))
        }
        _ => None,
    }
}

impl From<State> for BatchStatus {
    fn from(state: State) -> Self {
        match state {
            State::Validating => Self::Validating,
            State::Failed => Self::Failed,
            State::InProgress | State::Paused => Self::InProgress,
            State::Finalizing => Self::Finalizing,
            State::Completed => Self::Completed,
            State::Expired => Self::Expired,
            State::Cancelling => Self::Cancelling,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<domain::event::Usage> for BatchUsage {
    fn from(usage: domain::event::Usage) -> Self {
        Self {
            input_tokens: usage.prompt,
            input_tokens_details: InputDetails { cached_tokens: usage.cached },
            output_tokens: usage.completion,
            output_tokens_details: OutputDetails::default(),
            total_tokens: usage.prompt + usage.completion,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::half_way;
    use domain::event::File;

    fn batch(state: State, lifecycle: &Lifecycle) -> serde_json::Value {
        let (status, live) = half_way();
        let ended_at = state.is_terminal().then_some(Timestamp::new(1_700_000_100_000));
        let file = |bytes| Some(File { path: "x".into(), bytes });
        let status = Status { state, ended_at, output: file(10), error_file: file(0), ..status };
        serde_json::to_value(Batch::new(status, live, lifecycle)).unwrap()
    }

    #[test]
    fn every_field_is_there_and_what_is_absent_is_null() {
        let upload = Uuid::from_u128(7);
        let input = Some(Input::Stored(format!("uploads/{upload}.jsonl")));
        let lifecycle = Lifecycle { input, window_ms: 86_400_000, ..Lifecycle::default() };
        let running = batch(State::InProgress, &lifecycle);
        assert_eq!(running["input_file_id"], format!("file-{}", upload.simple()));
        assert_eq!(running["completion_window"], "24h");
        assert_eq!((&running["status"], &running["object"]), (&"in_progress".into(), &"batch".into()));
        for field in
            ["errors", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at"]
        {
            assert!(running.as_object().unwrap().contains_key(field), "{field}");
            assert_eq!(running[field], serde_json::Value::Null, "{field}");
        }
        assert_eq!(running["request_counts"], serde_json::json!({"total": 10, "completed": 4, "failed": 1}));
        assert_eq!(running["usage"]["output_tokens_details"]["reasoning_tokens"], 0);
    }

    #[test]
    fn an_end_has_its_times_and_its_files() {
        let answered = Some(Timestamp::new(1_700_000_090_500));
        let done = batch(State::Completed, &Lifecycle { answered, window_ms: 5_400_000, ..Lifecycle::default() });
        let times = [&done["finalizing_at"], &done["completed_at"], &done["cancelled_at"]];
        assert_eq!(times, [&1_700_000_090_u64.into(), &1_700_000_100_u64.into(), &serde_json::Value::Null]);
        assert!(done["output_file_id"].as_str().unwrap().starts_with("file-out"));
        assert_eq!((&done["error_file_id"], &done["completion_window"]), (&serde_json::Value::Null, &"90m".into()));
        let closing = Some((Timestamp::new(1_700_000_050_000), Cause::Cancelled));
        let cancelled = batch(State::Cancelled, &Lifecycle { closing, ..Lifecycle::default() });
        assert_eq!((&cancelled["cancelling_at"], &cancelled["finalizing_at"]), (&1_700_000_050_u64.into(), &().into()));
    }
}
