//! Texts and lengths by chance, the same for the same seed.

pub struct Chance(u64);

impl Chance {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the numbers below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most.max(1)
    }

    /// Letters and blanks, of so many bytes.
    pub fn words(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let letters = 2 + self.below(7);
            text.extend((0..letters).map(|_| char::from(b'a' + self.below(26) as u8)));
            text.push(' ');
        }
        text.truncate(bytes);
        text
    }

    /// About `mean`, and now and then ten times that: as answers of models are long.
    pub fn length(&mut self, mean: u64) -> u64 {
        let quarter = mean / 4 + self.below(mean);
        if self.below(20) == 0 { quarter * 8 } else { quarter.max(1) }
    }
}
