//! What a tenant may have at the doors: so many requests a second, jobs, queued requests, bytes and uploads.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What is limited.
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
pub enum Limit {
    /// HTTP requests a second, at each door.
    RequestsPerS,
    /// Jobs that have not ended.
    RunningJobs,
    /// Requests of those jobs without an answer.
    QueuedRequests,
    /// Bytes of uploaded files.
    StoredBytes,
    /// Uploads at the same time, at each door.
    Uploads,
}

impl Limit {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// What there are too many of, in words.
    const fn of(self) -> &'static str {
        match self {
            Self::RequestsPerS => "HTTP requests a second",
            Self::RunningJobs => "jobs that have not ended",
            Self::QueuedRequests => "requests that wait for their answer",
            Self::StoredBytes => "bytes of uploaded files",
            Self::Uploads => "uploads at once",
        }
    }

    /// When it may be otherwise, in seconds. What ends by itself ends soon; files are deleted, or age.
    const fn wait_s(self) -> u32 {
        match self {
            Self::RequestsPerS => 1,
            Self::Uploads => 2,
            Self::RunningJobs | Self::QueuedRequests => 10,
            Self::StoredBytes => 60,
        }
    }
}

/// Whether one more of those that have `own` of the `taken` places may take one of `most`: they may have as many as are
/// left. So one who is alone gets half of them, two get a third each, and whoever comes next always finds a place.
pub const fn has_share(own: usize, taken: usize, most: usize) -> bool {
    own < most.saturating_sub(taken)
}

/// The most there may be of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "Given")]
pub enum Most {
    Of(u64),
    Unlimited,
}

/// How it is written: as a number, or in a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Given {
    Number(u64),
    Word(String),
}

const UNLIMITED: &str = "unlimited";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no limit; use a whole number, or unlimited")]
pub struct NoMost(String);

impl FromStr for Most {
    type Err = NoMost;

    fn from_str(text: &str) -> Result<Self, NoMost> {
        match text {
            UNLIMITED => Ok(Self::Unlimited),
            _ => text.parse().map(Self::Of).map_err(|_| NoMost(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<Given> for Most {
    type Error = NoMost;

    fn try_from(given: Given) -> Result<Self, NoMost> {
        match given {
            Given::Number(number) => Ok(Self::Of(number)),
            Given::Word(word) => word.parse(),
        }
    }
}

impl From<Most> for Given {
    fn from(most: Most) -> Self {
        match most {
            Most::Of(number) => Self::Number(number),
            Most::Unlimited => Self::Word(UNLIMITED.to_owned()),
        }
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(number) => number.fmt(f),
            Self::Unlimited => f.write_str(UNLIMITED),
        }
    }
}

/// Limits that are set. One that is not is as whatever stands below says, and at the bottom there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<Limit, Most>);

impl Limits {
    pub fn set(&mut self, limit: Limit, most: Most) {
        self.0.insert(limit, most);
    }

    /// It is as what stands below says again.
    pub fn unset(&mut self, limit: Limit) {
        self.0.remove(&limit);
    }

    pub fn get(&self, limit: Limit) -> Option<Most> {
        self.0.get(&limit).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and where they say nothing those below.
    pub fn over(&self, below: &Self) -> Self {
        let mut all = below.clone();
        all.0.extend(&self.0);
        all
    }

    fn most(&self, limit: Limit) -> u64 {
        match self.get(limit) {
            Some(Most::Of(most)) => most,
            Some(Most::Unlimited) | None => u64::MAX,
        }
    }

    /// Whether something is limited at all.
    pub fn bounds(&self, limit: Limit) -> bool {
        self.most(limit) < u64::MAX
    }

    /// Whether there may be `more` of something of which there is so much.
    pub fn allow(&self, limit: Limit, now: u64, more: u64) -> Result<(), Exceeded> {
        let most = self.most(limit);
        if now.saturating_add(more) <= most {
            return Ok(());
        }
        Err(Exceeded { limit, most, now, wait_s: limit.wait_s() })
    }
}

#[cfg(feature = "schema")]
mod schema {
    use super::{Limit, Limits, Most, UNLIMITED};
    use std::borrow::Cow;
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type, schema::AdditionalProperties},
    };

    impl PartialSchema for Most {
        fn schema() -> RefOr<Schema> {
            let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
            let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([UNLIMITED]));
            OneOfBuilder::new().item(number).item(word).into()
        }
    }

    impl ToSchema for Most {
        fn name() -> Cow<'static, str> {
            "Most".into()
        }
    }

    impl PartialSchema for Limits {
        fn schema() -> RefOr<Schema> {
            let all = Limit::ALL.iter().fold(ObjectBuilder::new().schema_type(Type::Object), |object, limit| {
                object.property(limit.as_str(), Most::schema())
            });
            all.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
        }
    }

    impl ToSchema for Limits {
        fn name() -> Cow<'static, str> {
            "Limits".into()
        }
    }
}

