//! On whom a chunk failed: a request is poison where it fails on whoever takes it. A worker that answers its control and fails
//! with real requests would blame good ones, so one worker alone gives nothing up while there are others to ask.
use serde::{Deserialize, Serialize};

/// Workers that a failure is asked of, where the pool has as many.
pub const WITNESSES: usize = 3;
/// Failures on workers that are known already, after which another one counts: a request always comes to an end.
pub const AGAIN_MAX: u32 = 96;
/// As many of those is a failure of which nobody knows whose it was, or after which nobody else is there any more.
const UNNAMED: u32 = 32;

/// The worker on which a chunk failed, where others could have taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    worker: u32,
    others: u32,
}

/// Those on which it failed until now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnesses {
    /// Their names' hashes; 0: none.
    on: [u32; WITNESSES],
    /// Failures on them since.
    again: u32,
    /// Workers that were to be asked, the most: one that is found to be bad meanwhile is no less.
    needed: u32,
}

/// What a failure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing that was not known.
    Nothing,
    /// It counts, and cannot be the last one: others are to be asked.
    More,
    /// It counts, and may be the last one.
    Enough,
}

impl Witness {
    /// None: nobody else could be asked.
    pub fn of(worker: &str, others: u32) -> Option<Self> {
        (others > 0).then(|| Self { worker: hash(worker), others })
    }

    /// Workers on which a chunk is to fail before it may be given up.
    fn needed(self) -> u32 {
        self.others.saturating_add(1).min(WITNESSES as u32)
    }
}

impl Witnesses {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Failures that said nothing new.
    pub const fn again(&self) -> u32 {
        self.again
    }

    pub fn hear(self, witness: Option<Witness>) -> (Self, Says) {
        match witness {
            Some(witness) => self.named(witness),
            None if self.are_enough() => (self, Says::Enough),
            None => (Self { again: self.again + UNNAMED, ..self }, Says::More),
        }
    }

    fn named(mut self, witness: Witness) -> (Self, Says) {
        self.needed = self.needed.max(witness.needed());
        let (known, is_known) = (self.count(), self.on.contains(&witness.worker));
        if !is_known && known < WITNESSES {
            self.on[known] = witness.worker;
            return (self, if self.are_all() { Says::Enough } else { Says::More });
        }
        if self.are_enough() {
            return (self, Says::Enough);
        }
        (Self { again: self.again + 1, ..self }, Says::Nothing)
    }

    /// All that are needed were asked, or it took too long.
    fn are_enough(&self) -> bool {
        self.are_all() || self.again >= AGAIN_MAX
    }

    fn are_all(&self) -> bool {
        self.count() >= self.needed as usize
    }

    fn count(&self) -> usize {
        self.on.iter().filter(|worker| **worker != 0).count()
    }
}

/// FNV-1a, and never 0.
fn hash(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(failures: &[(&str, u32)]) -> Vec<Says> {
        let mut known = Witnesses::default();
        let mut hear = |&(worker, others)| {
            let (heard, says) = known.hear(Witness::of(worker, others));
            known = heard;
            says
        };
        failures.iter().map(&mut hear).collect()
    }

    #[test]
    fn one_worker_says_a_thing_once() {
        use Says::{Enough, More, Nothing};
        assert_eq!(said(&[("a", 1), ("a", 1), ("b", 1)]), [More, Nothing, Enough]);
        assert_eq!(said(&[("a", 1), ("b", 1), ("a", 1)]), [More, Enough, Enough], "all were asked");
        assert_eq!(said(&[("a", 2), ("b", 2), ("a", 2), ("c", 2), ("d", 2)]), [More, More, Nothing, Enough, Enough]);
        assert_eq!(said(&[("a", 99), ("b", 99), ("c", 99)]), [More, More, Enough]);
        assert_eq!(said(&[("a", 2), ("b", 1), ("b", 1)]), [More, More, Nothing], "the first was found to be bad");
    }

    #[test]
    fn where_nobody_else_is_there_it_is_believed() {
        assert_eq!(said(&[("a", 0), ("a", 0)]), [Says::Enough; 2]);
    }

    /// A good worker may be back soon.
    #[test]
    fn who_is_alone_since_a_moment_is_believed_a_little_later() {
        use Says::{Enough, More};
        assert_eq!(said(&[("a", 1), ("a", 0), ("a", 0), ("a", 0), ("a", 0)]), [More, More, More, More, Enough]);
        assert_eq!(said(&[("a", 1), ("b", 1), ("", 0)]), [More, Enough, Enough]);
    }

    #[test]
    fn it_comes_to_an_end() {
        let says = said(&[("a", 1); AGAIN_MAX as usize + 5]);
        assert_eq!(says.iter().filter(|says| **says == Says::Nothing).count(), AGAIN_MAX as usize);
        assert_eq!(says.last(), Some(&Says::Enough));
    }
}
