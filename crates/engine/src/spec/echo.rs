//! What the echo engine takes.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Check;

/// An engine of kind `echo`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Wait this long before an answer, ms. Default: 0.
    pub delay_ms: u64,
    /// Wait so long for each token of an answer (four bytes of it), ms, as a model does. Default: 0.
    pub token_ms: f64,
    /// The part of a token's time for which the slots take turns: 0 where they run all at once, 1 where one runs after the
    /// other. Default: 0.
    pub share: f64,
    /// Fail with [`Fault::Internal`](crate::Fault::Internal) where the JSON text of the words contains this.
    pub fail_containing: Option<String>,
    /// Fail so where that text is longer than this, bytes.
    pub fail_longer: Option<usize>,
    /// Fail so with every request while there is a file of this name.
    pub fail_while: Option<PathBuf>,
    /// Fail so with what contains this, and with everything after it, until the engine is started anew.
    pub ruin_containing: Option<String>,
    /// End the process, as a crash would, where it contains this.
    pub die_containing: Option<String>,
    /// End it so with whatever is asked while there is a file of this name.
    pub die_while: Option<PathBuf>,
    /// Panic where it contains this.
    pub panic_containing: Option<String>,
    /// Never answer where it contains this.
    pub hang_containing: Option<String>,
    /// Never answer what is asked while there is a file of this name.
    pub hang_while: Option<PathBuf>,
    /// Answer with an error, status 400, where it contains this.
    pub refuse_containing: Option<String>,
    /// Mix up what runs together: with a delay, every answer is to the question that came last. Default: false.
    pub mix: bool,
}
