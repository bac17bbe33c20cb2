//! The one place that reads the clock.
use domain::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn now() -> Millis {
    millis(SystemTime::now())
}

pub fn millis(time: SystemTime) -> Millis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
