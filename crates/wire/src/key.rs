//! A key as it stands in its bucket.
use domain::key::Key;
use serde::{Deserialize, Serialize};

/// A record in the bucket `keys`, as JSON, by the key's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    pub v: u32,
    #[serde(flatten)]
    pub key: Key,
}

impl StoredKey {
    /// The newest version that is read.
    pub const VERSION: u32 = 1;

    pub const fn new(key: Key) -> Self {
        Self { v: Self::VERSION, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in buckets today must be readable for ever.
    #[test]
    fn a_record_reads_as_promised() {
        let json = concat!(
            r#"{"v":1,"id":"00000000000000ab","name":"ci","tenant":"blue","roles":["submit","read"],"pools":["tiny"],"#,
            r#""created":1000,"expires":2000,"revoked":1500,"digest":"f00d","before":{"digest":"d00f","until":1200}}"#,
        );
        let stored: StoredKey = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), json);
        let least = r#"{"v":1,"id":"00000000000000ab","name":"ci","tenant":"default","roles":["admin"],"created":1,"digest":"f"}"#;
        let stored: StoredKey = serde_json::from_str(least).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), least);
    }
}
