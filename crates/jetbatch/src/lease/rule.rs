//! When a lease is taken, renewed and given up. Pure: what stands and what time it is come from outside.
use std::time::{Duration, Instant};

/// Between two renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A holder leads no more when the last renewal that was confirmed was asked for so long ago.
pub const TERM: Duration = Duration::from_millis(2_500);
/// The server forgets a lease that was not renewed for so long: `max_age` in `streams/KV_leases.json`. A standby that
/// saw no renewal for so long does not wait for that: the server's clock may have been set back.
pub const FORGOTTEN_AFTER: Duration = Duration::from_millis(3_500);
/// Between two looks of a standby.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The promise: from the death of a holder to the lease of the next. The server forgets up to 0.4 s late, a standby
/// sees the last renewal up to one look late, and looks again up to one look late.
pub const TAKEOVER_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(2 * RENEW_EVERY.as_millis() < TERM.as_millis());
const _: () = assert!(TERM.as_millis() < FORGOTTEN_AFTER.as_millis());
const _: () = assert!(FORGOTTEN_AFTER.as_millis() + 2 * LOOK_EVERY.as_millis() < TAKEOVER_MAX.as_millis());

/// What stands under a role's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Nothing,
    /// Given up by its holder. What says so has a revision, too.
    Released {
        rev: u64,
    },
    Held {
        rev: u64,
        holder: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It may be taken by whoever is first to write against this revision.
    Take {
        rev: u64,
    },
    Wait {
        holder: String,
    },
}

/// The last renewal by another that was seen, and when it was seen first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch(Option<(u64, Instant)>);

impl Watch {
    fn is_silent(&mut self, rev: u64, now: Instant) -> bool {
        let since = self.0.filter(|(seen, _)| *seen == rev).map_or(now, |(_, since)| since);
        self.0 = Some((rev, since));
        now.duration_since(since) >= FORGOTTEN_AFTER
    }
}

pub fn claim(standing: Standing, me: &str, watch: &mut Watch, now: Instant) -> Claim {
    match standing {
        Standing::Nothing => Claim::Take { rev: 0 },
        Standing::Released { rev } => Claim::Take { rev },
        // By a write of ours whose answer was lost.
        Standing::Held { rev, holder } if holder == me => Claim::Take { rev },
        Standing::Held { rev, .. } if watch.is_silent(rev, now) => Claim::Take { rev },
        Standing::Held { holder, .. } => Claim::Wait { holder },
    }
}

/// A lease in hand. It counts from when it was asked for, because the server may have stored it at once and answered
/// late: so it ends here before it ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    pub rev: u64,
    asked: Instant,
}

impl Term {
    pub const fn new(rev: u64, asked: Instant) -> Self {
        Self { rev, asked }
    }

    pub fn renew_at(&self) -> Instant {
        self.asked + RENEW_EVERY
    }

    pub fn ends_at(&self) -> Instant {
        self.asked + TERM
    }

    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.ends_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(rev: u64, holder: &str) -> Standing {
        Standing::Held { rev, holder: holder.into() }
    }

    #[test]
    fn a_lease_is_taken_where_nobody_else_has_it() {
        for (standing, want) in [
            (Standing::Nothing, Claim::Take { rev: 0 }),
            (Standing::Released { rev: 5 }, Claim::Take { rev: 5 }),
            (held(7, "me"), Claim::Take { rev: 7 }),
            (held(7, "other"), Claim::Wait { holder: "other".into() }),
        ] {
            assert_eq!(claim(standing.clone(), "me", &mut Watch::default(), Instant::now()), want, "{standing:?}");
        }
    }

    #[test]
    fn a_lease_that_is_not_renewed_is_taken() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut at = |rev, ms| claim(held(rev, "other"), "me", &mut watch, start + Duration::from_millis(ms));
        let wait = Claim::Wait { holder: "other".into() };
        assert_eq!([at(7, 0), at(7, 3_499), at(8, 3_500), at(8, 6_999)], [(); 4].map(|()| wait.clone()));
        assert_eq!(at(8, 7_000), Claim::Take { rev: 8 });
    }

    /// A server with a clock of milliseconds that stores one lease, and forgets it or not.
    struct Server {
        forgets: bool,
        seq: u64,
        lease: Option<(u64, String, u64)>,
    }

    impl Server {
        fn standing(&mut self, now: u64) -> Standing {
            let age = FORGOTTEN_AFTER.as_millis() as u64;
            self.lease.take_if(|(_, _, at)| self.forgets && now >= *at + age);
            self.lease.as_ref().map_or(Standing::Nothing, |(rev, holder, _)| held(*rev, holder))
        }

        fn write(&mut self, now: u64, holder: &str, rev: u64) -> u64 {
            let last = match self.standing(now) {
                Standing::Held { rev, .. } => rev,
                Standing::Nothing | Standing::Released { .. } => 0,
            };
            assert_eq!(last, rev, "a conflict");
            self.seq += 1;
            self.lease = Some((self.seq, holder.to_owned(), now));
            self.seq
        }
    }

    /// The first holder renews until it dies, each time stored `delay` late; a standby looks on. Gives the last term of
    /// the first and when the second took over.
    fn succession(forgets: bool, dies: u64, delay: u64, start: Instant) -> (Term, u64) {
        let mut server = Server { forgets, seq: 0, lease: None };
        let (mut term, mut watch) = (Term::new(server.write(0, "first", 0), start), Watch::default());
        for now in 1.. {
            let at = start + Duration::from_millis(now);
            if now <= dies && at >= term.renew_at() {
                term = Term::new(server.write(now + delay, "first", term.rev), at);
            }
            // The look falls anywhere between two renewals.
            if now % LOOK_EVERY.as_millis() as u64 == dies % 500
                && let Claim::Take { .. } = claim(server.standing(now), "second", &mut watch, at)
            {
                return (term, now);
            }
        }
        unreachable!("the lease was never taken")
    }

    #[test]
    fn a_dead_holder_is_followed_in_time_and_never_overlapped() {
        let start = Instant::now();
        for dies in (0..4_000).step_by(37) {
            for (forgets, delay) in [(true, 0), (true, 1), (true, 250), (true, 900), (false, 0)] {
                let (term, taken) = succession(forgets, dies, delay, start);
                assert!(term.is_over(start + Duration::from_millis(taken)), "two at once: died {dies}, taken {taken}");
                assert!(taken - dies <= TAKEOVER_MAX.as_millis() as u64 + delay, "late: died {dies}, taken {taken}");
            }
        }
    }
}
