//! What the projector tells of a job.
use domain::{
    JobId, Millis,
    eta::{Eta, Sla},
    status::{Live, Status},
};
use serde::{Deserialize, Serialize};

/// A job's status as it stands in the bucket `status`, as JSON: the folded part, the sequence of the last event folded
/// into it, and the part that depends on the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredStatus {
    pub v: u32,
    pub seq: u64,
    pub status: Status,
    pub live: Live,
}

/// A change of a job's standing against its deadline, on `alert.sla.<job>`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlaAlert {
    pub job: JobId,
    pub at: Millis,
    pub sla: Sla,
    pub deadline: Millis,
    pub eta: Option<Eta>,
    pub remaining: u64,
}
