use crate::{Dead, Job};
use domain::JobId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an answer is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Job,
    File,
    Dead,
    Worker,
    Pool,
    Key,
    Caller,
    Session,
    Timeline,
    Quote,
    Limits,
    Usage,
    Audit,
    List,
}

/// Some of the jobs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    pub object: Kind,
    pub data: Vec<Job>,
    pub has_more: bool,
    /// To be given as `after` for the page that follows; null at the end.
    pub next: Option<JobId>,
}

/// Some of what was given up, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadPage {
    pub object: Kind,
    pub data: Vec<Dead>,
    pub has_more: bool,
    /// To be given as `after` for the page that follows; null at the end.
    pub next: Option<u64>,
}

impl JobPage {
    pub const fn new(data: Vec<Job>, has_more: bool, next: Option<JobId>) -> Self {
        Self { object: Kind::List, data, has_more, next }
    }
}

impl DeadPage {
    pub const fn new(data: Vec<Dead>, has_more: bool, next: Option<u64>) -> Self {
        Self { object: Kind::List, data, has_more, next }
    }
}
