//! Whose something is.
use crate::id::Invalid;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const CHARS_MAX: usize = 32;
const DEFAULT: &str = "default";

/// A tenant: 1 to 32 of `a-z 0-9 -`. Small, and copied: each row of a list has one. What was stored before there were any,
/// and what is published past the doors, is of `default`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = "^[a-z0-9-]{1,32}$"))]
pub struct Tenant([u8; CHARS_MAX]);

impl Tenant {
    /// The one that needs no name.
    pub const DEFAULT: Self = {
        let (mut bytes, name, mut at) = ([0; CHARS_MAX], DEFAULT.as_bytes(), 0);
        while at < name.len() {
            bytes[at] = name[at];
            at += 1;
        }
        Self(bytes)
    };

    /// Its name.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(CHARS_MAX);
        std::str::from_utf8(&self.0[..end]).expect("a tenant is ASCII")
    }

    /// Whether it is the one that needs no name.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn of(text: &str) -> Self {
        let mut bytes = [0; CHARS_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self(bytes)
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl FromStr for Tenant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(legal) {
            return Ok(Self::of(text));
        }
        Err(Invalid { what: "tenant", why: "it must be 1 to 32 characters of a-z, 0-9 and '-'" })
    }
}

impl TryFrom<String> for Tenant {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobId;

    #[test]
    fn a_tenant_prints_as_it_parses() {
        for name in ["default", "a", "team-7", &"x".repeat(CHARS_MAX)] {
            assert_eq!(name.parse::<Tenant>().map(|tenant| tenant.to_string()), Ok(name.to_owned()));
        }
        for bad in ["", "A", "a.b", "a:b", "a_b", "a b", "*", "\u{fc}", "a\0", &"x".repeat(CHARS_MAX + 1)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad}");
        }
        assert!(Tenant::default().is_default() && !Tenant::of("defaul").is_default());
    }

    /// Neither another tenant's, nor one that is derived otherwise.
    #[test]
    fn one_key_of_two_tenants_names_two_jobs() {
        let of = |tenant: &str| JobId::keyed(tenant.parse::<Tenant>().unwrap().as_str(), "monday");
        assert_eq!(of("default").to_string(), "9fdf038c-1ccd-52b8-9915-fe5dcd8ee62a");
        assert_ne!(of("default"), of("blue"));
        let job = of("default");
        for derived in ["retry", "dead"] {
            let claimed = JobId::keyed(derived, &job.to_string());
            assert!(claimed != JobId::retry(job) && claimed != of(derived));
        }
    }
}
