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
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x6a65_7462_6174_6368_8000_6a6f_6273_0001);

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

    /// The job an idempotency key names.
    pub fn keyed(tenant: &str, key: &str) -> Self {
        Name::Key { tenant, key }.id()
    }

    /// The job of a submission without id and key, from the stream and the sequence of the publish acknowledgement, so
    /// that the publisher knows it at once.
    pub fn sequenced(stream: &str, seq: u64) -> Self {
        Name::Sequence { stream, seq }.id()
    }

    /// The job that retries another one.
    pub fn retry(of: Self) -> Self {
        Name::Retry(of).id()
    }

    /// The job that replays a chunk that was given up.
    pub fn replay(job: Self, chunk: ChunkId) -> Self {
        Name::Replay(job, chunk).id()
    }

    /// Whether it may be a derived one: those are version 5, and nobody can tell in which namespace.
    pub fn may_be_derived(&self) -> bool {
        self.0.get_version_num() == 5
    }

    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

/// What an id is derived of.
enum Name<'a> {
    Key { tenant: &'a str, key: &'a str },
    Sequence { stream: &'a str, seq: u64 },
    Retry(JobId),
    Replay(JobId, ChunkId),
}

impl Name<'_> {
    fn id(&self) -> JobId {
        JobId(Uuid::new_v5(&NAMESPACE, self.to_string().as_bytes()))
    }
}

/// No two names are spelled alike: a plain tenant ends at the first colon, and any other is preceded by its length.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { tenant, key } if is_plain(tenant) => write!(f, "key:{tenant}:{key}"),
            Self::Key { tenant, key } => write!(f, "key2:{}:{tenant}:{key}", tenant.len()),
            Self::Sequence { stream, seq } => write!(f, "seq:{stream}:{seq}"),
            Self::Retry(of) => write!(f, "key:{RETRY}:{of}"),
            Self::Replay(job, chunk) => write!(f, "key:{DEAD}:{job}:{chunk}"),
        }
    }
}

const RETRY: &str = "retry";
const DEAD: &str = "dead";

fn is_plain(tenant: &str) -> bool {
    !tenant.contains(':') && tenant != RETRY && tenant != DEAD
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
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = "^[a-z0-9_-]{1,64}$"))]
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

/// A worker by its name, as a subject token: letters, digits, '_' and '-'.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerName(String);

const WORKER_NAME_CHARS_MAX: usize = 64;

impl WorkerName {
    /// Of any name; what is no part of a token becomes '_'.
    pub fn of(name: &str) -> Self {
        let token = name.chars().take(WORKER_NAME_CHARS_MAX).map(|c| if Self::legal(c) { c } else { '_' });
        let token: String = token.collect();
        Self(if token.is_empty() { "_".to_owned() } else { token })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    const fn legal(c: char) -> bool {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkerName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = Self::of(text);
        let why = "it must be 1 to 64 characters of a-z, A-Z, 0-9, '_' and '-'";
        if name.0 == text { Ok(name) } else { Err(Invalid { what: "worker's name", why }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let job = JobId::keyed("default", "monday");
        assert_eq!(JobId::sequenced("SUBMIT", 7).to_string(), "eeec1308-62cd-5f54-948d-8a626dd9f05f");
        assert_eq!(JobId::retry(job).to_string(), "a807a174-4b43-512b-b344-7480c6e92607");
        assert_eq!(JobId::replay(job, ChunkId::new(3, 17)).to_string(), "69747e58-97f9-5526-b788-df3f078a4788");
        assert_ne!(JobId::keyed("default", "7"), JobId::sequenced("default", 7));
    }

    #[test]
    fn no_key_is_anothers() {
        assert_ne!(JobId::keyed("a", "b:c"), JobId::keyed("a:b", "c"));
        let job = JobId::keyed("default", "monday");
        assert_ne!(JobId::retry(job), JobId::keyed("retry", &job.to_string()));
        assert_ne!(JobId::replay(job, ChunkId::new(3, 17)), JobId::keyed("dead", &format!("{job}:3-17")));
    }

    fn name() -> impl Strategy<Value = (u8, String, String)> {
        let word = "(|a|b|:|2|k|key2|1:|seq|SUBMIT|retry|dead|9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a){0,3}";
        (0..4_u8, word, "[ab:12]{0,4}|9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a(:0-1)?")
    }

    fn spelled((kind, one, two): &(u8, String, String)) -> (String, String) {
        let job = if one.len() % 2 == 0 { JobId::keyed("default", "monday") } else { JobId::sequenced("SUBMIT", 1) };
        let number = two.len() as u32;
        let (name, what) = match kind {
            0 => (Name::Key { tenant: one, key: two }, format!("{one:?} {two:?}")),
            // A stream's name holds no colon.
            1 => (Name::Sequence { stream: "SUBMIT", seq: number.into() }, number.to_string()),
            2 => (Name::Retry(job), job.to_string()),
            _ => (Name::Replay(job, ChunkId::new(0, number)), format!("{job} {number}")),
        };
        (name.to_string(), format!("{kind} {what}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_differs_is_spelled_differently(one in name(), two in name()) {
            let (one, two) = (spelled(&one), spelled(&two));
            prop_assert_eq!(one.0 == two.0, one.1 == two.1, "{:?} {:?}", one, two);
        }
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
