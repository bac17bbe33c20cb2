use domain::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use utoipa::ToSchema;

/// A moment: RFC 3339, with milliseconds, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-20T15:04:05.000Z"))]
pub struct Time(pub Timestamp);

impl Time {
    /// Milliseconds since 1970.
    pub const fn ms(self) -> u64 {
        self.0.get()
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// A time beyond what a calendar holds is shown as its last one.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Milliseconds are taken, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Millis(u64),
    Text(jiff::Timestamp),
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = match Word::deserialize(deserializer)? {
            Word::Millis(ms) => ms,
            Word::Text(at) => u64::try_from(at.as_millisecond()).unwrap_or(0),
        };
        Ok(Self(Timestamp::new(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let time = Time(Timestamp::new(1_700_000_000_250));
        assert_eq!(serde_json::to_string(&time).unwrap(), r#""2023-11-14T22:13:20.250Z""#);
        for text in [r#""2023-11-14T22:13:20.250Z""#, "1700000000250"] {
            assert_eq!(serde_json::from_str::<Time>(text).unwrap(), time);
        }
    }

    #[test]
    fn no_time_is_too_large_to_show() {
        assert!(Time(Timestamp::new(u64::MAX)).to_string().starts_with("9999-"));
    }
}
