//! What the tests share: a set-up of processes, the requests and their right answers, and the log as NATS holds it.
mod ask;
mod disk;
mod http;
mod log;
mod plan;
mod s3;
mod stand;

pub use ask::{Ask, answers_in, asks, echoes, jsonl, lines, split_in};
pub use disk::Disk;
pub use http::{Answer, Http, answer};
pub use log::{Log, message_count, subjects};
pub use plan::{Plan, Remote, is_echo};
pub use s3::{KEY, S3, SECRET};
pub use stand::{Stand, assert_counts, completed, room};

use std::{path::PathBuf, time::Duration};

/// The longest that anything here may take on a slow, busy machine. A test that passes waits for far less.
pub const LONG: Duration = Duration::from_secs(180);
/// The model and the pool that all requests name.
pub const MODEL: &str = "tiny";

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A test that lacks what it needs says so on its own lines, also where output is captured.
pub fn skip(what: &str, why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {what}: {why} ***\n");
}
