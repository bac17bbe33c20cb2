use crate::{Job, Kind, Route, Time};
use domain::{
    JobId, Timestamp,
    event::Priority,
    status::State,
    submission::{Submission, absent, pairs},
    table::Given,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A job's settings beside its file: query parameters, or fields of a form before the file. With `metadata.<key>` for
/// what is kept with the job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Settings {
    /// The client's own UUID for the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Of requests that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of requests that name none: `/v1/chat/completions` or `/v1/completions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The promised time: `90s`, `30m`, `24h`, `7d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Refuse the whole job where a request would be answered with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Of a file that is a table: how its rows become requests, as JSON (`Map`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// Submit nothing, and answer with a `Quote`: what it would come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Where the job's end and its alerts are sent, signed, in place of its tenant's URL; `none`: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Under `metadata.<key>`.
    #[serde(flatten)]
    #[param(ignore)]
    pub metadata: BTreeMap<String, String>,
}

impl Settings {
    /// The same of an input that the server is to read itself.
    pub fn submission(self, input: Given) -> Submission {
        let bare = |(key, value): (String, String)| Some((key.strip_prefix(METADATA)?.to_owned(), value));
        Submission {
            id: self.id,
            model: self.model,
            endpoint: self.endpoint,
            completion_window: self.completion_window,
            priority: self.priority,
            strict: self.strict.unwrap_or_default(),
            metadata: self.metadata.into_iter().filter_map(bare).collect(),
            input: Some(input),
            webhook_url: self.webhook_url,
            ..Submission::default()
        }
    }

    #[must_use]
    pub fn with_metadata<'a>(mut self, pairs: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        self.metadata.extend(pairs.into_iter().map(|(key, value)| (format!("{METADATA}{key}"), value.clone())));
        self
    }
}

const METADATA: &str = "metadata.";

/// Prompts and a few settings, for a job without a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[schema(min_items = 1)]
    pub prompts: Vec<String>,
    /// Said to the model before each prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    // Read as those of any request are.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<u64>)]
    pub max_tokens: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<f64>)]
    pub temperature: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<f64>)]
    pub top_p: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<u64>)]
    pub seed: Value,
    /// A text, or a list of texts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Value)]
    pub stop: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    #[serde(default, deserialize_with = "absent")]
    pub strict: bool,
    #[serde(default, deserialize_with = "pairs")]
    pub metadata: BTreeMap<String, String>,
    /// Where the job's end and its alerts are sent, signed, in place of its tenant's URL; `none`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
}

/// A job that was taken. From here on it is known, and will be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    pub id: JobId,
    pub object: Kind,
    pub state: State,
    pub status_url: String,
    pub results_url: String,
    pub events_url: String,
    pub deadline: Time,
}

impl Accepted {
    pub fn new(id: JobId, state: State, deadline: Timestamp) -> Self {
        Self {
            id,
            object: Kind::Job,
            state,
            status_url: Route::Job.of(id),
            results_url: Route::Results.of(id),
            events_url: Route::Events.of(id),
            deadline: deadline.into(),
        }
    }
}

/// The job of a `retry`: as it stands, or accepted where its file takes longer to go through than the answer waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Retried {
    Job(Box<Job>),
    Accepted(Accepted),
}

impl Retried {
    pub fn id(&self) -> JobId {
        match self {
            Self::Job(job) => job.id,
            Self::Accepted(accepted) => accepted.id,
        }
    }
}

/// What `deadline` and `priority` need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Of `deadline`: the new window, counted from the submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    /// Of `priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// A file that was left for a submission that follows by any door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoredFile {
    pub id: String,
    pub object: Kind,
    /// To be given as a submission's `input`.
    #[schema(examples("upload://018f4e2a-7c1b-7000-8000-0123456789ab"))]
    pub input: String,
    pub bytes: u64,
}
