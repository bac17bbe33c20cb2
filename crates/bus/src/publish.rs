use std::sync::atomic::Ordering;
use std::time::Duration;

use address::Message;
use async_nats::{HeaderMap, RequestErrorKind};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::api::ErrorReply;
use super::{Bus, copy, limits, rest};

/// Where a message lies. `duplicate`: it lay there before, stored under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub stream: String,
    pub seq: u64,
    pub duplicate: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("no stream takes the subject {subject}")]
    NoStream { subject: String },
    #[error("an append to {subject} needs a message id")]
    NoId { subject: String },
    #[error("{subject} holds a message already, and the first one wins")]
    Taken { subject: String },
    #[error("the message for {subject} is larger than the {max} bytes that the server takes")]
    TooLarge { subject: String, max: usize },
    #[error("stream {stream} is full: {reason}")]
    Full { stream: String, reason: String },
    #[error("NATS denies publishing to {subject}")]
    Forbidden { subject: String },
    #[error("the server refused the message for {subject}: {reason} ({code})")]
    Refused { subject: String, code: u64, reason: String },
    #[error("stream {stream} did not answer for {seconds} s; nothing was stored on {subject}")]
    Unavailable { stream: String, subject: String, seconds: u64 },
    /// The message may be stored, now or later. With an id, publish it again; without one, read back.
    #[error("no answer came for the message on {subject}; whether it is stored is unknown")]
    Unknown { subject: String },
}

/// A message on its way: its stream known, its headers built anew for each try.
pub(super) struct Outgoing {
    pub stream: String,
    pub message: Message,
    pub expected: Option<u64>,
    /// A second copy does no harm, because the server drops it or the subject holds one message.
    pub repeatable: bool,
    /// Whether a full stream is tried again.
    pub waits_for_room: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Try {
    Stored(Stored),
    Conflict,
    Taken,
    Again(Why),
    TooLarge,
    Forbidden,
    Refused { code: u64, reason: String },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Why {
    /// The message may be stored or not.
    Unknown,
    /// Nobody took the message.
    NoStream,
    Busy,
    Full(String),
}

impl PublishError {
    /// Whether it is this one message that the server does not take: others may go well.
    pub const fn is_of_message(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Forbidden { .. } | Self::Refused { .. })
    }
}

impl Bus {
    /// Publishes until stored, trying again for the configured time with the same id.
    ///
    /// A message without an id is not sent twice after a lost answer, unless its stream keeps one message a subject:
    /// that ends in [`PublishError::Unknown`].
    pub async fn publish(&self, message: Message) -> Result<Stored, PublishError> {
        let out = self.address(message)?;
        self.persist(&out).await
    }

    /// The same, but a full stream is told at once: for who comes again by himself and has other things to do.
    pub async fn offer(&self, message: Message) -> Result<Stored, PublishError> {
        let out = Outgoing { waits_for_room: false, ..self.address(message)? };
        self.persist(&out).await
    }

    pub(super) fn address(&self, message: Message) -> Result<Outgoing, PublishError> {
        let Some(stream) = self.inner.files.stream_of(&message.subject) else {
            let stream = copy::stream_of(&message.subject);
            let stream = stream.ok_or_else(|| PublishError::NoStream { subject: message.subject.clone() })?;
            let repeatable = message.id.is_some();
            return Ok(Outgoing { stream, message, expected: None, repeatable, waits_for_room: true });
        };
        let repeatable = message.id.is_some() || stream.one_per_subject;
        Ok(Outgoing { stream: stream.name.clone(), message, expected: None, repeatable, waits_for_room: true })
    }

    pub(super) async fn persist(&self, out: &Outgoing) -> Result<Stored, PublishError> {
        let mut tries = Tries::start(self.inner.retry_for);
        loop {
            match self.try_once(out, tries.patience(out)).await {
                Try::Stored(stored) => return Ok(stored),
                Try::Again(why) => self.again(out, &mut tries, why).await?,
                other => {
                    if other == Try::TooLarge {
                        self.renew_limits().await;
                    }
                    return Err(out.failure(other, self));
                }
            }
        }
    }

