//! When a lease is taken, renewed and given up. Pure: what stands and what time it is come from outside.
use std::time::{Duration, Instant};

/// Between two renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A holder leads no more when the last renewal that was confirmed was asked for so long ago.
pub const TERM: Duration = Duration::from_millis(2_500);
/// The server forgets a lease that was not renewed for so long: `max_age` in `streams/KV_leases.json`.
pub const FORGOTTEN_AFTER: Duration = Duration::from_millis(3_500);
/// Between two looks of a standby.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The promise: from the death of a holder to the lease of the next. The server forgets up to 0.4 s late.
pub const TAKEOVER_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(2 * RENEW_EVERY.as_millis() < TERM.as_millis());
const _: () = assert!(TERM.as_millis() < FORGOTTEN_AFTER.as_millis());
const _: () = assert!(FORGOTTEN_AFTER.as_millis() + 400 + LOOK_EVERY.as_millis() < TAKEOVER_MAX.as_millis());

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

pub fn claim(standing: Standing, me: &str) -> Claim {
    match standing {
        Standing::Nothing => Claim::Take { rev: 0 },
        Standing::Released { rev } => Claim::Take { rev },
        // By a write of ours whose answer was lost.
        Standing::Held { rev, holder } if holder == me => Claim::Take { rev },
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

    #[test]
    fn a_lease_is_taken_where_nobody_else_has_it() {
        let held = |holder: &str| Standing::Held { rev: 7, holder: holder.into() };
        for (standing, want) in [
            (Standing::Nothing, Claim::Take { rev: 0 }),
            (Standing::Released { rev: 5 }, Claim::Take { rev: 5 }),
            (held("me"), Claim::Take { rev: 7 }),
            (held("other"), Claim::Wait { holder: "other".into() }),
        ] {
            assert_eq!(claim(standing.clone(), "me"), want, "{standing:?}");
        }
    }

    /// A server that stores and forgets, with a clock of milliseconds.
    #[derive(Default)]
    struct Server {
        seq: u64,
        lease: Option<(u64, String, u64)>,
    }

    impl Server {
        fn standing(&mut self, now: u64) -> Standing {
            self.lease.take_if(|(_, _, at)| now >= *at + FORGOTTEN_AFTER.as_millis() as u64);
            match &self.lease {
                Some((rev, holder, _)) => Standing::Held { rev: *rev, holder: holder.clone() },
                None => Standing::Nothing,
            }
        }

        fn write(&mut self, now: u64, holder: &str, rev: u64) -> Option<u64> {
            let held = match self.standing(now) {
                Standing::Held { rev, .. } => rev,
                Standing::Nothing | Standing::Released { .. } => 0,
            };
            (held == rev).then(|| {
                self.seq += 1;
                self.lease = Some((self.seq, holder.to_owned(), now));
                self.seq
            })
        }
    }

    /// Whenever a holder dies, and however late its last renewal was stored: the next one leads after the term of the
    /// first is over, and within the promised time.
    #[test]
    fn a_dead_holder_is_followed_in_time_and_never_overlapped() {
        let start = Instant::now();
        for dies in (0..4_000).step_by(37) {
            for delay in [0, 1, 250, 900] {
                let (mut server, mut term, mut next) = (Server::default(), None::<Term>, None);
                for now in 0..20_000 {
                    let at = start + Duration::from_millis(now);
                    let due = term.is_none_or(|term| at >= term.renew_at());
                    if now <= dies && due {
                        let rev = server.write(now + delay, "first", term.map_or(0, |term| term.rev)).unwrap();
                        term = Some(Term::new(rev, at));
                    }
                    if now > dies && now % LOOK_EVERY.as_millis() as u64 == dies % 500 {
                        if let Claim::Take { rev } = claim(server.standing(now), "second") {
                            next = server.write(now, "second", rev).map(|_| now);
                            break;
                        }
                    }
                }
                let (term, next) = (term.unwrap(), next.unwrap());
                assert!(term.is_over(start + Duration::from_millis(next)), "two at once: died {dies}, took {next}");
                assert!(next - dies <= TAKEOVER_MAX.as_millis() as u64 + delay, "late: died {dies}, took {next}");
            }
        }
    }
}
