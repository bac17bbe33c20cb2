//! Which rows of an input are taken: all, the first so many, or so many from anywhere.
use std::collections::BinaryHeap;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pick {
    #[default]
    All,
    First(u64),
    /// So many, each as likely; the same ones of the same input.
    Sample(u64),
}

/// A pick, decided for an input.
#[derive(Debug, Clone, Copy)]
pub enum Picked {
    All,
    First(u64),
    /// Rows whose mark is at most this.
    Marked(u64),
}

impl Picked {
    /// Whether row `number` (0-based, of the whole input) of this id is taken.
    pub fn has(self, number: u64, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::First(rows) => number < rows,
            Self::Marked(most) => mark(id) <= most,
        }
    }

    /// The same where it takes work to know the id.
    pub fn takes(self, number: u64, id: impl FnOnce() -> String) -> bool {
        match self {
            Self::Marked(_) => self.has(number, &id()),
            _ => self.has(number, ""),
        }
    }

    /// Whether no row from this one on is taken.
    pub const fn is_past(self, number: u64) -> bool {
        matches!(self, Self::First(rows) if number >= rows)
    }
}

/// What a row is drawn by.
fn mark(id: &str) -> u64 {
    let hash = blake3::hash(id.as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap_or_default())
}

/// Finds the rows of a sample: those with the lowest marks.
#[derive(Debug)]
pub struct Lowest {
    count: usize,
    marks: BinaryHeap<u64>,
}

impl Lowest {
    pub fn new(count: u64) -> Self {
        Self { count: usize::try_from(count).unwrap_or(usize::MAX), marks: BinaryHeap::new() }
    }

    pub fn add(&mut self, id: &str) {
        self.marks.push(mark(id));
        if self.marks.len() > self.count {
            self.marks.pop();
        }
    }

    pub fn picked(&self) -> Picked {
        Picked::Marked(self.marks.peek().copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_so_many_rows_and_always_the_same() {
        let ids: Vec<String> = (0..1_000).map(|n| format!("a.csv:{n}")).collect();
        let sample = || {
            let mut lowest = Lowest::new(20);
            ids.iter().for_each(|id| lowest.add(id));
            let picked = lowest.picked();
            ids.iter().zip(0..).filter(|(id, n)| picked.has(*n, id)).map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(sample().len(), 20);
        assert_eq!(sample(), sample());
        assert!(sample() != ids[..20]);
    }
}
