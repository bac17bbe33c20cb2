//! Payloads are MessagePack with named fields. The headers say type and version, so that a reader knows what it
//! holds before it decodes, and carry the W3C trace context.
use crate::{Message, Subject, trace};
use bytes::Bytes;
use domain::{Event, JobId, event};
use serde::{Serialize, de::DeserializeOwned};

pub const TYPE: &str = "Jb-Type";
pub const VERSION: &str = "Jb-Version";
/// On a lifecycle event: whether the job's chunks are to run after it, `yes` or `no`.
pub const WANTED: &str = "Jb-Wanted";
/// On a submission to a job's own subject, and on what is given up: whose it is; none: of `default`. Only doors and rooms
/// may publish there, so it is believed.
pub const TENANT: &str = "Jb-Tenant";
/// On the same: the pools that its requests may run in, with commas between them; none: all.
pub const POOLS: &str = "Jb-Pools";
pub const YES: &str = "yes";
pub const NO: &str = "no";
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";
pub const CONTENT_TYPE: &str = "Content-Type";
pub const JSON: &str = "application/json";
pub const MSGPACK: &str = "application/msgpack";

/// A common message, in bytes.
const SIZE: usize = 512;
/// Maps and lists within each other, as many as serde_json takes: a thread's stack has room for no thousand of them.
const DEPTH_MAX: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the message has version {found}; this jetbatch reads up to {known}. Upgrade it before it reads this log")]
    Newer { found: u32, known: u32 },
    #[error("the message's version is not a number")]
    Version,
    #[error("the payload is not a valid {what}")]
    MsgPack { what: &'static str, source: rmp_serde::decode::Error },
}

/// An event as a message, with its [`trace`]: lifecycle events on their own subject, facts on the job's other one.
pub fn event(job: JobId, event: &Event, trace: Option<&str>) -> Message {
    let subject = if event.is_lifecycle() { Subject::JobEvent(job) } else { Subject::ChunkEvent(job) };
    let message = Message::new(subject, encode(event)).header(TYPE, event.name()).header(VERSION, event.version());
    trace::put(message, trace)
}

/// An event from a message's `Jb-Version` header (none means 1) and payload.
pub fn read_event(version: Option<&str>, payload: &[u8]) -> Result<Event, DecodeError> {
    let found = version.map_or(Ok(1), str::parse).map_err(|_| DecodeError::Version)?;
    if found > event::VERSION {
        return Err(DecodeError::Newer { found, known: event::VERSION });
    }
    decode("event", payload)
}

/// MessagePack with named fields. The types of this crate encode without fail: none has a map with odd keys or a
/// sequence of unknown length.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    encode_about(value, SIZE)
}

/// The same for what has about this many bytes: a large buffer that grows is copied, and its pages cleared, again and again.
pub fn encode_about<T: Serialize>(value: &T, bytes: usize) -> Bytes {
    let mut out = Vec::with_capacity(bytes);
    value.serialize(&mut rmp_serde::Serializer::new(&mut out).with_struct_map()).expect("wire types encode");
    out.into()
}

pub fn decode<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
    deserializer.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut deserializer).map_err(|source| DecodeError::MsgPack { what, source })
}
