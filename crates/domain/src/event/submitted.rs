//! How a job begins.
use super::is_false;
use crate::{Pool, Tenant, Timestamp, pack::Packing, retry::Policies};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{EnumString, IntoStaticStr};

/// Where a job's input lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The submission itself carries the requests. Intake writes them to the store while it validates.
    Inline,
    /// An object of jetbatch's own store, by its path there: uploaded.
    Stored(String),
    /// A file under an allowed root or an object by URL. Intake copies it while it validates.
    Url(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    pub at: Timestamp,
    /// Of the submitted body, so that one key with two bodies is a conflict.
    pub fingerprint: String,
    pub input: Input,
    /// Takes the place of a missing `body.model`.
    pub model: Option<String>,
    /// Takes the place of a missing `url`; a line with another one is refused.
    pub endpoint: Option<String>,
    pub window_ms: u64,
    pub metadata: BTreeMap<String, String>,
    pub priority: Priority,
    /// W3C context of the span that all of the job hangs under: `traceparent`, and after a blank `tracestate`, if any.
    pub trace: Option<String>,
    /// How the input is cut. It stands in the log so that an intake that starts again cuts at the same places.
    pub packing: Packing,
    /// What follows on failures, for the same reason.
    #[serde(rename = "retries", default)]
    pub policies: Policies,
    /// A request that would be answered with an error refuses the whole input.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Whose job it is.
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    pub tenant: Tenant,
    /// The pools that its requests may run in; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Pool>,
    /// Where its end is told, beside the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
}

impl Submitted {
    /// With defaults for all that a submission may leave out.
    pub fn new(at: Timestamp, input: Input, window_ms: u64) -> Self {
        Self {
            at,
            fingerprint: String::new(),
            input,
            model: None,
            endpoint: None,
            window_ms,
            metadata: BTreeMap::new(),
            priority: Priority::default(),
            trace: None,
            packing: Packing::default(),
            policies: Policies::default(),
            strict: false,
            tenant: Tenant::default(),
            pools: Vec::new(),
            webhook_url: None,
        }
    }

    pub(super) fn version(&self) -> u32 {
        match () {
            // Who does not know of tenants shows it to all.
            () if !self.is_common() => 4,
            // Who does not know of an order cuts otherwise.
            () if !self.packing.order.is_empty() => 2,
            () => 1,
        }
    }

    /// Whether it is as all jobs were before there were tenants.
    pub fn is_common(&self) -> bool {
        self.tenant.is_default() && self.pools.is_empty()
    }

    /// Whether another submission under its id is a repetition of it.
    pub fn is_same(&self, again: &Self) -> bool {
        (&self.fingerprint, self.tenant) == (&again.fingerprint, again.tenant)
    }

    /// The deadline it was submitted with. [`crate::Job::deadline`] is the one that holds.
    pub const fn deadline(&self) -> Timestamp {
        self.at.plus(self.window_ms)
    }
}

/// A class of urgency: a higher one is served before any deadline of a lower one, which keeps a small share. `urgent`,
/// `standard` and `background` mean the same three.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Priority {
    #[serde(alias = "urgent")]
    #[strum(to_string = "high", serialize = "urgent")]
    High,
    #[default]
    #[serde(alias = "standard")]
    #[strum(to_string = "normal", serialize = "standard")]
    Normal,
    #[serde(alias = "background")]
    #[strum(to_string = "low", serialize = "background")]
    Low,
}