    /// One send and its answer. Who may repeat does not wait for an answer that a lost connection took along.
    pub(super) async fn try_once(&self, out: &Outgoing, patience: Duration) -> Try {
        let mut epoch = self.inner.signals.epoch();
        let request = async_nats::Request::new()
            .headers(out.headers())
            .payload(out.message.payload.clone())
            .timeout(Some(patience));
        // The request's own timeout begins when it is handed over, which a lost connection delays.
        let sent = timeout(2 * patience, self.client().send_request(out.message.subject.clone(), request));
        let denied = self.inner.signals.denied(&out.message.subject, Instant::now());
        tokio::select! {
            biased;
            reply = sent => reply.map_or(Try::Again(Why::Unknown), judge),
            _ = epoch.changed(), if out.repeatable => Try::Again(Why::Unknown),
            () = denied => Try::Forbidden,
        }
    }

    /// Rests before the next try, or says why there is none.
    pub(super) async fn again(&self, out: &Outgoing, tries: &mut Tries, why: Why) -> Result<(), PublishError> {
        let subject = &out.message.subject;
        if why == Why::Unknown && !out.repeatable {
            return Err(PublishError::Unknown { subject: subject.clone() });
        }
        tries.note(&why);
        let is_refused = matches!(why, Why::Full(_)) && !out.waits_for_room;
        if is_refused || Instant::now() >= tries.until {
            return Err(tries.verdict(out, why));
        }
        self.inner.counts.retries.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(subject, ?why, tries = tries.count, "publish is tried again");
        if why == Why::NoStream && tries.count % 8 == 4 {
            self.revive(&out.stream).await;
        }
        rest().await;
        Ok(())
    }
}

impl Outgoing {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.message.headers {
            headers.append(*name, value.as_str());
        }
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, self.stream.as_str());
        if let Some(id) = &self.message.id {
            headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
        }
        if let Some(expected) = self.expected {
            headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        headers
    }

    pub(super) fn failure(&self, outcome: Try, bus: &Bus) -> PublishError {
        let subject = self.message.subject.clone();
        match outcome {
            Try::Taken => PublishError::Taken { subject },
            Try::TooLarge => PublishError::TooLarge { subject, max: bus.client().max_payload() },
            Try::Forbidden => PublishError::Forbidden { subject },
            Try::Refused { code, reason } => PublishError::Refused { subject, code, reason },
            Try::Stored(_) | Try::Conflict | Try::Again(_) => PublishError::Unknown { subject },
        }
    }
}

/// How long and with what result one message was tried.
pub(super) struct Tries {
    began: Instant,
    until: Instant,
    count: u32,
    unknown: bool,
}

impl Tries {
    pub fn start(retry_for: Duration) -> Self {
        let began = Instant::now();
        Self { began, until: began + retry_for, count: 0, unknown: false }
    }

    /// How long the next try may take.
    pub fn patience(&self, out: &Outgoing) -> Duration {
        let is_small = out.message.payload.len() <= limits::QUICK_BYTES_MAX;
        let is_quick = out.repeatable && is_small && self.count < limits::QUICK_TRIES;
        if is_quick { limits::QUICK_PUBLISH } else { limits::TRY_TIMEOUT }
    }

    fn note(&mut self, why: &Why) {
        self.count += 1;
        self.unknown |= *why == Why::Unknown;
    }

    fn verdict(&self, out: &Outgoing, why: Why) -> PublishError {
        let (stream, subject) = (out.stream.clone(), out.message.subject.clone());
        match why {
            _ if self.unknown => PublishError::Unknown { subject },
            Why::Full(reason) => PublishError::Full { stream, reason },
            _ => PublishError::Unavailable { stream, subject, seconds: (self.until - self.began).as_secs() },
        }
    }
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ErrorReply>,
}

fn judge(reply: Result<async_nats::Message, async_nats::RequestError>) -> Try {
    match reply {
        Ok(message) => read_ack(&message.payload),
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => Try::Again(Why::NoStream),
            RequestErrorKind::MaxPayloadExceeded => Try::TooLarge,
            RequestErrorKind::InvalidSubject => Try::Refused { code: 0, reason: error.to_string() },
            RequestErrorKind::TimedOut | RequestErrorKind::Other => Try::Again(Why::Unknown),
        },
    }
}

