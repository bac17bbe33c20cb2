use address::{Address, Pattern, Stream};
use std::collections::HashMap;
use std::fmt;
use std::sync::PoisonError;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{self, DirectGetErrorKind, LastRawMessageErrorKind};
use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::api::{self, ApiError};
use super::{Bus, limits, rest};

/// A stored message.
#[derive(Clone)]
pub struct Raw {
    pub subject: String,
    pub seq: u64,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// When the server stored it, in milliseconds since 1970.
    pub time_ms: u64,
    /// How many messages of the same read follow; 0 is caught up. Always 0 outside a [`super::Reader`].
    pub pending: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("there is no stream {stream}")]
    NoStream { stream: String },
    #[error("stream {stream} is not the one that was read before: it ends at {last}; start again from the log")]
    Replaced { stream: String, last: u64 },
    #[error("reading {what} was refused: {reason} ({code})")]
    Refused { what: String, code: u64, reason: String },
    #[error("{what} could not be read for {seconds} s: {reason}")]
    Unavailable { what: String, seconds: u64, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    #[serde(default)]
    pub num_subjects: u64,
    /// When the stream was created: another time than before means another stream.
    #[serde(default, skip_deserializing)]
    pub created: String,
}

#[derive(Deserialize)]
struct Info {
    created: String,
    state: StreamState,
}

impl Raw {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_last(name).map(|value| value.as_str())
    }

    /// Its `Nats-Msg-Id`.
    pub fn id(&self) -> Option<&str> {
        self.header("Nats-Msg-Id")
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, seq, payload, pending, .. } = self;
        write!(f, "Raw {{ {subject} #{seq}, {} bytes, {pending} pending }}", payload.len())
    }
}

impl From<StreamMessage> for Raw {
    fn from(message: StreamMessage) -> Self {
        Self {
            subject: message.subject.to_string(),
            seq: message.sequence,
            headers: message.headers,
            payload: message.payload,
            time_ms: millis(message.time),
            pending: 0,
        }
    }
}

