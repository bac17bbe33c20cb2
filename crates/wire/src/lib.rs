//! Subjects, envelopes and stored messages: everything of jetbatch that crosses NATS. No I/O.
pub mod blob;
mod declared;
pub mod envelope;
pub mod line;
mod subject;
pub mod trace;
pub mod work;

pub use address::{Address, BucketName, Message, Pattern, Stream};
pub use declared::{CACHE_MARK, CONSUMERS, STREAMS};
pub use subject::{Filter, Subject, bucket, stream};
