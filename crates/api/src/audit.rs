use crate::{Kind, Time};
use domain::{
    JobId, Tenant,
    audit::{By, Entry, Origin, What},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Its number in AUDIT.
    pub id: u64,
    pub object: Kind,
    pub at: Time,
    pub what: What,
    /// Of who did it.
    pub tenant: Tenant,
    /// His key; null where there was none.
    pub by: Option<By>,
    /// An address, or `nats`: past the doors.
    #[schema(value_type = String, examples("192.0.2.7", "nats"))]
    pub from: Origin,
    pub job: Option<JobId>,
    /// What else it was done to: a key's id, a worker's name, a tenant, a file.
    pub on: Option<String>,
}

/// Some of what was done, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    pub object: Kind,
    pub data: Vec<Done>,
    pub has_more: bool,
    /// To be given as `after` for the page that follows; null at the end.
    pub next: Option<u64>,
}

/// What of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// To this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// By this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// How long ago at most, such as `1h`; a day where neither it nor `job` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(pattern = "^[0-9]*[1-9][0-9]*[smhd]$")]
    pub since: Option<String>,
    /// What follows this record: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub after: Option<u64>,
    /// 1 to 1,000; 100 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<usize>,
}

impl Done {
    pub fn new(id: u64, entry: Entry) -> Self {
        let Entry { at, what, tenant, by, from, job, on } = entry;
        Self { id, object: Kind::Audit, at: at.into(), what, tenant, by, from, job, on }
    }
}

impl AuditPage {
    /// `has_more`: than these.
    pub fn new(data: Vec<Done>, has_more: bool) -> Self {
        let next = data.last().map(|done| done.id).filter(|_| has_more);
        Self { object: Kind::List, data, has_more, next }
    }
}