pub(super) fn millis(time: async_nats::datetime::DateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

impl ReadError {
    pub(super) fn from_api(stream: &str, what: &str, error: ApiError) -> Self {
        match error {
            ApiError::Refused { code: api::code::STREAM_NOT_FOUND, .. } => Self::NoStream { stream: stream.to_owned() },
            ApiError::Refused { code, reason } => Self::Refused { what: what.to_owned(), code, reason },
            ApiError::Unavailable { seconds, reason } => Self::Unavailable { what: what.to_owned(), seconds, reason },
            denied @ ApiError::Denied { .. } => {
                Self::Refused { what: what.to_owned(), code: 0, reason: denied.to_string() }
            }
        }
    }
}

/// One get, as the retry loop sees it.
enum Got {
    Found(Box<StreamMessage>),
    Absent,
    Passing(String),
    Final(ReadError),
}

impl Bus {
    /// The last message on a subject, from the stream's leader: what was acknowledged before is seen.
    pub async fn last(&self, subject: &impl Address) -> Result<Option<Raw>, ReadError> {
        self.newest(subject.stream().as_str(), &subject.to_string()).await
    }

    /// The last message that a wildcard matches, as [`Bus::last`].
    pub async fn last_of(&self, stream: Stream, filter: &impl Pattern) -> Result<Option<Raw>, ReadError> {
        self.newest(stream.as_str(), &filter.to_string()).await
    }

    pub(crate) async fn newest(&self, stream: &str, subject: &str) -> Result<Option<Raw>, ReadError> {
        let handle = self.handle(stream).await?;
        let get = || async { raw(stream, handle.get_last_raw_message_by_subject(subject).await) };
        self.get(stream, subject, get).await
    }

    /// The same, but where the leader gives no answer, from any replica: that may be a moment behind. The leader of a
    /// stream gives none, too, while its cluster has no leader.
    pub async fn last_near(&self, subject: &impl Address) -> Result<Option<Raw>, ReadError> {
        let (stream, subject) = (subject.stream().as_str(), subject.to_string());
        let subject = subject.as_str();
        let handle = self.handle(stream).await?;
        let get = || async {
            match self.led(stream, handle.get_last_raw_message_by_subject(subject)).await {
                Got::Passing(_) => direct(subject, handle.direct_get_last_for_subject(subject).await),
                got => got,
            }
        };
        self.get(stream, subject, get).await
    }

    /// The last message on a subject that ought to have one, as [`Bus::last`]. Who may not ask the leader asks replicas,
    /// again for a moment while they know of none.
    pub async fn last_known(&self, subject: &impl Address) -> Result<Option<Raw>, ReadError> {
        let (stream, subject) = (subject.stream().as_str(), subject.to_string());
        let subject = subject.as_str();
        let handle = self.handle(stream).await?;
        let until = Instant::now() + limits::REPLICA_LAG;
        let get = || async {
            match self.led(stream, handle.get_last_raw_message_by_subject(subject)).await {
                Got::Passing(_) if self.is_forbidden(stream) => {
                    direct(subject, handle.direct_get_last_for_subject(subject).await)
                }
                got => got,
            }
        };
        loop {
            let found = self.get(stream, subject, &get).await?;
            if found.is_some() || !self.is_forbidden(stream) || Instant::now() >= until {
                return Ok(found);
            }
            rest().await;
        }
    }

    /// What a stream's leader says, for who may ask it. A worker with narrow rights may not: what it asks there names no
    /// subject, so that the right to ask would be the right to read all.
    async fn led(
        &self,
        stream: &str,
        ask: impl Future<Output = Result<StreamMessage, async_nats::error::Error<LastRawMessageErrorKind>>>,
    ) -> Got {
        let forbidden = || Got::Passing("it may be asked of replicas alone".to_owned());
        if self.is_forbidden(stream) {
            return forbidden();
        }
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        tokio::select! {
            biased;
            got = ask => raw(stream, got),
            () = self.inner.signals.denied(&subject, Instant::now()) => {
                self.inner.forbidden.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.to_owned());
                forbidden()
            }
        }
    }

    fn is_forbidden(&self, stream: &str) -> bool {
        self.inner.forbidden.lock().unwrap_or_else(PoisonError::into_inner).contains(stream)
    }

    /// The first message on a subject at or after `seq`, from the stream's leader.
    pub async fn next_on(&self, subject: &impl Address, seq: u64) -> Result<Option<Raw>, ReadError> {
        self.following(subject.stream().as_str(), &subject.to_string(), seq).await
    }

    pub(crate) async fn following(&self, stream: &str, subject: &str, seq: u64) -> Result<Option<Raw>, ReadError> {
        let handle = self.handle(stream).await?;
        let get = || async {
            let get = handle.raw_message_builder().sequence(seq.max(1)).next_by_subject(subject);
            raw(stream, get.send().await)
        };
        self.get(stream, subject, get).await
    }

    /// The last message on a subject from any replica: fast, and possibly a moment old.
    pub async fn direct(&self, subject: &impl Address) -> Result<Option<Raw>, ReadError> {
        self.replica(subject.stream().as_str(), &subject.to_string()).await
    }

    pub(crate) async fn replica(&self, stream: &str, subject: &str) -> Result<Option<Raw>, ReadError> {
        let handle = self.handle(stream).await?;
        let get = || async { direct(subject, handle.direct_get_last_for_subject(subject).await) };
        self.get(stream, subject, get).await
    }

    /// The message at a sequence, from the stream's leader.
    pub async fn at(&self, stream: Stream, seq: u64) -> Result<Option<Raw>, ReadError> {
        self.at_of(stream.as_str(), seq).await
    }

    pub(crate) async fn at_of(&self, stream: &str, seq: u64) -> Result<Option<Raw>, ReadError> {
        let handle = self.handle(stream).await?;
        let get = || async { raw(stream, handle.get_raw_message(seq).await) };
        self.get(stream, &format!("message {seq}"), get).await
    }

    pub async fn state(&self, stream: Stream) -> Result<StreamState, ReadError> {
        self.state_of(stream.as_str()).await
    }

    /// Creates a stream that is gone, where it is a cache.
    pub async fn ensure(&self, stream: Stream) {
        self.revive(stream.as_str()).await;
    }

    pub(crate) async fn state_of(&self, stream: &str) -> Result<StreamState, ReadError> {
        let info: Info = self.info(stream, &json!({})).await?;
        Ok(StreamState { created: info.created, ..info.state })
    }

    /// The state of a stream that once held the sequence `seq`. That it ends before is no proof that anything is lost: a
    /// leader that slept answers so. It is asked again until it holds `seq`, or for longer than a leader can be wrong.
    /// A stream that was not `born` then is another, and that is proof.
    pub async fn settled(&self, stream: Stream, seq: u64, born: Option<&str>) -> Result<StreamState, ReadError> {
        self.settled_of(stream.as_str(), seq, born).await
    }

    pub(crate) async fn settled_of(
        &self,
        stream: &str,
        seq: u64,
        born: Option<&str>,
    ) -> Result<StreamState, ReadError> {
        let until = Instant::now() + limits::SETTLE;
        loop {
            let state = self.state_of(stream).await?;
            let is_other = born.is_some_and(|born| born != state.created);
            if state.last_seq >= seq || is_other || Instant::now() >= until {
                return Ok(state);
            }
            tracing::debug!(stream, seq, last = state.last_seq, "the stream's leader is behind");
            rest().await;
        }
    }

    pub async fn last_seq(&self, stream: Stream) -> Result<u64, ReadError> {
        Ok(self.state(stream).await?.last_seq)
    }

    /// The subjects that match a filter and how many messages each holds.
    pub async fn subjects(&self, stream: Stream, filter: &impl Pattern) -> Result<HashMap<String, u64>, ReadError> {
        self.subject_counts(stream.as_str(), &filter.to_string()).await
    }

    pub(crate) async fn subject_counts(&self, stream: &str, filter: &str) -> Result<HashMap<String, u64>, ReadError> {
        #[derive(Deserialize)]
        struct Page {
            state: Subjects,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct Subjects {
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let (mut all, mut offset) = (HashMap::new(), 0);
        loop {
            let page: Page = self.info(stream, &json!({"subjects_filter": filter, "offset": offset})).await?;
            let subjects = page.state.subjects.unwrap_or_default();
            offset += subjects.len();
            let is_last = subjects.is_empty() || offset >= page.total;
            all.extend(subjects);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Deletes every message whose subject matches, and says how many there were.
    pub async fn purge(&self, stream: Stream, filter: &impl Pattern) -> Result<u64, ReadError> {
        self.purge_of(stream.as_str(), &filter.to_string()).await
    }

    pub(crate) async fn purge_of(&self, stream: &str, filter: &str) -> Result<u64, ReadError> {
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        let answer: Result<Purged, _> = self.api(&format!("STREAM.PURGE.{stream}"), &json!({"filter": filter})).await;
        answer.map(|answer| answer.purged).map_err(|error| ReadError::from_api(stream, filter, error))
    }

    /// Deletes the message at a sequence. False: it is gone already, also by an earlier try whose answer was lost.
    pub async fn delete(&self, stream: Stream, seq: u64) -> Result<bool, ReadError> {
        let stream = stream.as_str();
        #[derive(Deserialize)]
        struct Deleted {
            success: bool,
        }
        let answer: Result<Deleted, _> = self.api(&format!("STREAM.MSG.DELETE.{stream}"), &json!({"seq": seq})).await;
        match answer {
            Ok(answer) => Ok(answer.success),
            Err(ApiError::Refused { code: api::code::SEQUENCE_NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(ReadError::from_api(stream, &format!("message {seq}"), error)),
        }
    }

    async fn info<T: serde::de::DeserializeOwned>(
        &self,
        stream: &str,
        body: &serde_json::Value,
    ) -> Result<T, ReadError> {
        let info = self.api(&format!("STREAM.INFO.{stream}"), body).await;
        info.map_err(|error| ReadError::from_api(stream, stream, error))
    }

    async fn handle(&self, stream: &str) -> Result<stream::Stream<()>, ReadError> {
        let handle = self.js().get_stream_no_info(stream).await;
        handle.map_err(|_| ReadError::NoStream { stream: stream.to_owned() })
    }

    async fn get<F: Future<Output = Got>>(
        &self,
        stream: &str,
        subject: &str,
        once: impl Fn() -> F,
    ) -> Result<Option<Raw>, ReadError> {
        let until = Instant::now() + self.inner.retry_for;
        loop {
            match once().await {
                Got::Found(message) => return Ok(Some(Raw::from(*message))),
                Got::Absent => return Ok(None),
                Got::Final(error) => return Err(error),
                Got::Passing(reason) if Instant::now() >= until => {
                    let seconds = self.inner.retry_for.as_secs();
                    return Err(ReadError::Unavailable { what: format!("{subject} of {stream}"), seconds, reason });
                }
                Got::Passing(reason) => tracing::debug!(stream, subject, reason, "read is tried again"),
            }
            rest().await;
        }
    }
}

fn raw(stream: &str, got: Result<StreamMessage, async_nats::error::Error<LastRawMessageErrorKind>>) -> Got {
    use LastRawMessageErrorKind as K;
    let error = match got {
        Ok(message) => return Got::Found(Box::new(message)),
        Err(error) => error,
    };
    match error.kind() {
        K::NoMessageFound => Got::Absent,
        K::JetStream(refusal) if refusal.error_code().0 == api::code::STREAM_NOT_FOUND => {
            Got::Final(ReadError::NoStream { stream: stream.to_owned() })
        }
        K::JetStream(refusal) if matches!(refusal.code(), 429 | 503) => Got::Passing(refusal.to_string()),
        K::JetStream(refusal) => {
            let (code, reason) = (refusal.error_code().0, refusal.to_string());
            Got::Final(ReadError::Refused { what: stream.to_owned(), code, reason })
        }
        K::InvalidSubject => {
            Got::Final(ReadError::Refused { what: stream.to_owned(), code: 0, reason: error.to_string() })
        }
        K::Other => Got::Passing(error.to_string()),
    }
}

fn direct(subject: &str, got: Result<StreamMessage, async_nats::error::Error<DirectGetErrorKind>>) -> Got {
    use DirectGetErrorKind as K;
    let error = match got {
        Ok(message) => return Got::Found(Box::new(message)),
        Err(error) => error,
    };
    match error.kind() {
        K::NotFound => Got::Absent,
        K::ErrorResponse(StatusCode::NO_RESPONDERS, _) | K::TimedOut | K::Request | K::Other => {
            Got::Passing(error.to_string())
        }
        K::ErrorResponse(status, reason) => {
            let code = u64::from(status.as_u16());
            Got::Final(ReadError::Refused { what: subject.to_owned(), code, reason })
        }
        K::InvalidSubject => {
            Got::Final(ReadError::Refused { what: subject.to_owned(), code: 0, reason: error.to_string() })
        }
    }
}