impl FromIterator<(Limit, Most)> for Limits {
    fn from_iter<I: IntoIterator<Item = (Limit, Most)>>(set: I) -> Self {
        Self(set.into_iter().collect())
    }
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    pub limit: Limit,
    pub most: u64,
    pub now: u64,
    /// When to try again.
    pub wait_s: u32,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, most, now, wait_s } = self;
        let (name, of) = (limit.as_str(), limit.of());
        write!(f, "limit '{name}' is reached: your tenant may have {most} {of}")?;
        if *limit != Limit::RequestsPerS {
            write!(f, ", and has {now}")?;
        }
        write!(f, "; try again in {wait_s} s")
    }
}

/// Requests that may come at once: each takes a token, and so many come back a second. It holds what comes back in one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tokens {
    left: f64,
    at: Timestamp,
}

impl Tokens {
    /// As many as there may be.
    pub fn full(limits: &Limits, now: Timestamp) -> Self {
        Self { left: limits.most(Limit::RequestsPerS) as f64, at: now }
    }

    /// Takes one, if one is left. A clock that is set back gives none, and takes none away.
    pub fn take(&mut self, limits: &Limits, now: Timestamp) -> Result<(), Exceeded> {
        let most = limits.most(Limit::RequestsPerS);
        if most == u64::MAX {
            return Ok(());
        }
        let rate = most as f64;
        self.left = (self.left + rate * now.since(self.at) as f64 / 1_000.0).min(rate);
        self.at = self.at.max(now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Exceeded { limit: Limit::RequestsPerS, most, now: most, wait_s: Limit::RequestsPerS.wait_s() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(set: &[(Limit, Most)]) -> Limits {
        set.iter().copied().collect()
    }

    #[test]
    fn limits_are_numbers_or_a_word() {
        let json = r#"{"requests_per_s":5,"stored_bytes":"unlimited"}"#;
        let read: Limits = serde_json::from_str(json).unwrap();
        assert_eq!((read.most(Limit::RequestsPerS), read.most(Limit::StoredBytes)), (5, u64::MAX));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        assert_eq!(serde_json::from_str::<Limits>(r#"{"uploads":"7"}"#).unwrap().most(Limit::Uploads), 7);
        for bad in [r#"{"uploads":-1}"#, r#"{"uploads":"some"}"#, r#"{"upload":1}"#, r#"{"uploads":1.5}"#] {
            assert!(serde_json::from_str::<Limits>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_set_above_holds() {
        let below = limits(&[(Limit::RunningJobs, Most::Of(3)), (Limit::Uploads, Most::Of(2))]);
        let above = limits(&[(Limit::RunningJobs, Most::Unlimited)]).over(&below);
        assert!(!above.bounds(Limit::RunningJobs) && above.bounds(Limit::Uploads));
        assert!(!above.bounds(Limit::StoredBytes), "what nobody set is without limit");
    }

    #[test]
    fn a_limit_is_reached_by_one_more() {
        let limits = limits(&[(Limit::QueuedRequests, Most::Of(10)), (Limit::Uploads, Most::Of(0))]);
        let allow = |now, more| limits.allow(Limit::QueuedRequests, now, more).is_ok();
        assert!(allow(0, 10) && allow(9, 1) && !allow(9, 2) && !allow(10, 1) && !allow(u64::MAX, 1));
        assert!(limits.allow(Limit::Uploads, 0, 1).is_err(), "0 allows none");
        let refused = limits.allow(Limit::QueuedRequests, 10, 1).unwrap_err().to_string();
        let wanted = "limit 'queued_requests' is reached: your tenant may have 10 requests that wait for their answer, \
                      and has 10; try again in 10 s";
        assert_eq!(refused, wanted);
    }

    #[test]
    fn tokens_come_back_with_time() {
        let limits = limits(&[(Limit::RequestsPerS, Most::Of(2))]);
        let mut tokens = Tokens::full(&limits, Timestamp::new(1_000));
        let mut taken = |at| tokens.take(&limits, Timestamp::new(at)).is_ok();
        assert_eq!([1_000, 1_000, 1_000, 1_400].map(&mut taken), [true, true, false, false]);
        assert_eq!([1_500, 1_500].map(&mut taken), [true, false], "a half second gives one");
        assert_eq!([9_000, 9_000, 9_000].map(&mut taken), [true, true, false], "no more than a second's are kept");
        assert!(!taken(2_000), "a clock that is set back gives none");
    }

    #[test]
    fn without_a_limit_every_request_is_taken() {
        let (none, now) = (Limits::default(), Timestamp::new(1));
        let mut tokens = Tokens::full(&limits(&[(Limit::RequestsPerS, Most::Of(0))]), now);
        assert!((0..1_000).all(|_| tokens.take(&none, now).is_ok()));
        let mut tokens = Tokens::full(&none, now);
        let zero = limits(&[(Limit::RequestsPerS, Most::Of(0))]);
        assert!(tokens.take(&zero, now).is_err());
    }
}
