//! Numbers that follow from a seed: the same on every machine, for ever.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for each name, so that one plan's part does not shift another's.
    pub fn split(&self, name: &str) -> Self {
        Self(name.bytes().fold(self.0, |seed, byte| mix(seed ^ u64::from(byte))))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// Both ends included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of some things, each as likely as its weight. Not all weights are 0.
    pub fn weighed<T: Copy>(&mut self, things: &[(T, u32)]) -> T {
        let all: u64 = things.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(all.max(1));
        for (thing, weight) in things {
            if left < u64::from(*weight) {
                return *thing;
            }
            left -= u64::from(*weight);
        }
        things[0].0
    }
}

/// The finaliser of SplitMix64.
pub const fn mix(seed: u64) -> u64 {
    let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_for_ever() {
        let mut seed = Seed::new(7);
        assert_eq!([seed.draw(), seed.draw()], [0x63cb_e1e4_5932_0dd7, 0x044c_3cd7_f43c_661c]);
        assert_ne!(Seed::new(7).split("jobs").draw(), Seed::new(7).split("faults").draw());
    }

    #[test]
    fn weights_are_kept() {
        let mut seed = Seed::new(1);
        let drawn: Vec<char> = (0..1_000).map(|_| seed.weighed(&[('a', 900), ('b', 0), ('c', 100)])).collect();
        let count = |c| drawn.iter().filter(|d| **d == c).count();
        assert!(count('a') > 850 && count('b') == 0 && count('c') > 60);
    }
}
