//! Subjects, envelopes and stored messages: everything of jetbatch that crosses NATS. No I/O.
pub mod blob;
pub mod envelope;
mod message;
mod subject;
pub mod work;

pub use message::Message;
pub use subject::{Filter, Subject, bucket, stream};
