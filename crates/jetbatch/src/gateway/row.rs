//! What a list shows of a job, packed: a third of the bytes that the bucket has of it.
use super::limits::ROW_BYTES_MAX;
use domain::{
    JobId, Millis,
    event::{File, LineError, Priority, Usage},
    status::{Counts, Live, State, Status},
    warning::Warning,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::StoredStatus;

/// A status without its job's id, which stands beside it, and its fingerprint, which no list shows. Kept in memory alone,
/// and so of no version: its fields have no names.
#[derive(Serialize, Deserialize)]
struct Row {
    v: u32,
    seq: u64,
    state: State,
    model: Option<String>,
    endpoint: Option<String>,
    priority: Priority,
    metadata: BTreeMap<String, String>,
    requests: Counts,
    usage: Usage,
    attempts: u64,
    retries: u64,
    times: [Option<Millis>; 4],
    submitted_at: Millis,
    deadline: Millis,
    segments: u32,
    archived_prefix: u32,
    errors: Vec<LineError>,
    errors_total: u64,
    warnings: Vec<Warning>,
    output: Option<File>,
    error_file: Option<File>,
    trace: Option<String>,
    live: Live,
}

/// Nothing where that would be more than [`ROW_BYTES_MAX`]: a status with many errors, or with long metadata.
pub fn pack(stored: &StoredStatus) -> Option<Box<[u8]>> {
    let bytes = rmp_serde::to_vec(&Row::of(stored.clone())).ok()?;
    (bytes.len() <= ROW_BYTES_MAX).then(|| bytes.into_boxed_slice())
}

/// The status, with an empty fingerprint.
pub fn unpack(job: JobId, row: &[u8]) -> Option<StoredStatus> {
    rmp_serde::from_slice::<Row>(row).ok().map(|row| row.stored(job))
}

impl Row {
    fn of(stored: StoredStatus) -> Self {
        let StoredStatus { v, seq, status, live } = stored;
        Self {
            v,
            seq,
            state: status.state,
            model: status.model,
            endpoint: status.endpoint,
            priority: status.priority,
            metadata: status.metadata,
            requests: status.requests,
            usage: status.usage,
            attempts: status.attempts,
            retries: status.retries,
            times: [status.validated_at, status.started_at, status.closing_at, status.ended_at],
            submitted_at: status.submitted_at,
            deadline: status.deadline,
            segments: status.segments,
            archived_prefix: status.archived_prefix,
            errors: status.errors,
            errors_total: status.errors_total,
            warnings: status.warnings,
            output: status.output,
            error_file: status.error_file,
            trace: status.trace,
            live,
        }
    }

    fn stored(self, id: JobId) -> StoredStatus {
        let [validated_at, started_at, closing_at, ended_at] = self.times;
        let status = Status {
            id,
            state: self.state,
            fingerprint: String::new(),
            model: self.model,
            endpoint: self.endpoint,
            priority: self.priority,
            metadata: self.metadata,
            requests: self.requests,
            usage: self.usage,
            attempts: self.attempts,
            retries: self.retries,
            submitted_at: self.submitted_at,
            validated_at,
            started_at,
            closing_at,
            ended_at,
            deadline: self.deadline,
            segments: self.segments,
            archived_prefix: self.archived_prefix,
            errors: self.errors,
            errors_total: self.errors_total,
            warnings: self.warnings,
            output: self.output,
            error_file: self.error_file,
            trace: self.trace,
        };
        StoredStatus { v: self.v, seq: self.seq, status, live: self.live }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use domain::{
        eta::{Eta, Sla},
        event::Code,
    };

    /// A job half way, as the projector would store it.
    pub fn stored(state: State) -> StoredStatus {
        let status = Status {
            id: JobId::keyed("t", "a"),
            state,
            fingerprint: "f".into(),
            model: Some("tiny".into()),
            endpoint: None,
            priority: Priority::Normal,
            metadata: BTreeMap::from([("team".into(), "a".into())]),
            requests: Counts { total: 10, completed: 4, failed: 1, unanswered: 0, remaining: 5 },
            usage: Usage { prompt: 40, completion: 20, cached: 0 },
            attempts: 3,
            retries: 1,
            submitted_at: Millis::new(1_700_000_000_000),
            validated_at: Some(Millis::new(1_700_000_000_250)),
            started_at: Some(Millis::new(1_700_000_001_000)),
            closing_at: None,
            ended_at: None,
            deadline: Millis::new(1_700_086_400_000),
            segments: 1,
            archived_prefix: 0,
            errors: Vec::new(),
            errors_total: 0,
            warnings: Vec::new(),
            output: None,
            error_file: None,
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        };
        let at = Millis::new(1_700_000_060_000);
        let eta = Some(Eta { p50: at, p90: at.plus(1_500) });
        let live = Live { requests_per_s: Some(1.0 / 3.0), tokens_per_s: None, eta, sla: Some(Sla::OnTrack) };
        StoredStatus { v: 1, seq: 7, status, live }
    }

    #[test]
    fn a_row_shows_what_the_status_shows() {
        let mut whole = stored(State::Completed);
        let error = LineError { code: Code::InvalidType, line: Some(1), param: None, message: "no".into() };
        let warning = Warning { code: Code::InvalidValue, param: None, count: 3, line: 1, message: "no".into() };
        (whole.status.errors, whole.status.warnings) = (vec![error], vec![warning]);
        (whole.status.closing_at, whole.status.ended_at) = (Some(Millis::new(3)), Some(Millis::new(4)));
        whole.status.output = Some(File { path: "jobs/a/output.jsonl".into(), bytes: 7 });
        let row = pack(&whole).unwrap();
        whole.status.fingerprint.clear();
        assert_eq!(unpack(whole.status.id, &row), Some(whole));
    }

    #[test]
    fn most_rows_are_small_and_no_row_is_large() {
        let mut status = stored(State::InProgress);
        let (row, json) = (pack(&status).unwrap().len(), serde_json::to_vec(&status).unwrap().len());
        assert!(3 * row < json, "{row} of {json}");
        status.status.metadata.insert("k".into(), "v".repeat(ROW_BYTES_MAX));
        assert_eq!(pack(&status), None);
    }
}
