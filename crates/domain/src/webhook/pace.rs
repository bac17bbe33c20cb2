//! When a hook is sent, waits, or is given up. The waits double: each is as long as it was tried before. What fails is held
//! against the URL, so that of many hooks for one that is down a single one asks.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// Hooks on their way to one URL that answers well.
pub const AT_ONCE_MAX: usize = 8;
/// A URL that has rested so long and was not called since is forgotten, as the bucket forgets it.
const FORGOTTEN_MS: u64 = 7 * 86_400_000;
const LONGEST_MS: u64 = 3_600_000;
/// Before a hook that only waits for others looks again.
const TURN_MS: u64 = 1_000;
/// A URL that seldom has a hook is not switched off by one failure.
const FAILURES_MIN: u32 = 5;

/// How long it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The first wait.
    pub first_ms: u64,
    /// A hook is given up after so long, and a URL that fails for so long is switched off for as long.
    pub retry_ms: u64,
}

impl Pace {
    /// The wait after a failure of what was first tried so long ago.
    pub fn wait_ms(self, tried_ms: u64) -> u64 {
        tried_ms.clamp(self.first_ms.min(LONGEST_MS), LONGEST_MS)
    }
}

/// What came of sending a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Answered with a 2xx.
    Taken,
    Failed(String),
    /// Answered with 410: nothing is wanted there any more.
    Gone,
}

/// A URL that failed last, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Of the URL: the rest of it may be a secret.
    pub host: String,
    pub since: Timestamp,
    pub failures: u32,
    pub rests_until: Timestamp,
    /// Its hooks are dropped until it has rested; the next one is tried, and switches it on if it is taken.
    pub is_off: bool,
}

impl Standing {
    /// After one more failure. None before: it answered well until now.
    pub fn failed(before: Option<&Self>, host: &str, gone: bool, now: Timestamp, pace: Pace) -> Self {
        let since = before.map_or(now, |before| before.since);
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let lasted = now.since(since);
        let was_off = before.is_some_and(|before| before.is_off);
        let is_off = gone || was_off || (failures >= FAILURES_MIN && lasted >= pace.retry_ms);
        let rest = if is_off { pace.retry_ms } else { pace.wait_ms(lasted) };
        Self { host: host.to_owned(), since, failures, rests_until: now.plus(rest), is_off }
    }

    /// Whether nobody named it for long.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.rests_until) >= FORGOTTEN_MS
    }
}

/// Why a hook is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Dropped {
    /// It was tried for as long as any is.
    GivenUp,
    /// Its URL is switched off.
    Off,
}

impl Dropped {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

/// What is to be done with a hook now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Send,
    Wait(u64),
    Drop(Dropped),
}

impl Turn {
    /// Of a hook that came up at `queued`, where `flying` others are on their way to the same URL.
    pub fn of(standing: Option<&Standing>, flying: usize, queued: Timestamp, now: Timestamp, pace: Pace) -> Self {
        if now.since(queued) >= pace.retry_ms {
            return Self::Drop(Dropped::GivenUp);
        }
        let Some(standing) = standing else {
            return if flying < AT_ONCE_MAX { Self::Send } else { Self::Wait(TURN_MS) };
        };
        match standing.rests_until.since(now) {
            0 if flying == 0 => Self::Send,
            0 => Self::Wait(TURN_MS),
            _ if standing.is_off => Self::Drop(Dropped::Off),
            rest => Self::Wait(rest),
        }
    }

    /// The same where its tenant has its share of those on their way, to whatever URLs.
    pub const fn beside(self, has_share: bool) -> Self {
        match self {
            Self::Send if !has_share => Self::Wait(TURN_MS),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { first_ms: 5_000, retry_ms: 86_400_000 };

    fn at(ms: u64) -> Timestamp {
        Timestamp::new(1_000_000 + ms)
    }

    #[test]
    fn waits_double_to_an_hour() {
        let (mut now, mut waits) = (0, Vec::new());
        while now < PACE.retry_ms {
            waits.push(PACE.wait_ms(now) / 1_000);
            now += PACE.wait_ms(now);
        }
        assert_eq!(waits[..6], [5, 5, 10, 20, 40, 80]);
        assert!(waits.len() < 40 && waits.ends_with(&[3_600]), "{waits:?}");
    }

    #[test]
    fn a_url_that_fails_rests_and_one_hook_asks() {
        let once = Standing::failed(None, "a.b", false, at(0), PACE);
        let turn = |flying, now| Turn::of(Some(&once), flying, at(0), at(now), PACE);
        assert_eq!(turn(0, 1_000), Turn::Wait(4_000));
        assert_eq!((turn(0, 5_000), turn(1, 5_000)), (Turn::Send, Turn::Wait(TURN_MS)));
        assert_eq!(Turn::of(None, AT_ONCE_MAX - 1, at(0), at(0), PACE), Turn::Send);
        assert_eq!(Turn::of(None, AT_ONCE_MAX, at(0), at(0), PACE), Turn::Wait(TURN_MS));
    }

    #[test]
    fn a_tenants_many_urls_leave_room_for_others() {
        let turn = |has_share| Turn::of(None, 0, at(0), at(0), PACE).beside(has_share);
        assert_eq!((turn(true), turn(false)), (Turn::Send, Turn::Wait(TURN_MS)));
        let over = Turn::of(None, 0, at(0), at(PACE.retry_ms), PACE).beside(false);
        assert_eq!(over, Turn::Drop(Dropped::GivenUp));
    }

    #[test]
    fn a_url_that_nobody_names_is_forgotten() {
        let gone = Standing::failed(None, "a.b", true, at(0), PACE);
        let later = |ms| gone.is_forgotten(at(PACE.retry_ms + ms));
        assert!(!later(FORGOTTEN_MS - 1) && later(FORGOTTEN_MS));
    }

    #[test]
    fn a_hook_is_given_up_after_a_day() {
        assert_eq!(Turn::of(None, 0, at(0), at(PACE.retry_ms), PACE), Turn::Drop(Dropped::GivenUp));
    }

    #[test]
    fn a_url_is_switched_off_after_a_day_of_failures() {
        let (mut standing, mut now) = (None, 0);
        loop {
            let next = Standing::failed(standing.as_ref(), "a.b", false, at(now), PACE);
            if next.is_off {
                standing = Some(next);
                break;
            }
            now += next.rests_until.since(at(now));
            standing = Some(next);
        }
        assert!((PACE.retry_ms..PACE.retry_ms + 3_600_000).contains(&now), "{now}");
        let off = standing.unwrap();
        let turn = |later| Turn::of(Some(&off), 0, at(now + later), at(now + later), PACE);
        assert_eq!((turn(1), turn(PACE.retry_ms)), (Turn::Drop(Dropped::Off), Turn::Send));
        let again = Standing::failed(Some(&off), "a.b", false, at(now + PACE.retry_ms), PACE);
        assert!(again.is_off && again.rests_until == at(now + 2 * PACE.retry_ms));
    }

    #[test]
    fn seldom_is_no_reason_and_gone_is_one() {
        let first = Standing::failed(None, "a.b", false, at(0), PACE);
        assert!(!Standing::failed(Some(&first), "a.b", false, at(9 * PACE.retry_ms), PACE).is_off);
        assert!(Standing::failed(None, "a.b", true, at(0), PACE).is_off);
    }
}
