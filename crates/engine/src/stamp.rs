//! Ids and times of answers, cheap enough to make for every call.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

static START: LazyLock<u64> = LazyLock::new(start);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Distinct for every process and every answer, without a lock or a random number.
pub struct Id(u64, u64);

pub fn id() -> Id {
    Id(*START, NEXT.fetch_add(1, Ordering::Relaxed))
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:08x}", self.0, self.1)
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn start() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    (now() << 32) ^ (u64::from(std::process::id()) << 16) ^ u64::from(nanos)
}
