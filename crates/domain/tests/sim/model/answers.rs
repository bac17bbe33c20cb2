//! What workers answer and archivers write. A line knows its request and the run that answered it.
use super::env::Number;
use domain::event::{FaultClass, Tally};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Good,
    /// The engine's own error.
    Refused,
    GivenUp(FaultClass),
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub number: u64,
    pub said: Said,
    /// The run that answered; 0 for none.
    pub run: u32,
}

impl Line {
    /// Two runs of a request need not give answers of one length.
    pub const fn bytes(self) -> u64 {
        let said = match self.said {
            Said::Expired => 3,
            Said::Cancelled => 5,
            Said::Good | Said::Refused | Said::GivenUp(_) => 0,
        };
        10 + said + (self.run % 997) as u64
    }

    pub const fn is_error(self) -> bool {
        !matches!(self.said, Said::Good)
    }
}

/// A chunk's stored result.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    pub worker: usize,
    pub attempt: u32,
    pub run: u32,
    pub started: u64,
    pub tally: Tally,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Output,
    Errors,
}

/// The store.
#[derive(Default)]
pub struct Files {
    /// By the results that were known to be lost when they were written, the last number.
    pub parts: BTreeMap<(Number, u32, Kind, u32), Vec<Line>>,
    pub whole: BTreeMap<(Number, Kind, u32), Vec<Line>>,
}

pub fn bytes(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.bytes()).sum()
}
