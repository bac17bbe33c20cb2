//! What a client sends: a submission on `jobs.submit`, a command on `jobs.control`.
use crate::{
    JobId, Millis,
    decide::Command,
    event::{Priority, is_false},
    limits::{
        FIELD_BYTES_MAX, INLINE_REQUESTS_MAX, METADATA_KEY_CHARS_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_CHARS_MAX,
        WINDOW_MS_DEFAULT, WINDOW_MS_MAX,
    },
    line::URLS,
    raw::RawRequest,
    time,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, ops::Deref};
use strum::{IntoStaticStr, VariantArray};

/// A job as a client describes it. Exactly one of `requests` and `input` is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Submission {
    /// The client's own UUID for the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `90s`, `30m`, `24h`, `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    #[serde(default, deserialize_with = "absent", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Refuse the whole job where a request would be answered with an error.
    #[serde(default, deserialize_with = "absent", skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Input lines, inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Vec<Object>>))]
    pub requests: Option<Vec<RawRequest>>,
    /// `upload://<id>`, `file:///...` under an allowed root, or an object's URL under an allowed prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Hash of the client's body where that is not this message (the HTTP door uploads first and submits then).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// `null` is as good as absent.
pub fn absent<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What is wrong with a submission, in words for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("give either 'requests' or 'input'")]
    NoInput,
    #[error("give 'requests' or 'input', not both")]
    TwoInputs,
    #[error("'requests' is empty; give at least one request")]
    NoRequests,
    #[error("'requests' holds {0} requests; at most {INLINE_REQUESTS_MAX} go inline, use 'input' for more")]
    TooManyRequests(usize),
    #[error("'completion_window' is '{}'; use a number and s, m, h or d, at most 30d, such as 24h", short(.0))]
    Window(String),
    #[error("'endpoint' is '{}'; served are {a} and {b}", short(.0), a = URLS[0], b = URLS[1])]
    Endpoint(String),
    #[error("'metadata' holds {0} pairs; at most {METADATA_PAIRS_MAX} are kept")]
    MetadataPairs(usize),
    #[error(
        "'metadata.{0}' is too long: a key has at most {METADATA_KEY_CHARS_MAX} characters, a value {METADATA_VALUE_CHARS_MAX}"
    )]
    MetadataSize(String),
    #[error("'priority' is missing; use high, normal or low")]
    NoPriority,
    #[error("'{0}' is longer than {FIELD_BYTES_MAX} bytes")]
    TooLong(&'static str),
}

/// What is quoted of a field, however long it is.
fn short(text: &str) -> String {
    text.chars().take(METADATA_KEY_CHARS_MAX).collect()
}

impl Submission {
    /// Checks all that can be checked without the input.
    pub fn check(self) -> Result<Checked, Fault> {
        let window_ms = self.window_ms()?;
        Ok(Checked { submission: self, window_ms })
    }

    fn window_ms(&self) -> Result<u64, Fault> {
        self.check_input()?;
        self.check_metadata()?;
        self.check_texts()?;
        if let Some(endpoint) = self.endpoint.as_deref().filter(|e| !URLS.contains(e)) {
            return Err(Fault::Endpoint(endpoint.to_owned()));
        }
        let Some(text) = &self.completion_window else { return Ok(WINDOW_MS_DEFAULT) };
        time::window(text).filter(|ms| *ms <= WINDOW_MS_MAX).ok_or_else(|| Fault::Window(text.clone()))
    }

    fn check_input(&self) -> Result<(), Fault> {
        match (&self.requests, &self.input) {
            (None, None) => Err(Fault::NoInput),
            (Some(_), Some(_)) => Err(Fault::TwoInputs),
            (Some(requests), None) if requests.is_empty() => Err(Fault::NoRequests),
            (Some(requests), None) if requests.len() > INLINE_REQUESTS_MAX => {
                Err(Fault::TooManyRequests(requests.len()))
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
        }
    }

    fn check_metadata(&self) -> Result<(), Fault> {
        if self.metadata.len() > METADATA_PAIRS_MAX {
            return Err(Fault::MetadataPairs(self.metadata.len()));
        }
        let long = |key: &str, value: &str| {
            key.chars().count() > METADATA_KEY_CHARS_MAX || value.chars().count() > METADATA_VALUE_CHARS_MAX
        };
        match self.metadata.iter().find(|(key, value)| long(key, value)) {
            Some((key, _)) => Err(Fault::MetadataSize(short(key))),
            None => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), Fault> {
        let texts = [("model", &self.model), ("input", &self.input), ("fingerprint", &self.fingerprint)];
        let long = texts.into_iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.len() > FIELD_BYTES_MAX));
        long.map_or(Ok(()), |(name, _)| Err(Fault::TooLong(name)))
    }
}

