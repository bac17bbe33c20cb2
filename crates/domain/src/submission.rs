//! What a client sends on `jobs.submit`: a submission.
use crate::{
    JobId,
    event::{Priority, is_false},
    limits::{
        FIELD_BYTES_MAX, INLINE_REQUESTS_MAX, METADATA_KEY_CHARS_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_CHARS_MAX,
        WINDOW_MS_DEFAULT, WINDOW_MS_MAX,
    },
    line::URLS,
    raw::RawRequest,
    table::{Given, Map},
    time,
    webhook::{self, Target},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    ops::Deref,
};

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
    #[serde(default, deserialize_with = "pairs", skip_serializing_if = "BTreeMap::is_empty")]
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
    /// `upload://<id>`, `file:///...` under an allowed root, or an object's URL under an allowed prefix; of a table with
    /// its `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Given>,
    /// Hash of the client's body where that is not this message (the HTTP door uploads first and submits then).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Where the job's end and its alerts are sent, signed, in place of its tenant's URL; `none`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
}

/// `null` is as good as absent.
pub fn absent<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Names and texts, each name once; `null` is as good as absent.
pub fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    absent(deserializer).map(|Pairs(pairs)| pairs)
}

/// The last of two would win, and nobody would know.
#[derive(Default)]
struct Pairs(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    match pairs.entry(name) {
                        Entry::Vacant(place) => drop(place.insert(text)),
                        Entry::Occupied(place) => {
                            return Err(A::Error::custom(format!("`{}` stands twice", place.key())));
                        }
                    }
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// What is wrong with a submission, in words for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
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
    #[error("'endpoint' is '{}'; served are {}", short(.0), URLS.join(", "))]
    Endpoint(String),
    #[error("'metadata' holds {0} pairs; at most {METADATA_PAIRS_MAX} are kept")]
    MetadataPairs(usize),
    #[error(
        "'metadata.{0}' is too long: a key has at most {METADATA_KEY_CHARS_MAX} characters, a value {METADATA_VALUE_CHARS_MAX}"
    )]
    MetadataSize(String),
    #[error("'priority' is missing; use high, normal or low (or urgent, standard, background)")]
    NoPriority,
    #[error("'{0}' is longer than {FIELD_BYTES_MAX} bytes")]
    TooLong(&'static str),
    #[error(transparent)]
    Webhook(#[from] webhook::Fault),
}

/// What is quoted of a field, however long it is.
fn short(text: &str) -> String {
    text.chars().take(METADATA_KEY_CHARS_MAX).collect()
}

impl Submission {
    /// How the rows of a table become requests.
    pub fn map(&self) -> Option<&Map> {
        self.input.as_ref().and_then(Given::map)
    }

    /// Whether the job is refused where a request would be answered with an error.
    pub fn is_strict(&self) -> bool {
        self.strict || self.map().is_some_and(|map| map.strict == Some(true))
    }

    /// Checks all that can be checked without the input.
    pub fn check(self) -> Result<Checked, Mistake> {
        let window_ms = self.window_ms()?;
        Ok(Checked { submission: self, window_ms })
    }

    fn window_ms(&self) -> Result<u64, Mistake> {
        self.check_input()?;
        self.check_metadata()?;
        self.check_texts()?;
        self.webhook_url.as_deref().filter(|url| *url != webhook::NONE).map(Target::read).transpose()?;
        if let Some(endpoint) = self.endpoint.as_deref().filter(|e| !URLS.contains(e)) {
            return Err(Mistake::Endpoint(endpoint.to_owned()));
        }
        let Some(text) = &self.completion_window else { return Ok(WINDOW_MS_DEFAULT) };
        time::window(text).filter(|ms| *ms <= WINDOW_MS_MAX).ok_or_else(|| Mistake::Window(text.clone()))
    }

    fn check_input(&self) -> Result<(), Mistake> {
        match (&self.requests, &self.input) {
            (None, None) => Err(Mistake::NoInput),
            (Some(_), Some(_)) => Err(Mistake::TwoInputs),
            (Some(requests), None) if requests.is_empty() => Err(Mistake::NoRequests),
            (Some(requests), None) if requests.len() > INLINE_REQUESTS_MAX => {
                Err(Mistake::TooManyRequests(requests.len()))
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
        }
    }

    fn check_metadata(&self) -> Result<(), Mistake> {
        if self.metadata.len() > METADATA_PAIRS_MAX {
            return Err(Mistake::MetadataPairs(self.metadata.len()));
        }
        let long = |key: &str, value: &str| {
            key.chars().count() > METADATA_KEY_CHARS_MAX || value.chars().count() > METADATA_VALUE_CHARS_MAX
        };
        match self.metadata.iter().find(|(key, value)| long(key, value)) {
            Some((key, _)) => Err(Mistake::MetadataSize(short(key))),
            None => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), Mistake> {
        let (model, fingerprint) = (self.model.as_deref(), self.fingerprint.as_deref());
        let texts = [("model", model), ("input", self.input.as_ref().map(Given::url)), ("fingerprint", fingerprint)];
        let long = texts.into_iter().find(|(_, text)| text.is_some_and(|text| text.len() > FIELD_BYTES_MAX));
        long.map_or(Ok(()), |(name, _)| Err(Mistake::TooLong(name)))
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
        self.submission.input = Some(url.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(json: &str) -> Mistake {
        serde_json::from_str::<Submission>(json).unwrap().check().unwrap_err()
    }

    #[test]
    fn the_window_is_a_day_unless_asked_for() {
        let submission: Submission = serde_json::from_str(r#"{"requests":[{"custom_id":"a"}]}"#).unwrap();
        assert_eq!(submission.check().map(|checked| checked.window_ms()), Ok(86_400_000));
    }

    #[test]
    fn a_class_has_two_names() {
        for (name, other) in [("urgent", "high"), ("standard", "normal"), ("background", "low")] {
            let read = |word: &str| serde_json::from_str::<Priority>(&format!("\"{word}\"")).unwrap();
            assert_eq!((read(name), name.parse()), (read(other), Ok(read(other))));
            assert_eq!((<&str>::from(read(name)), serde_json::to_value(read(name)).unwrap()), (other, other.into()));
        }
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let text = r#"{"id":null,"model":null,"endpoint":null,"completion_window":null,"metadata":null,"priority":null,
            "strict":null,"requests":null,"input":"x","fingerprint":null,"webhook_url":null}"#;
        let submission: Submission = serde_json::from_str(text).unwrap();
        assert_eq!(submission, Submission { input: Some("x".into()), ..Submission::default() });
    }

    #[test]
    fn each_mistake_has_its_word() {
        assert_eq!(mistake("{}"), Mistake::NoInput);
        assert_eq!(mistake(r#"{"requests":[],"input":"x"}"#), Mistake::TwoInputs);
        assert_eq!(mistake(r#"{"requests":[]}"#), Mistake::NoRequests);
        assert_eq!(mistake(r#"{"input":"x","completion_window":"soon"}"#), Mistake::Window("soon".into()));
        assert_eq!(mistake(r#"{"input":"x","completion_window":"31d"}"#), Mistake::Window("31d".into()));
        assert_eq!(mistake(r#"{"input":"x","endpoint":"/v1/responses"}"#), Mistake::Endpoint("/v1/responses".into()));
        let long = format!(r#"{{"input":"x","metadata":{{"k":"{}"}}}}"#, "v".repeat(513));
        assert_eq!(mistake(&long), Mistake::MetadataSize("k".into()));
        let plain = r#"{"input":"x","webhook_url":"ftp://a.b"}"#;
        assert_eq!(mistake(plain), Mistake::Webhook(webhook::Fault::Scheme));
        assert!(serde_json::from_str::<Submission>(r#"{"inputs":"x"}"#).is_err());
        for name in ["model", "fingerprint"] {
            let long = format!(r#"{{"input":"x","{name}":"{}"}}"#, "x".repeat(FIELD_BYTES_MAX + 1));
            assert_eq!(mistake(&long), Mistake::TooLong(name));
        }
    }

    /// The last one would win, without a word.
    #[test]
    fn a_key_of_metadata_stands_once() {
        let read = serde_json::from_str::<Submission>(r#"{"input":"x","metadata":{"k":"a","\u006b":"b"}}"#);
        let error = read.unwrap_err().to_string();
        assert!(error.contains("`k` stands twice"), "{error}");
        let packed = b"\x82\xa5input\xa1x\xa8metadata\x82\xa1k\xa1a\xa1k\xa1b";
        assert!(rmp_serde::from_slice::<Submission>(packed).is_err());
    }

    /// It goes into the job's last event, which must fit into a message.
    #[test]
    fn what_is_said_of_a_mistake_is_short() {
        for name in ["completion_window", "endpoint"] {
            let said = mistake(&format!(r#"{{"input":"x","{name}":"{}"}}"#, "x".repeat(9_999))).to_string();
            assert!(said.starts_with(&format!("'{name}' is 'xxx")) && said.len() < 200, "{said}");
        }
    }
}
