//! One answer in the making: each look at the model's logits takes a token, until the answer ends.
//!
//! An answer ends with one of the model's end tokens, a token or text of the request's that stops it, a grammar that
//! allows nothing more, or its cap. Whoever runs the model asks [`Generation::step`] for every token and finds the answer
//! here, not in what it generated itself.

use domain::request::Sampling;
use llguidance::Matcher;

use crate::{
    Key,
    logprob::{self, Chance},
    sampler::{Allowed, Failed, Look, Pick, Sampler, Tally},
};

/// What a token stands for.
pub trait Tokens {
    /// In the answer's text; empty for special tokens.
    fn bytes(&self, token: u32) -> &[u8];
    fn ends(&self) -> &[u32];
}

/// What an answer is made by.
pub struct Rules {
    pub sampling: Sampling,
    /// The most tokens.
    pub cap: usize,
    /// How many alternatives of each token are wanted; None: no log probabilities.
    pub logprobs: Option<usize>,
    pub key: Key,
}

pub struct Generation {
    rules: Rules,
    sampler: Sampler,
    tally: Tally,
    matcher: Option<Matcher>,
    taken: Vec<Taken>,
    text: Vec<u8>,
    finish: Option<Finish>,
}

/// A token of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    pub token: u32,
    /// Where its bytes begin in the text.
    pub start: usize,
    pub chance: Option<Chance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    Length,
}

/// What the model's runner is to go on with.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The token is the logits' own largest.
    Own,
    /// The token is the largest of these.
    Changed(Vec<f32>),
    /// The answer is complete.
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Failed(Failed),
    /// The grammar is at its limits: the request's fault.
    #[error("{0}")]
    Grammar(String),
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub text: Vec<u8>,
    /// With the token that ended it, where there is one.
    pub taken: Vec<Taken>,
    pub finish: Finish,
}

impl Generation {
    pub fn new(rules: Rules, prompt: &[u32], matcher: Option<Matcher>) -> Self {
        let (sampler, tally) = (Sampler::new(&rules.sampling), Tally::new(&rules.sampling, prompt));
        Self { rules, sampler, tally, matcher, taken: Vec::new(), text: Vec::new(), finish: None }
    }

    /// Tokens taken so far.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    pub fn last(&self) -> Option<u32> {
        self.taken.last().map(|taken| taken.token)
    }

    pub fn is_over(&self) -> bool {
        self.finish.is_some()
    }

    pub fn step(&mut self, logits: &[f32], tokens: &impl Tokens) -> Result<Step, Broken> {
        if self.is_over() {
            return Ok(Step::Over);
        }
        let Some(Pick { token, changed }) = self.pick(logits, tokens)? else {
            self.finish = Some(Finish::Stop);
            return Ok(Step::Over);
        };
        let chance = self.rules.logprobs.map(|wanted| logprob::chance(logits, token, wanted));
        self.taken.push(Taken { token, start: self.text.len(), chance });
        self.tally.add(token);
        self.advance(token, tokens)?;
        // An end of the model's own is told as it is; any other end is not to be generated on.
        match self.finish {
            Some(_) if !tokens.ends().contains(&token) => Ok(Step::Over),
            _ => Ok(changed.map_or(Step::Own, Step::Changed)),
        }
    }

    /// None: the grammar allows nothing more.
    fn pick(&mut self, logits: &[f32], tokens: &impl Tokens) -> Result<Option<Pick>, Broken> {
        let barred = self.barred(tokens);
        let (key, position) = (self.rules.key, self.taken.len());
        let look = Look { logits, tally: &self.tally, allowed: None, barred: &barred };
        let Some(matcher) = &mut self.matcher else {
            return self.sampler.pick(look, || key.draw(position)).map(Some).map_err(Broken::Failed);
        };
        // The mask of a large vocabulary costs much, and the most likely token often fits.
        if self.sampler.greedy() {
            let pick = self.sampler.pick(look, || 0.0).map_err(Broken::Failed)?;
            if !tokens.ends().contains(&pick.token) && matcher.validate_tokens(&[pick.token]).is_ok_and(|fit| fit == 1)
            {
                return Ok(Some(pick));
            }
        }
        let mask = matcher.compute_mask_or_eos().map_err(|error| Broken::Grammar(error.to_string()))?;
        let look = Look { allowed: Some(Allowed(mask.as_slice())), ..look };
        match self.sampler.pick(look, || key.draw(position)) {
            Ok(pick) => Ok(Some(pick)),
            Err(Failed::Nothing) => Ok(None),
            Err(failed) => Err(Broken::Failed(failed)),
        }
    }

    /// Tokens that would end the answer before it may.
    fn barred(&self, tokens: &impl Tokens) -> Vec<u32> {
        let is_early = self.taken.len() < self.rules.sampling.min_tokens;
        let mut barred = Vec::new();
        if is_early || self.rules.sampling.ignore_eos {
            barred.extend_from_slice(tokens.ends());
        }
        if is_early {
            barred.extend_from_slice(&self.rules.sampling.stop_token_ids);
        }
        barred
    }

    /// Whether the answer ends with this token.
    fn advance(&mut self, token: u32, tokens: &impl Tokens) -> Result<(), Broken> {
        let rules = &self.rules;
        if tokens.ends().contains(&token) || rules.sampling.stop_token_ids.contains(&token) {
            self.finish = Some(Finish::Stop);
            return Ok(());
        }
        let before = self.text.len();
        self.text.extend_from_slice(tokens.bytes(token));
        if self.taken.len() >= rules.sampling.min_tokens
            && let Some(end) = stop(&self.text, before, &rules.sampling.stop)
        {
            self.text.truncate(end);
            self.finish = Some(Finish::Stop);
            return Ok(());
        }
        if let Some(matcher) = &mut self.matcher {
            matcher.consume_token(token).map_err(|error| Broken::Grammar(error.to_string()))?;
            if matcher.is_stopped() {
                self.finish = Some(Finish::Stop);
                return Ok(());
            }
        }
        if self.taken.len() >= rules.cap {
            self.finish = Some(Finish::Length);
        }
        Ok(())
    }

    /// The answer. What its runner ended by itself, for want of room, ends as at a cap.
    pub fn done(&mut self) -> Done {
        let mut text = std::mem::take(&mut self.text);
        text.truncate(whole(&text));
        Done { text, taken: std::mem::take(&mut self.taken), finish: self.finish.unwrap_or(Finish::Length) }
    }
}

/// Where the first stop string begins, of those that end beyond `before`.
fn stop(text: &[u8], before: usize, stops: &[String]) -> Option<usize> {
    let found = stops.iter().filter_map(|stop| {
        let from = before.saturating_sub(stop.len() - 1);
        text[from..].windows(stop.len()).position(|window| window == stop.as_bytes()).map(|at| from + at)
    });
    found.min()
}

/// The bytes of a text up to its last character that is whole.
fn whole(text: &[u8]) -> usize {
    let last = text.iter().rev().take(4).position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let Some(back) = last else { return text.len() };
    let start = text.len() - 1 - back;
    match std::str::from_utf8(&text[start..]) {
        Err(error) if error.error_len().is_none() => start + error.valid_up_to(),
        _ => text.len(),
    }
}

#[cfg(test)]
#[path = "generation_tests.rs"]
mod tests;