fn read_ack(payload: &[u8]) -> Try {
    match serde_json::from_slice::<Ack>(payload) {
        Ok(Ack { error: Some(refusal), .. }) => sort(refusal),
        Ok(Ack { stream, seq, duplicate, error: None }) if seq > 0 => Try::Stored(Stored { stream, seq, duplicate }),
        // Someone else answered on a stream's subject: the stream's own answer was lost behind it.
        Ok(_) | Err(_) => Try::Again(Why::Unknown),
    }
}

fn sort(refusal: ErrorReply) -> Try {
    const WRONG_LAST_SEQUENCE: u64 = 10_071;
    const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10_164;
    const STORE_FAILED: u64 = 10_077;
    const DUPLICATE_IN_FLIGHT: u64 = 10_158;
    const NO_RESOURCES: [u64; 4] = [10_002, 10_023, 10_028, 10_047];
    match refusal.err_code {
        WRONG_LAST_SEQUENCE => Try::Conflict,
        STORE_FAILED if refusal.description.contains("per subject") => Try::Taken,
        STORE_FAILED => Try::Again(Why::Full(refusal.description)),
        code if NO_RESOURCES.contains(&code) => Try::Again(Why::Full(refusal.description)),
        WRONG_LAST_SEQUENCE_IN_FLIGHT | DUPLICATE_IN_FLIGHT => Try::Again(Why::Busy),
        _ if refusal.is_transient() => Try::Again(Why::Busy),
        code => Try::Refused { code, reason: refusal.description },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u64, err_code: u64, text: &str) -> Try {
        let json = serde_json::json!({"error": {"code": code, "err_code": err_code, "description": text}});
        read_ack(json.to_string().as_bytes())
    }

    #[test]
    fn every_known_answer_has_its_meaning() {
        let full = |text: &str| Try::Again(Why::Full(text.to_owned()));
        assert_eq!(answer(400, 10_071, "wrong last sequence: 7"), Try::Conflict);
        assert_eq!(answer(400, 10_164, "wrong last sequence"), Try::Again(Why::Busy));
        assert_eq!(answer(409, 10_158, "duplicate message id is in process"), Try::Again(Why::Busy));
        assert_eq!(answer(429, 10_167, "too many requests"), Try::Again(Why::Busy));
        assert_eq!(answer(429, 10_210, "too many inflight"), Try::Again(Why::Busy));
        assert_eq!(answer(503, 10_009, "not leader"), Try::Again(Why::Busy));
        assert_eq!(answer(503, 10_077, "maximum messages per subject exceeded"), Try::Taken);
        assert_eq!(answer(503, 10_077, "maximum bytes exceeded"), full("maximum bytes exceeded"));
        let reason = "expected stream does not match".to_owned();
        assert_eq!(answer(400, 10_060, &reason), Try::Refused { code: 10_060, reason });
    }

    #[test]
    fn only_what_costs_little_is_soon_sent_again() {
        let out = |bytes, repeatable| {
            let message = Message::spelled("event.chunk.a", vec![0; bytes]);
            Outgoing { stream: "EVENTS".into(), message, expected: None, repeatable, waits_for_room: true }
        };
        let mut tries = Tries::start(Duration::ZERO);
        assert_eq!(tries.patience(&out(limits::QUICK_BYTES_MAX, true)), limits::QUICK_PUBLISH);
        assert_eq!(tries.patience(&out(limits::QUICK_BYTES_MAX + 1, true)), limits::TRY_TIMEOUT);
        assert_eq!(tries.patience(&out(1, false)), limits::TRY_TIMEOUT);
        (0..limits::QUICK_TRIES).for_each(|_| tries.note(&Why::Unknown));
        assert_eq!(tries.patience(&out(1, true)), limits::TRY_TIMEOUT);
    }

    #[test]
    fn an_answer_from_a_stranger_proves_nothing() {
        assert_eq!(read_ack(b"hello"), Try::Again(Why::Unknown));
        assert_eq!(read_ack(b"{}"), Try::Again(Why::Unknown));
        let stored = Stored { stream: "WORK".into(), seq: 3, duplicate: true };
        assert_eq!(read_ack(br#"{"stream":"WORK","seq":3,"duplicate":true}"#), Try::Stored(stored));
    }
}
