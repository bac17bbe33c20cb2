//! Every limit of the bus, unit last.
use std::time::Duration;

use super::Version;

/// The first release whose `sync_interval: always` syncs what it acknowledges, on one node and on three.
pub const SERVER_VERSION_MIN: Version = Version::new(2, 15, 1);

/// One try of a publish, an ack or an API request.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The first tries of an API request. Where nobody leads, nobody answers: who still waits when a leader is found waits
/// for nothing. A leader is found in 4 to 9 s; a server that is only slow gets the longer tries after that.
pub const QUICK_TIMEOUT: Duration = Duration::from_secs(1);
pub const QUICK_TRIES: u32 = 10;
/// The first tries of a publish that may be repeated and is small: a large one may still be on its way over a slow line.
pub const QUICK_PUBLISH: Duration = Duration::from_secs(2);
pub const QUICK_BYTES_MAX: usize = 64 << 10;
/// One server's time to let us in. One that hangs accepts connections and says nothing: the next one is tried.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(2);
/// One try to read one message.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// How far a replica may be behind its leader, beyond what is worth waiting for.
pub const REPLICA_LAG: Duration = Duration::from_secs(3);
/// Between two tries, before jitter.
pub const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Long enough for an election (5 to 6 s were measured) and for a server to recover its streams.
pub const RETRY_SECONDS_DEFAULT: u64 = 45;
pub const CONNECT_SECONDS_DEFAULT: u64 = 10;
pub const ACK_WAIT_SECONDS_DEFAULT: u64 = 30;
pub const ACK_TRIES_MAX: u32 = 3;
/// A server that answers neither of three pings is left for another: one that hangs keeps its connections open.
pub const PING: Duration = Duration::from_secs(2);
/// A leader that slept, or was cut off, answers from before that until it hears of the other one; cut off, it notices
/// by itself after 10 s.
pub const SETTLE: Duration = Duration::from_secs(20);
/// A purge of a large stream was measured in seconds on older servers.
pub const PURGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Unacknowledged bytes of one window. The server refuses (10167) at 128 MiB per stream, for all its publishers.
pub const WINDOW_BYTES_MAX: usize = 32 << 20;

/// One pull of a reader. The server drops a client that leaves 64 MiB unread.
pub const READ_MESSAGES_MAX: usize = 4_000;
pub const READ_BYTES_MAX: usize = 4 << 20;
pub const READ_EXPIRES: Duration = Duration::from_secs(30);
/// The server drops the consumer of a reader that pulls no more: a crash leaves nothing behind for long.
pub const READER_IDLE: Duration = Duration::from_secs(60);

pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Two heartbeats missed: the pull is lost.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);
/// What a message costs in a pull's byte count beyond its payload: subjects and headers.
pub const MESSAGE_OVERHEAD_BYTES: usize = 68 << 10;
/// What a message holds beside the payload proper: headers, and fields about it.
pub const HEAD_BYTES: usize = 16 << 10;

/// After a message was too large, the server's limit is asked for anew no sooner than that.
pub const LIMITS_AGAIN: Duration = Duration::from_secs(30);

/// A server too small for a stream's `max_bytes` gets the half, down to this part of it.
pub const SHRINK_MAX: i64 = 256;

/// What the `nats` command tries where it is told nothing.
pub const SERVER_PORT_DEFAULT: u16 = 4222;
pub const SERVER_START_SECONDS_MAX: u64 = 60;
pub const SERVER_STOP_SECONDS_MAX: u64 = 10;
pub const SERVER_LOG_BYTES_MAX: u64 = 16 << 20;

const _: () = assert!(HEARTBEAT.as_millis() * 2 < SILENCE_MAX.as_millis());
const _: () = assert!(HEARTBEAT.as_millis() * 2 <= READ_EXPIRES.as_millis());
const _: () = assert!(READ_EXPIRES.as_millis() < READER_IDLE.as_millis());
const _: () = assert!(READ_BYTES_MAX * 4 < 64 << 20);
const _: () = assert!(RETRY_SECONDS_DEFAULT >= 30);
