//! Every maximum of the HTTP door, unit last. What a job may hold is in the configuration (`intake`, `http`).
use domain::limits::{MESSAGE_BYTES_MAX, PART_BYTES_MAX};
use std::time::Duration;

/// Connections open at once, where there are descriptors enough; see [`connections`].
pub const CONNECTIONS_MAX: usize = 2_048;
/// Of connections and of descriptors beside them: so many serve NATS, the store and the rooms.
const DESCRIPTORS_KEPT: u64 = 64;
/// Connections beyond those, for probes alone.
pub const PROBES_MAX: usize = 16;
/// A probe says what it wants by then.
pub const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of a request's line and headers, and of one read of its body.
pub const READ_BYTES_MAX: usize = 256 << 10;
/// A request's head must be complete by then; also how long a connection may be idle.
pub const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// A body that gives nothing for this long is given up, and so is a reader who takes nothing.
pub const STALL_MAX: Duration = Duration::from_secs(60);
/// And so is one that gives, or takes, less than this in the same time: 1 KiB/s. A place held for less would be held for
/// ever, and there are few.
pub const PACE_BYTES_MIN: usize = 60 << 10;
/// A JSON body as a whole.
pub const JSON_WITHIN: Duration = Duration::from_secs(60);
/// JSON bodies in memory at once, in KiB. Parsed they are several times larger.
pub const JSON_KIB_MAX: u32 = 32 << 10;
/// Quotes at once: each validates an input.
pub const QUOTES_MAX: usize = 2;
/// Uploads at once: each holds a few parts of the file.
pub const UPLOADS_MAX: usize = 64;
/// Deleted uploads whose place in the list of files is remembered.
pub const GONE_MAX: usize = 1 << 16;
/// Requests that wait for their answer at once: each is a job.
pub const ASKS_MAX: usize = 256;
/// Requests over NATS that are answered at once.
pub const MICRO_MAX: usize = 64;
/// Before the service on NATS is offered again, where it could not be.
pub const MICRO_PAUSE: Duration = Duration::from_secs(1);
/// Downloads at once: each holds up to three blocks.
pub const DOWNLOADS_MAX: usize = 64;
pub const DOWNLOAD_BLOCK_BYTES: u64 = 1 << 20;
/// A form field beside the file.
pub const FIELD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a form that come without any of them being used: the form's parser keeps a field's head until it is whole.
pub const FORM_UNUSED_BYTES_MAX: usize = 2 << 20;
/// Form fields and query parameters.
pub const FIELDS_MAX: usize = 64;
/// A submission with its requests inside; a larger one goes by way of the store.
pub const INLINE_BYTES_MAX: usize = PART_BYTES_MAX;
/// Jobs of one page.
pub const PAGE_JOBS_MAX: usize = 100;
pub const PAGE_JOBS_DEFAULT: usize = 20;
/// What is kept of a job for the list of jobs. Most need a quarter of this; a larger one is read when it is listed.
pub const ROW_BYTES_MAX: usize = 1 << 10;
/// And of all jobs together: some 200,000.
pub const ROWS_BYTES_MAX: usize = 64 << 20;
/// Statuses read at once for a page, of those that are not kept.
pub const PAGE_READS: usize = 16;
/// Entries of DEAD read at once for a page: each may be as large as a message.
pub const DEAD_READS: usize = 4;
/// Timelines read at once, for all who ask: each folds a job.
pub const TIMELINE_READS: usize = 2;
/// Events of a job that are read for its timeline.
pub const TIMELINE_EVENTS_MAX: usize = 500_000;
/// Events of all jobs that are read for it, to see what ran while it waited, and other jobs whose pools are looked up.
pub const TIMELINE_OTHERS_MAX: usize = 200_000;
pub const TIMELINE_RIVALS_MAX: usize = 64;
/// Timelines that are remembered, and for how long those of jobs that run.
pub const TIMELINES_KEPT: usize = 64;
pub const TIMELINE_KEPT: Duration = Duration::from_secs(2);
/// The status bucket must answer by then.
pub const STATUS_WITHIN: Duration = Duration::from_secs(10);
/// A job that was just submitted has its status by then; asking for one that never was takes as long.
pub const SHOW_WITHIN: Duration = Duration::from_secs(1);
/// How long a submission under a key waits to see whether the key was taken by another one meanwhile.
pub const RACE_WITHIN: Duration = Duration::from_millis(2_500);
/// How long an answer to a command waits to show its effect.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(1);
/// How long a command that a job takes only when it runs waits for that.
pub const VALIDATED_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer to `retry` waits to show the new job.
pub const RETRY_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks for each viewer of the list of jobs.
pub const LIVE_EVERY: Duration = Duration::from_millis(1_500);
pub const LIVE_WORKERS_EVERY: Duration = Duration::from_secs(3);
/// Between two comments on a silent event stream.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The keys are read by then.
pub const KEYS_WITHIN: Duration = Duration::from_secs(5);
/// A job that was let in counts so long at least, should the list of jobs go on without it.
pub const TAKEN_KEPT: Duration = Duration::from_secs(60);
/// How long it is believed what a tenant has in the store; and where that is too much, since files go.
pub const STORED_KEPT: Duration = Duration::from_secs(60);
pub const STORED_KEPT_FULL: Duration = Duration::from_secs(1);
/// And so many times as long as it takes to list them.
pub const STORED_LIST_SHARE: u32 = 20;
/// A sequence of a stream that somebody asks for: what the document says of them, and JSON's readers keep.
pub const SEQ_MAX: u64 = i64::MAX as u64;
/// Records of who did what in one page.
pub const AUDIT_DEFAULT: usize = 100;
pub const AUDIT_MAX: usize = 1_000;
/// With a new connection to NATS, a submission waits so long until the log is known again.
pub const LOG_WITHIN: Duration = Duration::from_secs(10);
/// One look at whether all is ready.
pub const READY_WITHIN: Duration = Duration::from_secs(3);
/// Probes that come thicker get the answer of the last one.
pub const READY_KEPT: Duration = Duration::from_secs(2);
/// A client may send on for so long after its answer, and so much.
pub const LINGER_WITHIN: Duration = Duration::from_secs(2);
pub const LINGER_BYTES_MAX: usize = 64 << 20;
/// Requests may end after the door was told to stop. Less than a room is given to stop.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(5);

const _: () = assert!(LINGER_WITHIN.as_secs() < DRAIN_WITHIN.as_secs());
const _: () = assert!(INLINE_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(FIELD_BYTES_MAX + READ_BYTES_MAX < FORM_UNUSED_BYTES_MAX);
const _: () = assert!(KEEP_ALIVE.as_secs() < STALL_MAX.as_secs());

/// How many connections there may be where a process may hold so many descriptors: half of them, since uploads and
/// downloads hold a file each, less what the rooms and the probes need.
pub fn connections(descriptors: u64) -> usize {
    let free = descriptors.saturating_sub(DESCRIPTORS_KEPT + PROBES_MAX as u64) / 2;
    usize::try_from(free).unwrap_or(usize::MAX).clamp(PROBES_MAX, CONNECTIONS_MAX)
}

/// Of so many connections those that may be event streams.
pub const fn event_streams(connections: usize) -> usize {
    connections / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rooms() {
        assert_eq!([64, 256, 1_024, 16_384].map(connections), [16, 88, 472, CONNECTIONS_MAX]);
        assert_eq!(event_streams(connections(16_384)), 1_024);
    }
}
