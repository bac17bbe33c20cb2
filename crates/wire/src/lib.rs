//! Subjects, envelopes and stored messages: everything of jetbatch that crosses NATS. No I/O.
pub mod blob;
mod dead;
mod declared;
pub mod envelope;
pub mod line;
pub mod parts;
mod presence;
mod results;
pub mod saved;
mod status;
mod subject;
pub mod trace;
mod work;

pub use address::{Address, BucketName, Message, Pattern, Stream};
pub use dead::DeadChunk;
pub use declared::{CACHE_MARK, CONSUMERS, STREAMS};
pub use presence::{Heartbeat, Lease};
pub use results::Results;
pub use status::{SlaAlert, StoredStatus};
pub use subject::{Filter, Subject, bucket, stream};
pub use work::Work;
