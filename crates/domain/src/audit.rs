//! Who did what, when, from where and to which job: one record for each thing that was done.
use crate::{JobId, Tenant, Timestamp, key::KeyId};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = Deed))]
pub enum What {
    Submit,
    Cancel,
    Pause,
    Resume,
    Deadline,
    Priority,
    Retry,
    Delete,
    /// Answers, error lines or a file were read.
    Download,
    Upload,
    DeleteFile,
    ReplayDead,
    DropDead,
    CreateKey,
    RotateKey,
    RevokeKey,
    SetLimits,
    DrainWorker,
    QuarantineWorker,
    TrustWorker,
}

impl What {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// Where an order came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Origin {
    /// Over HTTP, from the other end of the connection: behind a proxy, that is the proxy.
    Address(IpAddr),
    /// Past the doors.
    Nats,
}

const NATS: &str = "nats";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is neither an address nor nats")]
pub struct Nowhere;

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Nats => f.write_str(NATS),
        }
    }
}

impl FromStr for Origin {
    type Err = Nowhere;

    fn from_str(text: &str) -> Result<Self, Nowhere> {
        if text == NATS { Ok(Self::Nats) } else { text.parse().map(Self::Address).map_err(|_| Nowhere) }
    }
}

impl TryFrom<String> for Origin {
    type Error = Nowhere;

    fn try_from(text: String) -> Result<Self, Nowhere> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

/// Whose key it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct By {
    pub key: KeyId,
    pub name: String,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub what: What,
    /// Of who did it.
    pub tenant: Tenant,
    /// None: without a key, at a door that asks for none, or past the doors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    pub from: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What else it was done to: a key's id, a worker's name, a tenant, a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

impl Entry {
    /// What was done past the doors, for a tenant; by whom, nobody can say.
    pub const fn by_nats(what: What, tenant: Tenant, at: Timestamp) -> Self {
        Self { at, what, tenant, by: None, from: Origin::Nats, job: None, on: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in AUDIT today must be readable for ever.
    #[test]
    fn an_entry_reads_as_promised() {
        let json = concat!(
            r#"{"at":1000,"what":"revoke_key","tenant":"default","by":{"key":"00000000000000ab","name":"ann"},"#,
            r#""from":"192.0.2.7","job":"9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a","on":"00000000000000cd"}"#,
        );
        let entry: Entry = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), json);
        let least = r#"{"at":1000,"what":"submit","tenant":"default","from":"nats"}"#;
        assert_eq!(
            serde_json::to_string(&Entry::by_nats(What::Submit, Tenant::DEFAULT, Timestamp::new(1_000))).unwrap(),
            least
        );
        assert_eq!(serde_json::from_str::<Entry>(least).unwrap().from, Origin::Nats);
        assert!(serde_json::from_str::<Entry>(&least.replace("nats", "mars")).is_err());
    }
}
