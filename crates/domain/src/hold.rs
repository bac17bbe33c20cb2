//! A job of which much was given up and nothing answered, though the workers' controls passed: its requests are all bad,
//! or it is at the wrong model. It is not taken apart to its end: it holds, and what it owes is tried one chunk at a time.
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Requests given up, with none answered, after which a job holds.
pub const LOST_MAX: u64 = 16;
/// Between two tries of a job that holds, milliseconds: doubled from the first to the last.
const PAUSE_FIRST_MS: u64 = 1_000;
pub const PAUSE_LONGEST_MS: u64 = 60_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// A chunk of the job was done.
    answered: bool,
    /// Requests that failures have given up.
    lost: u64,
    /// Failures since it holds.
    tries: u32,
    /// Nothing is sent before.
    not_before: Timestamp,
}

impl Hold {
    pub const fn is_on(&self) -> bool {
        !self.answered && self.lost >= LOST_MAX
    }

    /// When a chunk is to be tried, while it holds.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.is_on().then_some(self.not_before)
    }

    /// A done chunk ends it.
    pub(crate) const fn done(&mut self) {
        self.answered = true;
    }

    pub(crate) const fn lost(&mut self, requests: u32) {
        self.lost = self.lost.saturating_add(requests as u64);
    }

    /// A chunk failed.
    pub(crate) fn failed(&mut self, at: Timestamp) {
        if self.is_on() {
            self.not_before = at.plus((PAUSE_FIRST_MS << self.tries.min(6)).min(PAUSE_LONGEST_MS));
            self.tries = self.tries.saturating_add(1);
        }
    }
}
