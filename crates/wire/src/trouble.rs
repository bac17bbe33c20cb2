//! What a head tells of work that cannot go on.
use domain::{
    Timestamp,
    trouble::{Scope, Trouble},
};
use serde::{Deserialize, Serialize};

/// A trouble as it stands in the bucket `troubles`, as JSON: told again while it lasts, and forgotten by the server some
/// 30 s after the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub scope: Scope,
    /// Who tells it.
    pub head: String,
    /// Found by watching jobs stand still, and not by who does the work.
    #[serde(default)]
    pub is_found: bool,
    pub trouble: Trouble,
}

impl Told {
    /// `<scope>.<kind>.<head>`.
    pub fn key(&self) -> String {
        format!("{}.{}.{}", self.scope, self.trouble.what.as_str(), self.head)
    }
}

/// The beginning or the end of a trouble, on `alert.trouble.<kind>.<scope>`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleAlert {
    #[serde(flatten)]
    pub told: Told,
    pub at: Timestamp,
    pub is_over: bool,
}
