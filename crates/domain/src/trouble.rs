//! What keeps work from going on, in words: what it is, why, and what mends it.
use crate::{JobId, Pool, Timestamp, id::Invalid};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What does not do its part.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Kind {
    /// An input is not validated.
    Validation,
    /// No worker is there, or none answers.
    Worker,
    /// A pool that nobody is configured for, or in which nothing succeeds.
    Pool,
    /// A chunk does not come back, or fails again and again.
    Chunk,
    /// A segment's results, or the output made of them.
    Results,
    Store,
    Log,
    /// A queue takes a message not, or nobody sends.
    Queue,
    /// A right is missing. Work goes on.
    Rights,
    /// Of another installation.
    Identity,
    /// Heads of one installation disagree. Work goes on.
    Settings,
    /// A URL that hooks go to is switched off. Work goes on.
    Webhooks,
}

impl Kind {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// Whether jobs wait for it.
    pub const fn stops(self) -> bool {
        !matches!(self, Self::Rights | Self::Settings | Self::Webhooks)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub what: Kind,
    pub cause: String,
    /// What to do about it.
    pub mend: String,
    pub since: Timestamp,
}

impl Trouble {
    pub fn new(what: Kind, cause: impl Into<String>, mend: impl Into<String>, since: Timestamp) -> Self {
        Self { what, cause: cause.into(), mend: mend.into(), since }
    }

    /// Whether both tell the same, whenever it began.
    pub fn says(&self, other: &Self) -> bool {
        (self.what, &self.cause, &self.mend) == (other.what, &other.cause, &other.mend)
    }
}

/// Whose work does not go on. Printed as tokens of a subject: `installation`, `pool.<pool>`, `job.<job>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    Installation,
    Pool(Pool),
    Job(JobId),
}

impl Scope {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Installation => "installation",
            Self::Pool(_) => "pool",
            Self::Job(_) => "job",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installation => f.write_str("installation"),
            Self::Pool(pool) => write!(f, "pool.{pool}"),
            Self::Job(job) => write!(f, "job.{job}"),
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('.') {
            None if text == "installation" => Ok(Self::Installation),
            Some(("pool", pool)) => pool.parse().map(Self::Pool),
            Some(("job", job)) => job.parse().map(Self::Job),
            _ => Err(Invalid { what: "scope", why: "it must be installation, pool.<pool> or job.<job>" }),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_parse_as_they_print() {
        let pool: Pool = "tiny".parse().unwrap();
        for scope in [Scope::Installation, Scope::Pool(pool), Scope::Job(JobId::keyed("t", "a"))] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for bad in ["", "pool", "job.x", "installation.a", "pool.a b"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_parse_as_they_print() {
        assert!(Kind::ALL.iter().all(|kind| kind.as_str().parse() == Ok(*kind)));
    }
}
