//! The one place that reads the clocks.
use domain::{Timestamp, schedule::Moment};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

pub fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Since when a room works: what its moments count from.
#[derive(Debug, Clone, Copy)]
pub struct Uptime(Instant);

impl Default for Uptime {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Uptime {
    pub fn moment(self) -> Moment {
        Moment::new(self.0.elapsed().as_millis() as u64)
    }
}
