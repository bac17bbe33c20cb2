//! Ids are types with one validating parser each, so that every id is a legal subject token.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not valid: {why}")]
pub struct Invalid {
    pub what: &'static str,
    pub why: &'static str,
}

/// The namespace of ids that are derived and not chosen.
const NAMESPACE: Uuid = Uuid::from_u128(0x6a65_7462_6174_6368_8000_6a6f_6273_0001);

/// A job: a UUID, printed with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, format = "uuid"))]
pub struct JobId(Uuid);

impl JobId {
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The job an idempotency key names: UUIDv5 of `key:<tenant>:<key>`.
    pub fn keyed(tenant: &str, key: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("key:{tenant}:{key}").as_bytes()))
    }

    /// The job of a submission without id and key: UUIDv5 of `seq:<stream>:<sequence>`, both from the publish
    /// acknowledgement, so that the publisher knows it at once.
    pub fn sequenced(stream: &str, seq: u64) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("seq:{stream}:{seq}").as_bytes()))
    }

    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(Self(id)),
            _ => Err(Invalid { what: "job id", why: "it must be a UUID such as 018f4e2a-7c1b-7000-8000-0123456789ab" }),
        }
    }
}

impl TryFrom<String> for JobId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.to_string()
    }
}

/// A chunk within its job: segment number and index in that segment's plan, printed `3-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    pub segment: u32,
    pub index: u32,
}

impl ChunkId {
    pub const fn new(segment: u32, index: u32) -> Self {
        Self { segment, index }
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment, self.index)
    }
}

impl FromStr for ChunkId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = Invalid { what: "chunk id", why: "it must be <segment>-<index>" };
        let (segment, index) = text.split_once('-').ok_or(bad.clone())?;
        match (segment.parse(), index.parse()) {
            (Ok(segment), Ok(index)) => Ok(Self { segment, index }),
            _ => Err(bad),
        }
    }
}

/// The name of a pool: 1 to 64 of `a-z 0-9 _ -`. It is a subject token and a consumer name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String))]
pub struct Pool(String);

impl Pool {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pool {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid { what: "pool name", why: "it must be 1 to 64 characters of a-z, 0-9, '_' and '-'" })
    }
}

impl TryFrom<String> for Pool {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Pool> for String {
    fn from(pool: Pool) -> Self {
        pool.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let job = JobId::keyed("default", "monday");
        assert_eq!(job.to_string().parse(), Ok(job));
        assert_eq!("3-17".parse(), Ok(ChunkId::new(3, 17)));
        assert_eq!("tiny".parse::<Pool>().map(|p| p.to_string()), Ok("tiny".to_owned()));
    }

    #[test]
    fn derived_ids_are_stable() {
        assert_eq!(JobId::keyed("default", "monday").to_string(), "9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a".to_owned());
        assert_ne!(JobId::keyed("default", "7"), JobId::sequenced("default", 7));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for bad in ["", "a.b", "a b", "*", ">", "Tiny", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<Pool>().is_err(), "{bad}");
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
            assert!(bad.parse::<ChunkId>().is_err(), "{bad}");
        }
        assert!("018f4e2a7c1b70008000012345678 9ab".parse::<JobId>().is_err());
        assert!("3-".parse::<ChunkId>().is_err());
    }
}
