//! Which token is taken. Pure: logits, the answer so far and one uniform draw go in, a token comes out.
//!
//! In this order: what a grammar or `min_tokens` forbids; `repetition_penalty` over prompt and answer;
//! `frequency_penalty` and `presence_penalty` over the answer alone; `logit_bias`; then the most likely token where
//! chance has no part, else temperature, `min_p`, `top_k`, `top_p`, each over what the one before it left, and one draw.

mod kept;
mod tally;

use domain::request::Sampling;

pub use tally::Tally;

/// The rules of one request.
#[derive(Debug, Clone)]
pub struct Sampler {
    rules: Sampling,
    greedy: bool,
}

/// The tokens that may be taken: a bit for each, from the lowest of the first word on.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a>(pub &'a [u32]);

impl Allowed<'_> {
    fn has(self, token: usize) -> bool {
        self.0.get(token / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }
}

/// What one choice is made from.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The model's own.
    pub logits: &'a [f32],
    pub tally: &'a Tally,
    /// None: any.
    pub allowed: Option<Allowed<'a>>,
    /// Never to be taken here.
    pub barred: &'a [u32],
}

/// A choice, and what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Pick {
    pub token: u32,
    /// The logits as they were changed, with the choice as the largest. None: they are as they came, and it is there.
    pub changed: Option<Vec<f32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Nothing may be taken.
    #[error("no token is left to take")]
    Nothing,
    #[error("the model gave numbers that are none")]
    NotFinite,
}

impl Sampler {
    pub fn new(rules: &Sampling) -> Self {
        Self { greedy: rules.greedy(), rules: rules.clone() }
    }

    pub fn greedy(&self) -> bool {
        self.greedy
    }

    /// Takes a token. `draw` is uniform, at least 0 and below 1, and asked for only where chance has a part.
    pub fn pick(&self, look: Look<'_>, draw: impl FnOnce() -> f64) -> Result<Pick, Failed> {
        if self.greedy && self.leaves(&look) {
            let token = argmax(look.logits).ok_or(Failed::NotFinite)?;
            return Ok(Pick { token, changed: None });
        }
        let mut values = look.logits.to_vec();
        self.change(&mut values, &look);
        let token = if self.greedy { best(&values, &look)? } else { self.drawn(&mut values, &look, draw())? };
        if let Some(value) = values.get_mut(token as usize) {
            *value = f32::INFINITY;
        }
        Ok(Pick { token, changed: Some(values) })
    }

    /// Nothing changes the logits.
    fn leaves(&self, look: &Look<'_>) -> bool {
        let rules = &self.rules;
        let is_plain = rules.bias.is_empty() && rules.repetition_penalty == 1.0;
        let is_fresh = rules.frequency_penalty == 0.0 && rules.presence_penalty == 0.0;
        is_plain && is_fresh && look.allowed.is_none() && look.barred.is_empty()
    }

    fn change(&self, values: &mut [f32], look: &Look<'_>) {
        look.tally.penalise(values, &self.rules);
        for (token, add) in &self.rules.bias {
            if let Some(value) = values.get_mut(*token as usize) {
                *value += add;
            }
        }
        if let Some(allowed) = look.allowed {
            let forbidden = values.iter_mut().enumerate().filter(|(token, _)| !allowed.has(*token));
            forbidden.for_each(|(_, value)| *value = f32::NEG_INFINITY);
        }
        for token in look.barred {
            if let Some(value) = values.get_mut(*token as usize) {
                *value = f32::NEG_INFINITY;
            }
        }
    }

    /// `values` become weights: the largest is 1.
    fn drawn(&self, values: &mut [f32], look: &Look<'_>, draw: f64) -> Result<u32, Failed> {
        let top = values[best(values, look)? as usize];
        let scale = (1.0 / self.rules.temperature) as f32;
        for value in values.iter_mut() {
            *value = ((*value - top) * scale).exp();
        }
        match kept::tokens(values, &self.rules) {
            None => take(values.iter().copied().zip(0..), draw),
            Some(kept) => take(kept.into_iter(), draw),
        }
        .ok_or(Failed::NotFinite)
    }
}

/// The largest of `values`. What is there is there by right, unless nothing may be taken or the model went wrong.
fn best(values: &[f32], look: &Look<'_>) -> Result<u32, Failed> {
    match argmax(values) {
        Some(token) if values[token as usize] > f32::NEG_INFINITY => Ok(token),
        _ if argmax(look.logits).is_some() => Err(Failed::Nothing),
        _ => Err(Failed::NotFinite),
    }
}

/// The largest number's place; of equals the last, as mistral.rs has it. None: one of them is no number, or all are
/// without a chance.
pub fn argmax(values: &[f32]) -> Option<u32> {
    let (lanes, rest) = values.as_chunks::<8>();
    let mut tops = [f32::NEG_INFINITY; 8];
    let mut sums = [0.0_f32; 8];
    for lane in lanes {
        for (at, value) in lane.iter().enumerate() {
            tops[at] = if *value > tops[at] { *value } else { tops[at] };
            sums[at] += value * 0.0;
        }
    }
    let top = tops.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let broken = sums.iter().any(|sum| sum.is_nan()) && values.iter().any(|value| value.is_nan());
    if broken || rest.iter().any(|value| value.is_nan()) || !top.is_finite() {
        return None;
    }
    values.iter().rposition(|value| *value == top).map(|token| token as u32)
}

/// The token at which the weights, added up, pass the draw's share of them all.
fn take(weights: impl Iterator<Item = (f32, u32)> + Clone, draw: f64) -> Option<u32> {
    let total: f64 = weights.clone().map(|(weight, _)| f64::from(weight)).sum();
    if !total.is_finite() {
        return None;
    }
    let (mut left, mut last) = (draw * total, None);
    for (weight, token) in weights.filter(|(weight, _)| *weight > 0.0) {
        last = Some(token);
        left -= f64::from(weight);
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests;
