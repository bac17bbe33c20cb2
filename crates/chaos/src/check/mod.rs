//! Holds what came back against what was asked. Pure: it judges what was read, and reads nothing.
mod lines;
mod log;
mod pace;
mod status;
mod still;

pub use lines::{Lines, Tally};
pub use log::{Entry, Log, Story};
pub use pace::{Pace, Recovery, Stall, pace};
pub use status::judge;
pub use still::{Look, Reasons, Says, Stills};

/// Examples kept of one kind of fault: enough to find its cause.
pub const EXAMPLES_MAX: usize = 5;

/// What is wrong with one job, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints {
    pub count: u64,
    pub examples: Vec<String>,
}

impl Complaints {
    pub fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what());
        }
    }

    pub fn take(&mut self, mut other: Self) {
        self.count += other.count;
        other.examples.truncate(EXAMPLES_MAX.saturating_sub(self.examples.len()));
        self.examples.append(&mut other.examples);
    }
}
