//! What bounds a hosted engine.
use std::time::Duration;

/// One frame. An answer of 128 choices with the logarithms of all their tokens stays far below.
pub const FRAME_BYTES_MAX: usize = 256 << 20;
/// What waits to be written, beyond which no call is added.
pub const OUTBOX_BYTES_MAX: usize = 16 << 20;
/// Calls that were read and not yet begun.
pub const REQUESTS_MAX: usize = 256;
/// What is read at once.
pub const READ_BYTES: usize = 64 << 10;
/// How long a call waits for an engine that is started again.
pub const WAIT_SECONDS_MAX: u64 = 60;
/// How often an engine says that tokens came.
pub const BEAT_EVERY: Duration = Duration::from_millis(250);
/// Before an engine that died is started again: doubled each time, from the first to the last.
pub const DELAY_FIRST: Duration = Duration::from_millis(500);
pub const DELAY_MAX: Duration = Duration::from_secs(30);
/// An engine that ran for so long is as good as new: the delay starts over.
pub const RAN_WELL: Duration = Duration::from_secs(60);
/// Between the end of a process's output and its own end, and the other way round.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a killed process may take to go. One that waits for its device may take for ever.
pub const KILL_WAIT: Duration = Duration::from_secs(10);

/// How long a model may load again that once loaded in `first`. The first time it may be downloaded, and there is no
/// limit.
pub fn reload_max(first: Duration) -> Duration {
    Duration::from_secs(60) + 10 * first
}

const _: () = assert!(OUTBOX_BYTES_MAX > domain::limits::LINE_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
