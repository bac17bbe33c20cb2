//! What worker and engine say to each other, and how: a frame is its length in four bytes, big-endian, and so many
//! bytes of MessagePack. Pure.
use super::limits::FRAME_BYTES_MAX;
use crate::{About, Answer, Endpoint, Fault, Key, Spec};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const HEAD: usize = size_of::<u32>();

/// From the worker. `Load` is the first, and comes once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Load(Box<Load>),
    Call {
        id: u64,
        endpoint: Endpoint,
        body: Bytes,
        key: Key,
    },
    /// Nobody waits for this call any more.
    Cancel {
        id: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub spec: Spec,
    /// What the program makes its process ready with.
    pub setup: String,
}

/// From the engine. `Ready` or `Failed` is the first; then each call has one answer or one fault, unless it is cancelled.
/// Beats come between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Ready(Ready),
    /// There is no engine, and this is why.
    Failed(String),
    Answer {
        id: u64,
        answer: Answer,
    },
    Fault {
        id: u64,
        fault: Fault,
    },
    /// Tokens came since the last one.
    Beat,
}

/// [`About`] without the engine's kind and task, which the worker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub model: String,
    pub slots: usize,
    pub device: String,
}

impl Ready {
    pub fn new(about: About) -> Self {
        Self { model: about.model, slots: about.slots, device: about.device }
    }

    pub fn about(self, spec: &Spec) -> About {
        let (engine, task) = (spec.kind().as_str(), spec.task());
        About { model: self.model, engine, task, slots: self.slots, device: self.device }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a frame of {bytes} bytes; the most is {FRAME_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("a frame that cannot be read: {0}")]
    Garbled(#[from] rmp_serde::decode::Error),
    #[error("a frame that cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

/// Appends a message as a frame, or nothing.
pub fn append<T: Serialize>(out: &mut BytesMut, message: &T) -> Result<(), Error> {
    let start = out.len();
    let written = fill(out, message);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn fill<T: Serialize>(out: &mut BytesMut, message: &T) -> Result<(), Error> {
    let body = out.len() + HEAD;
    out.put_u32(0);
    rmp_serde::encode::write_named(&mut (&mut *out).writer(), message)?;
    let bytes = out.len() - body;
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX).ok_or(Error::TooLong { bytes })?;
    out[body - HEAD..body].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Takes the first frame out of what was read so far. None: there is more to come.
pub fn take<T: DeserializeOwned>(read: &mut BytesMut) -> Result<Option<T>, Error> {
    let Some(head) = read.first_chunk::<HEAD>() else { return Ok(None) };
    let bytes = u32::from_be_bytes(*head) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(Error::TooLong { bytes });
    }
    if read.len() < HEAD + bytes {
        return Ok(None);
    }
    read.advance(HEAD);
    Ok(Some(rmp_serde::from_slice(&read.split_to(bytes))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mistralrs, Usage};

    fn requests() -> Vec<Request> {
        let whole =
            Mistralrs { paged_memory_share: Some(0.5), isq: Some("q4k".into()), ..Mistralrs::folder("models/tiny") };
        let load = |spec| Request::Load(Box::new(Load { spec, setup: "{}".into() }));
        let body = Bytes::from_static(b"{\"prompt\":\"\\u00e9\"}");
        let call = Request::Call { id: 7, endpoint: Endpoint::Chat, body, key: Key::seeded(1) };
        vec![load(whole.into()), load(Spec::echo()), call, Request::Cancel { id: 7 }]
    }

    fn responses() -> Vec<Response> {
        let usage = Usage { prompt: 3, completion: u64::MAX, cached: 0 };
        let fault = |fault| Response::Fault { id: u64::MAX, fault };
        vec![
            Response::Ready(Ready { model: "m".into(), slots: 128, device: "cuda:0".into() }),
            Response::Failed("no such folder".into()),
            Response::Answer { id: 0, answer: Answer::good("{}".into(), usage) },
            fault(Fault::Overloaded),
            fault(Fault::OutOfMemory { message: "m".into() }),
            fault(Fault::Died { message: "m".into() }),
            fault(Fault::Timeout { seconds: 9 }),
            fault(Fault::Internal { message: "m".into() }),
            Response::Beat,
        ]
    }

    fn frames<T: Serialize>(messages: &[T]) -> BytesMut {
        let mut out = BytesMut::new();
        messages.iter().for_each(|message| append(&mut out, message).unwrap());
        out
    }

    fn all<T: DeserializeOwned>(mut read: BytesMut) -> Vec<T> {
        let found = std::iter::from_fn(|| take(&mut read).unwrap()).collect();
        assert!(read.is_empty());
        found
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        assert_eq!(all::<Request>(frames(&requests())), requests());
        assert_eq!(all::<Response>(frames(&responses())), responses());
    }

    #[test]
    fn a_pipe_may_cut_anywhere() {
        let (mut read, mut found) = (BytesMut::new(), Vec::new());
        for byte in frames(&responses()) {
            read.put_u8(byte);
            found.extend(take::<Response>(&mut read).unwrap());
        }
        assert_eq!(found, responses());
    }

    #[test]
    fn a_frame_too_long_is_refused_before_it_is_read() {
        let mut read = BytesMut::from(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes()[..]);
        assert!(matches!(take::<Response>(&mut read), Err(Error::TooLong { .. })));
    }

    #[test]
    fn what_cannot_be_sent_leaves_no_trace() {
        let mut out = frames(&requests());
        let before = out.clone();
        let body = "x".repeat(FRAME_BYTES_MAX);
        let answer = Response::Answer { id: 1, answer: Answer::good(body, Usage::default()) };
        assert!(matches!(append(&mut out, &answer), Err(Error::TooLong { .. })));
        assert_eq!(out, before);
    }

    #[test]
    fn other_words_are_an_error() {
        for text in [&b"\0\0\0\x05hello"[..], b"\0\0\0\0", b"hello, this is a log line"] {
            assert!(take::<Response>(&mut BytesMut::from(text)).is_err(), "{text:?}");
        }
    }
}
