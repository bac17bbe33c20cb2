//! Finds custom ids that stand twice, in 8 bytes a request while the input streams by.
//!
//! Only hashes are kept. Hashes that repeat are *candidates*: the input is read once more and the ids behind them are
//! compared in full, so a chance collision of two hashes is never reported as a duplicate.
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
};

/// Few, so that those of a large input are large: an allocator gives large blocks back when they are freed.
const BUCKETS: usize = 16;
/// Candidates looked at in the second pass; errors reported are fewer still.
const CANDIDATES_MAX: usize = 10_000;

/// First pass: the hash of every custom id, in buckets by their top bits so that growing one copies little.
#[derive(Debug)]
pub struct Seen {
    buckets: Vec<Vec<u64>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); BUCKETS] }
    }
}

impl Seen {
    pub fn add(&mut self, custom_id: &str) {
        let hash = hash(custom_id);
        let bucket = &mut self.buckets[(hash >> 60) as usize];
        if bucket.len() == bucket.capacity() {
            bucket.reserve_exact(bucket.len() / 4 + 16);
        }
        bucket.push(hash);
    }

    /// The hashes that came more than once.
    pub fn candidates(self) -> Candidates {
        let mut found = HashMap::new();
        for mut bucket in self.buckets {
            bucket.sort_unstable();
            let twice = bucket.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
            for hash in twice.take(CANDIDATES_MAX.saturating_sub(found.len())) {
                found.insert(hash, Vec::new());
            }
        }
        Candidates { found }
    }
}

/// Second pass: the ids and lines behind the candidate hashes.
#[derive(Debug)]
pub struct Candidates {
    found: HashMap<u64, Vec<(String, u64)>>,
}

impl Candidates {
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The line where this id stood first, if it stood before.
    pub fn check(&mut self, custom_id: &str, line: u64) -> Option<u64> {
        let ids = self.found.get_mut(&hash(custom_id))?;
        if let Some((_, first)) = ids.iter().find(|(id, _)| id == custom_id) {
            return Some(*first);
        }
        ids.push((custom_id.to_owned(), line));
        None
    }
}

fn hash(custom_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(custom_id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicates(ids: &[&str]) -> Vec<(u64, u64)> {
        let mut seen = Seen::default();
        ids.iter().for_each(|id| seen.add(id));
        let mut candidates = seen.candidates();
        let lines = ids.iter().zip(1..);
        lines.filter_map(|(id, line)| candidates.check(id, line).map(|first| (line, first))).collect()
    }

    #[test]
    fn a_duplicate_names_both_lines() {
        assert_eq!(duplicates(&["a", "b", "a", "c", "a"]), [(3, 1), (5, 1)]);
        assert_eq!(duplicates(&["a", "b", "c"]), []);
    }

    #[test]
    fn a_million_ids_cost_at_most_sixteen_bytes_each() {
        let mut seen = Seen::default();
        (0..1_000_000).for_each(|n| seen.add(&n.to_string()));
        let bytes: usize = seen.buckets.iter().map(|b| b.capacity() * 8).sum();
        assert!(bytes <= 16_000_000, "{bytes}");
        assert!(seen.candidates().is_empty());
    }

    #[test]
    fn a_collision_is_not_a_duplicate() {
        let mut candidates = Candidates { found: [(hash("a"), vec![("other".to_owned(), 1)])].into() };
        assert_eq!(candidates.check("a", 2), None);
        assert_eq!(candidates.check("a", 3), Some(2));
    }
}
