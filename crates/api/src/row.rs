use domain::{
    JobId, Timestamp,
    eta::Sla,
    event::Priority,
    foresight::Why,
    status::{Counts, Live, State, Status},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A job in the live list: as much as a row shows. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRow {
    pub id: JobId,
    pub state: State,
    pub model: Option<String>,
    pub priority: Priority,
    pub metadata: BTreeMap<String, String>,
    pub requests: Counts,
    /// Answers a second.
    pub rate: Option<f64>,
    pub submitted: u64,
    pub deadline: u64,
    pub ended: Option<u64>,
    /// p10, p50 and p90.
    pub eta: Option<[u64; 3]>,
    /// Why it moved when it last did by more than a fifth.
    pub eta_moved: Option<Why>,
    pub sla: Option<Sla>,
    /// Why it is to be feared that it misses its deadline.
    pub risk: Option<String>,
    /// What it waits for.
    pub stalled: Option<String>,
}

/// What changed on a page of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRows {
    /// All jobs of the page, newest first.
    pub order: Vec<JobId>,
    pub changed: Vec<JobRow>,
    pub has_more: bool,
    /// Jobs on all pages, of any state.
    pub total: usize,
}

impl JobRow {
    pub fn new(status: Status, live: Live) -> Self {
        Self {
            id: status.id,
            state: status.state,
            model: status.model,
            priority: status.priority,
            metadata: status.metadata,
            requests: status.requests,
            rate: live.requests_per_s.map(|rate| (rate * 10.0).round() / 10.0),
            submitted: status.submitted_at.get(),
            deadline: status.deadline.get(),
            ended: status.ended_at.map(|at| at.get()),
            eta: live.eta.map(|eta| [eta.p10, eta.p50, eta.p90].map(Timestamp::get)),
            eta_moved: live.eta_moved,
            sla: live.sla,
            risk: live.risk.map(|risk| risk.reason.words()),
            stalled: live.stalled.map(|trouble| trouble.cause),
        }
    }
}
