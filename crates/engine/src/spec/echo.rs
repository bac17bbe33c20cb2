//! What the echo engine takes.
use serde::{Deserialize, Serialize};

use super::Check;

/// An engine of kind `echo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Echo {
    /// The model's name in answers that name none. Default: `echo`.
    pub name: Option<String>,
    /// Calls that run together. Default: 256.
    pub slots: Option<usize>,
    /// Default: `off`.
    pub check: Check,
    pub echo: Behaviour,
}

/// What it does beside answering.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Wait this long before an answer, ms. Default: 0.
    pub delay_ms: u64,
    /// Fail with [`Fault::Internal`](crate::Fault::Internal) where the JSON text of the words contains this.
    pub fail_containing: Option<String>,
    /// End the process, as a crash would, where it contains this.
    pub die_containing: Option<String>,
    /// Panic where it contains this.
    pub panic_containing: Option<String>,
    /// Never answer where it contains this.
    pub hang_containing: Option<String>,
    /// Answer with an error, status 400, where it contains this.
    pub refuse_containing: Option<String>,
    /// Mix up what runs together: with a delay, every answer is to the question that came last. Default: false.
    pub mix: bool,
}