/// A submission that was checked, and its window. What is done to it from then on leaves it legal.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    submission: Submission,
    window_ms: u64,
}

impl Checked {
    pub const fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// Gives it the id and the fingerprint it is known under.
    pub fn sign(&mut self, id: JobId, fingerprint: String) {
        (self.submission.id, self.submission.fingerprint) = (Some(id), Some(fingerprint));
    }

    /// Takes the requests out; an input that holds them is to take their place.
    pub fn take_requests(&mut self) -> Option<Vec<RawRequest>> {
        self.submission.requests.take()
    }

    pub fn set_input(&mut self, url: String) {
        self.submission.input = Some(url);
    }

    pub fn into_inner(self) -> Submission {
        self.submission
    }
}

impl Deref for Checked {
    type Target = Submission;

    fn deref(&self) -> &Submission {
        &self.submission
    }
}

/// A command for a job, on `jobs.control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub command: Order,
    pub job: JobId,
    /// For `deadline`: the new window, counted from the submission, such as `48h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window: Option<String>,
    /// For `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Order {
    Cancel,
    Pause,
    Resume,
    Deadline,
    Priority,
    /// Submits the requests that failed once more, as a job of their own.
    Retry,
    Delete,
}

impl Order {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

impl Control {
    pub const fn new(command: Order, job: JobId) -> Self {
        Self { command, job, completion_window: None, priority: None }
    }

    /// What it means for the job; none for `retry`, which makes another job.
    pub fn command(&self, at: Millis) -> Result<Option<Command>, Fault> {
        Ok(Some(match self.command {
            Order::Cancel => Command::Cancel { at },
            Order::Pause => Command::Pause { at },
            Order::Resume => Command::Resume { at },
            Order::Deadline => Command::Window { at, window_ms: self.window_ms()? },
            Order::Priority => Command::Priority { at, priority: self.priority.ok_or(Fault::NoPriority)? },
            Order::Retry => return Ok(None),
            Order::Delete => Command::Delete { at },
        }))
    }

    fn window_ms(&self) -> Result<u64, Fault> {
        let text = self.completion_window.as_deref().unwrap_or_default();
        time::window(text).filter(|ms| *ms <= WINDOW_MS_MAX).ok_or_else(|| Fault::Window(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str::<Submission>(json).unwrap().check().unwrap_err()
    }

    #[test]
    fn the_window_is_a_day_unless_asked_for() {
        let submission: Submission = serde_json::from_str(r#"{"requests":[{"custom_id":"a"}]}"#).unwrap();
        assert_eq!(submission.check().map(|checked| checked.window_ms()), Ok(86_400_000));
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let text = r#"{"id":null,"model":null,"endpoint":null,"completion_window":null,"metadata":null,"priority":null,
            "strict":null,"requests":null,"input":"x","fingerprint":null}"#;
        let submission: Submission = serde_json::from_str(text).unwrap();
        assert_eq!(submission, Submission { input: Some("x".into()), ..Submission::default() });
    }

    #[test]
    fn each_mistake_has_its_word() {
        assert_eq!(fault("{}"), Fault::NoInput);
        assert_eq!(fault(r#"{"requests":[],"input":"x"}"#), Fault::TwoInputs);
        assert_eq!(fault(r#"{"requests":[]}"#), Fault::NoRequests);
        assert_eq!(fault(r#"{"input":"x","completion_window":"soon"}"#), Fault::Window("soon".into()));
        assert_eq!(fault(r#"{"input":"x","completion_window":"31d"}"#), Fault::Window("31d".into()));
        assert_eq!(fault(r#"{"input":"x","endpoint":"/v1/embeddings"}"#), Fault::Endpoint("/v1/embeddings".into()));
        let long = format!(r#"{{"input":"x","metadata":{{"k":"{}"}}}}"#, "v".repeat(513));
        assert_eq!(fault(&long), Fault::MetadataSize("k".into()));
        assert!(serde_json::from_str::<Submission>(r#"{"inputs":"x"}"#).is_err());
        for name in ["model", "fingerprint"] {
            let long = format!(r#"{{"input":"x","{name}":"{}"}}"#, "x".repeat(FIELD_BYTES_MAX + 1));
            assert_eq!(fault(&long), Fault::TooLong(name));
        }
    }

    /// It goes into the job's last event, which must fit into a message.
    #[test]
    fn what_is_said_of_a_mistake_is_short() {
        for name in ["completion_window", "endpoint"] {
            let said = fault(&format!(r#"{{"input":"x","{name}":"{}"}}"#, "x".repeat(9_999))).to_string();
            assert!(said.starts_with(&format!("'{name}' is 'xxx")) && said.len() < 200, "{said}");
        }
    }
}
