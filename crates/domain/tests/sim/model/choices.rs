//! The one source of chance: a list of small numbers for each step. Zero is always the harmless choice.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One step's numbers.
pub type Step = Vec<u32>;

enum Source {
    /// So many steps.
    Drawn(Random, usize),
    Replayed(Vec<Step>),
}

pub struct Choices {
    source: Source,
    /// What was drawn.
    steps: Vec<Step>,
    step: usize,
    next: usize,
    /// Chance has ended: all goes well from here on.
    over: bool,
}

impl Choices {
    pub fn drawn(seed: u64, steps: usize) -> Self {
        Self::new(Source::Drawn(Random::new(seed), steps))
    }

    pub fn replayed(steps: Vec<Step>) -> Self {
        Self::new(Source::Replayed(steps))
    }

    const fn new(source: Source) -> Self {
        Self { source, steps: Vec::new(), step: 0, next: 0, over: false }
    }

    /// Begins the next step, if there is one.
    pub fn advance(&mut self) -> bool {
        let steps = match &self.source {
            Source::Drawn(_, steps) => *steps,
            Source::Replayed(steps) => steps.len(),
        };
        self.over = self.step >= steps;
        if !self.over {
            self.steps.push(Step::new());
            self.step += 1;
            self.next = 0;
        }
        !self.over
    }

    /// A number below `n`. What a replayed step does not hold is zero.
    pub fn pick(&mut self, n: usize) -> usize {
        if self.over || n < 2 {
            return 0;
        }
        let number = match &mut self.source {
            Source::Drawn(random, _) => (random.next() % n as u64) as usize,
            Source::Replayed(steps) => {
                let step = self.step.checked_sub(1).and_then(|at| steps.get(at));
                step.and_then(|step| step.get(self.next)).map_or(0, |number| *number as usize % n)
            }
        };
        self.next += 1;
        if let Some(step) = self.steps.last_mut() {
            step.push(number as u32);
        }
        number
    }

    /// Once in `n` times.
    pub fn chance(&mut self, n: usize) -> bool {
        n > 1 && self.pick(n) == n - 1
    }

    /// What was drawn so far.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}
