//! What stands in prompt and answer, for penalties.

use std::collections::{HashMap, HashSet};

use domain::request::Sampling;

#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How often each token stands in the answer.
    answer: HashMap<u32, u32>,
    prompt: HashSet<u32>,
    counts: bool,
}

impl Tally {
    /// Counts only what the rules ask for.
    pub fn new(rules: &Sampling, prompt: &[u32]) -> Self {
        let repeats = rules.repetition_penalty != 1.0;
        let counts = repeats || rules.frequency_penalty != 0.0 || rules.presence_penalty != 0.0;
        let prompt = if repeats { prompt.iter().copied().collect() } else { HashSet::new() };
        Self { answer: HashMap::new(), prompt, counts }
    }

    /// Of a token of the answer.
    pub fn add(&mut self, token: u32) {
        if self.counts {
            *self.answer.entry(token).or_default() += 1;
        }
    }

    pub fn penalise(&self, values: &mut [f32], rules: &Sampling) {
        if rules.repetition_penalty != 1.0 {
            let only_prompt = self.prompt.iter().filter(|token| !self.answer.contains_key(token));
            for token in only_prompt.chain(self.answer.keys()) {
                if let Some(value) = values.get_mut(*token as usize) {
                    let factor = rules.repetition_penalty;
                    *value = if *value > 0.0 { *value / factor } else { *value * factor };
                }
            }
        }
        for (token, count) in &self.answer {
            if let Some(value) = values.get_mut(*token as usize) {
                *value -= *count as f32 * rules.frequency_penalty + rules.presence_penalty;
            }
        }
    }
}
