//! What the projector tells of a job.
use domain::{
    JobId, Tenant, Timestamp,
    alarm::{Alarm, Reason},
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
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    pub at: Timestamp,
    pub sla: Sla,
    pub deadline: Timestamp,
    pub eta: Option<Eta>,
    pub remaining: u64,
    /// What is told: `sla` is the standing that follows. None: it was told before there was more to tell than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// Why it is at risk, or was missed, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
