//! A tenant's limits as they stand in their bucket.
use domain::quota::Limits;
use serde::{Deserialize, Serialize};

/// A record in the bucket `limits`, as JSON, by the tenant's name. What it does not set is as heads are configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLimits {
    pub v: u32,
    pub limits: Limits,
}

impl StoredLimits {
    /// The newest version that is read.
    pub const VERSION: u32 = 1;

    pub const fn new(limits: Limits) -> Self {
        Self { v: Self::VERSION, limits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in buckets today must be readable for ever.
    #[test]
    fn a_record_reads_as_promised() {
        let json = concat!(
            r#"{"v":1,"limits":{"requests_per_s":50,"running_jobs":3,"queued_requests":1000,"#,
            r#""stored_bytes":"unlimited","uploads":2}}"#,
        );
        let stored: StoredLimits = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), json);
    }
}
