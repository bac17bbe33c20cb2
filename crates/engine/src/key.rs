//! What chance follows from: the same key and position give the same draw, on any slot, worker and day.

use serde::{Deserialize, Serialize};

/// 256 bits that no other request shares, unless it is to draw the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; 32]);

/// Another text would give other answers to the same seeds.
const CONTEXT: &str = "jetbatch 2026-11-28 what a request draws from";

impl Key {
    /// Of a request's own seed.
    pub fn seeded(seed: u64) -> Self {
        Self::derive(&[b"seed", &seed.to_le_bytes()])
    }

    /// Of the place of a line without a seed: the job's id, and the line's number in it.
    pub fn placed(job: &[u8; 16], number: u64) -> Self {
        Self::derive(&[b"line", job, &number.to_le_bytes()])
    }

    /// Of one of a request's choices.
    #[must_use]
    pub fn choice(&self, index: usize) -> Self {
        Self::derive(&[b"choice", &self.0, &(index as u64).to_le_bytes()])
    }

    /// The draw at a position of the answer: uniform, at least 0 and below 1.
    pub fn draw(&self, position: usize) -> f64 {
        let hash = blake3::keyed_hash(&self.0, &(position as u64).to_le_bytes());
        let (bits, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
        (u64::from_le_bytes(*bits) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A name of its own for something in the answer: 24 hexadecimal digits.
    pub fn name(&self, index: usize) -> String {
        let named = Self::derive(&[b"name", &self.0, &(index as u64).to_le_bytes()]);
        named.0.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
    }

    fn derive(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_seed_line_choice_and_position_has_a_draw_of_its_own() {
        let mut seen = HashSet::new();
        for a in 0..20 {
            for key in [Key::seeded(a), Key::placed(&[0; 16], a), Key::placed(&[1; 16], a)] {
                for choice in 0..5 {
                    let draws = (0..5).map(|position| key.choice(choice).draw(position).to_bits());
                    seen.extend(draws);
                }
            }
        }
        assert_eq!(seen.len(), 20 * 3 * 5 * 5);
    }

    #[test]
    fn a_draw_is_the_same_for_ever() {
        let draw = Key::seeded(42).choice(0).draw(0);
        assert_eq!(format!("{draw:.12}"), "0.956092475180");
    }
}
