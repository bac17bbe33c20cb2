//! What a list shows of a job, packed: a third of the bytes that the bucket has of it.
use super::limits::ROW_BYTES_MAX;
use domain::{
    JobId, Tenant, Timestamp,
    alarm::{Reason, Risk, What},
    eta::{Eta, Sla},
    event::{File, LineError, Priority, Usage},
    foresight::Why,
    status::{Counts, Live, State, Status},
    trouble::Trouble,
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
    tenant: Tenant,
    state: State,
    model: Option<String>,
    endpoint: Option<String>,
    priority: Priority,
    metadata: BTreeMap<String, String>,
    requests: Counts,
    usage: Usage,
    attempts: u64,
    retries: u64,
    times: [Option<Timestamp>; 4],
    submitted_at: Timestamp,
    deadline: Timestamp,
    segments: u32,
    archived_prefix: u32,
    errors: Vec<LineError>,
    errors_total: u64,
    losses: u32,
    warnings: Vec<Warning>,
    output: Option<File>,
    error_file: Option<File>,
    reason: Option<String>,
    trace: Option<String>,
    webhook_host: Option<String>,
    live: LiveRow,
}

/// [`Live`] with all of its fields: what has no name cannot be left out.
#[derive(Serialize, Deserialize)]
struct LiveRow(
    Option<f64>,
    Option<f64>,
    Option<Eta>,
    Option<Why>,
    Option<Sla>,
    Option<Box<RiskRow>>,
    Option<Box<Trouble>>,
);

/// [`Risk`] with all of its fields.
#[derive(Serialize, Deserialize)]
struct RiskRow(bool, Timestamp, What, Option<Timestamp>, Option<JobId>, Option<u32>, Option<String>);

impl From<Risk> for RiskRow {
    fn from(Risk { certain, since, reason }: Risk) -> Self {
        let Reason { what, at, job, percent, cause } = reason;
        Self(certain, since, what, at, job, percent, cause)
    }
}

impl From<RiskRow> for Risk {
    fn from(RiskRow(certain, since, what, at, job, percent, cause): RiskRow) -> Self {
        Self { certain, since, reason: Reason { what, at, job, percent, cause } }
    }
}

impl From<Live> for LiveRow {
    fn from(live: Live) -> Self {
        let Live { requests_per_s, tokens_per_s, eta, eta_moved, sla, risk, stalled } = live;
        let risk = risk.map(|risk| Box::new((*risk).into()));
        Self(requests_per_s, tokens_per_s, eta, eta_moved, sla, risk, stalled)
    }
}

impl From<LiveRow> for Live {
    fn from(LiveRow(requests_per_s, tokens_per_s, eta, eta_moved, sla, risk, stalled): LiveRow) -> Self {
        let risk = risk.map(|risk| Box::new((*risk).into()));
        Self { requests_per_s, tokens_per_s, eta, eta_moved, sla, risk, stalled }
    }
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
            tenant: status.tenant,
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
            losses: status.losses,
            warnings: status.warnings,
            output: status.output,
            error_file: status.error_file,
            reason: status.reason,
            trace: status.trace,
            webhook_host: status.webhook_host,
            live: live.into(),
        }
    }

    fn stored(self, id: JobId) -> StoredStatus {
        let [validated_at, started_at, closing_at, ended_at] = self.times;
        let status = Status {
            id,
            tenant: self.tenant,
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
            losses: self.losses,
            warnings: self.warnings,
            output: self.output,
            error_file: self.error_file,
            reason: self.reason,
            trace: self.trace,
            webhook_host: self.webhook_host,
        };
        StoredStatus { v: self.v, seq: self.seq, status, live: self.live.into() }
    }
}

#[cfg(test)]
#[path = "../../../domain/tests/sample/status.rs"]
mod sample;

#[cfg(test)]
pub mod tests {
    use super::{sample::half_way, *};
    use domain::event::Code;

    /// A job half way, as the projector would store it.
    pub fn stored(state: State) -> StoredStatus {
        let (status, live) = half_way();
        let status = Status { state, ..status };
        StoredStatus { v: 1, seq: 7, status, live }
    }

    #[test]
    fn a_row_shows_what_the_status_shows() {
        let mut whole = stored(State::Completed);
        let error = LineError { code: Code::InvalidType, line: Some(1), param: None, message: "no".into() };
        let warning = Warning { code: Code::InvalidValue, param: None, count: 3, line: 1, message: "no".into() };
        (whole.status.errors, whole.status.warnings) = (vec![error], vec![warning]);
        (whole.status.closing_at, whole.status.ended_at) = (Some(Timestamp::new(3)), Some(Timestamp::new(4)));
        whole.status.output = Some(File { path: "jobs/a/output.jsonl".into(), bytes: 7 });
        whole.status.fingerprint.clear();
        assert_eq!(unpack(whole.status.id, &pack(&whole).unwrap()).as_ref(), Some(&whole));
        // What is left out elsewhere is not left out here.
        let reason = Reason { what: What::RateFell, at: None, job: None, percent: Some(40), cause: None };
        let risk = Some(Box::new(Risk { certain: false, since: Timestamp::new(5), reason }));
        whole.live = Live { sla: Some(Sla::AtRisk), risk, ..Live::default() };
        assert_eq!(unpack(whole.status.id, &pack(&whole).unwrap()), Some(whole));
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
