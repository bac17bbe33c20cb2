//! How long things are kept: the `[retention]` table of the configuration.
use domain::{Timestamp, time};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// A job that ended so long ago is deleted.
    pub jobs: Age,
    /// An uploaded file that no job took by then is removed.
    pub uploads: Age,
    /// A file of the local store that was begun and not written to for so long is removed: its writer was killed.
    pub unfinished: Age,
    /// How often leftovers are looked for.
    pub sweep_s: u64,
}

/// A duration such as `30d`, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Age {
    Ms(u64),
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no duration; use a number and s, m, h or d, such as 30d, or never")]
pub struct NoAge(String);

impl TryFrom<String> for Age {
    type Error = NoAge;

    fn try_from(text: String) -> Result<Self, NoAge> {
        match time::window(&text) {
            _ if text.trim() == "never" => Ok(Self::Never),
            Some(ms) => Ok(Self::Ms(ms)),
            None => Err(NoAge(text)),
        }
    }
}

impl Age {
    /// What stands since then or before is old now. None: nothing is.
    pub fn before(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Ms(ms) => Some(Timestamp::new(now.get().saturating_sub(ms))),
            Self::Never => None,
        }
    }
}

impl Age {
    /// When what stands since then is old. None: never.
    pub fn after(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Ms(ms) => Some(since.plus(ms)),
            Self::Never => None,
        }
    }
}

impl Retention {
    pub fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY_MS: u64 = 86_400_000;
        let days = |days| Age::Ms(days * DAY_MS);
        Self { jobs: days(30), uploads: days(30), unfinished: days(1), sweep_s: 3_600 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_duration_or_never() {
        let age = |text: &str| Age::try_from(text.to_owned());
        assert_eq!((age("30d"), age("90s")), (Ok(Age::Ms(2_592_000_000)), Ok(Age::Ms(90_000))));
        assert_eq!(age(" never "), Ok(Age::Never));
        let before = |age: Age| age.before(Timestamp::new(70_000)).map(Timestamp::get);
        assert_eq!((before(Age::Ms(60_000)), before(Age::Never)), (Some(10_000), None));
        for bad in ["", "30", "0s", "-1d", "Never", "forever"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
