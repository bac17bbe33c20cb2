use crate::Address;
use bytes::Bytes;

/// What is to be published: a concrete subject, headers, a payload and, where the stream deduplicates, a message id.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub subject: String,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Bytes,
    /// `Nats-Msg-Id`. The same id is used for every retry of one publish.
    pub id: Option<String>,
}

impl Message {
    pub fn new(subject: impl Address, payload: impl Into<Bytes>) -> Self {
        Self::spelled(subject.to_string(), payload)
    }

    /// For a subject that is no program's own, as a key of a bucket.
    pub fn spelled(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { subject: subject.into(), headers: Vec::new(), payload: payload.into(), id: None }
    }

    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}
