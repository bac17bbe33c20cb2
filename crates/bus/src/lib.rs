//! The way to NATS: a thin shell over async-nats that publishes until stored, reads until caught up and never
//! takes silence for an answer. It knows streams and subjects by their types, and nothing of what they carry.
mod api;
mod append;
mod apply;
mod bucket;
mod connect;
pub mod context;
mod copy;
mod create;
mod delivery;
pub mod doctor;
mod files;
mod limits;
mod login;
pub mod private;
mod publish;
mod pull;
mod puller;
mod read;
mod reader;
pub mod server;
mod settings;
mod tls;
mod version;
mod window;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use async_nats::jetstream::Context;

pub use address::{Address, BucketName, Message, Pattern, Stream};
pub use append::Append;
pub use apply::{ApplyError, Change, Difference, Field};
pub use bucket::{Bucket, Entry, Op, Watch};
pub use connect::ConnectError;
pub use delivery::{AckError, Delivery};
pub use files::{BuiltIn, Declared, FileError, Files, Role};
pub use limits::SERVER_VERSION_MIN;
pub use publish::{PublishError, Stored};
pub use puller::{PullError, Puller};
pub use read::{Raw, ReadError, StreamState};
pub use reader::{Mark, Reader};
pub use settings::{Secret, Settings, SettingsError, Storage, Tls, redact};
pub use version::Version;
pub use window::Window;

/// One connection to NATS. Cheap to clone; every clone shares the connection.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

struct Inner {
    client: async_nats::Client,
    js: Context,
    files: Files,
    retry_for: Duration,
    signals: connect::Signals,
    counts: Counters,
    /// Streams whose leader this login may not ask.
    forbidden: Mutex<HashSet<String>>,
    /// When the server's limits were asked anew.
    asked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Counters {
    retries: AtomicU64,
    reads_reopened: AtomicU64,
}

/// What the bus counted since it was connected, for `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub publish_retries: u64,
    pub reads_reopened: u64,
    pub reconnects: u64,
}

impl Bus {
    /// Bytes that the server takes in one message, beside headers and what tells about them.
    pub fn room(&self) -> usize {
        let most = self.inner.client.max_payload();
        most - limits::HEAD_BYTES.min(most / 4)
    }

    /// A server tells its limits when a connection begins, and a reload may have changed them since.
    pub(crate) async fn renew_limits(&self) {
        let (now, again) = (Instant::now(), limits::LIMITS_AGAIN);
        let is_due = {
            let mut asked = self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = asked.is_none_or(|asked| now.duration_since(asked) >= again);
            *asked = if is_due { Some(now) } else { *asked };
            is_due
        };
        if is_due && self.inner.client.force_reconnect().await.is_err() {
            tracing::debug!("the connection ends; limits are not asked for");
        }
    }

    pub fn js(&self) -> &Context {
        &self.inner.js
    }

    pub fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.inner.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The stream and consumer files in force: the built-in ones, overridden by `streams_dir`.
    pub fn files(&self) -> &Files {
        &self.inner.files
    }

    pub fn counts(&self) -> Counts {
        let counts = &self.inner.counts;
        Counts {
            publish_retries: counts.retries.load(Ordering::Relaxed),
            reads_reopened: counts.reads_reopened.load(Ordering::Relaxed),
            reconnects: self.inner.signals.connects().saturating_sub(1),
        }
    }
}

/// A quarter second, give or take the half of it, so that many clients do not come back at once.
fn pause() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8);
    let half = limits::RETRY_PAUSE.as_millis() as u64 / 2;
    Duration::from_millis(half + random % (2 * half))
}

async fn rest() {
    tokio::time::sleep(pause()).await;
}
