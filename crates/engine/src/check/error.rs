//! Why an engine is not to be trusted with work. One line each.

use std::fmt;

use super::{
    Manner, PROMPTS,
    said::{Said, Token},
    vectors::LIKENESS_MIN,
};
use crate::{Fault, answer::Kind};

/// Characters of an answer that are told.
const EXCERPT: usize = 60;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("sequences are mixed up: {0}")]
    Mixed(Box<Difference>),
    #[error(
        "sequences are mixed up: the vectors of prompt {prompt} of {PROMPTS} alone and together are alike by {likeness:.6}, \
         where 1 is the same, and {LIKENESS_MIN} may be rounding on a GPU"
    )]
    Apart { prompt: usize, likeness: f64 },
    #[error("prompt {prompt} of {PROMPTS} of the check got no answer")]
    Fault { prompt: usize, source: Fault },
    #[error("prompt {prompt} of {PROMPTS} of the check was refused: {message}")]
    Refused { prompt: usize, message: String, kind: Kind },
    #[error("the answer to prompt {prompt} of {PROMPTS} of the check cannot be read")]
    Strange { prompt: usize, source: serde_json::Error },
    #[error("the engine gives no log probabilities, by which alone it could be checked on its device")]
    NoChances,
    #[error("the engine answers {left} of the check's {PROMPTS} prompts, too few to compare")]
    TooFew { left: usize },
}

/// The first of all.
#[derive(Debug)]
pub struct Difference {
    prompt: usize,
    /// From 0.
    at: usize,
    manner: Manner,
    alone: Said,
    together: Said,
}

impl Difference {
    pub(super) fn new(prompt: usize, at: usize, manner: Manner, alone: &Said, together: &Said) -> Self {
        Self { prompt, at, manner, alone: alone.clone(), together: together.clone() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "prompt {} of {PROMPTS}, token {}: ", self.prompt, self.at + 1)?;
        let [alone, together] = [&self.alone, &self.together].map(|said| said.tokens.get(self.at));
        match self.manner {
            Manner::Exact => write!(f, "alone {}, together {}", name(alone), name(together))?,
            Manner::Within(tolerance) => {
                let (alone, together) = (chance(alone), chance(together));
                write!(f, "log probability alone {alone}, together {together}, where {tolerance} may be rounding")?;
            }
        }
        let [alone, together] = [&self.alone, &self.together].map(excerpt);
        write!(f, " (alone the answer is {alone:?}, together {together:?})")
    }
}

fn name(token: Option<&Token>) -> String {
    token.map_or_else(|| "the end".to_owned(), |token| format!("{:?}", token.text))
}

fn chance(token: Option<&Token>) -> String {
    let chance = token.and_then(|token| token.logprob);
    let chance = chance.map_or_else(|| "none".to_owned(), |logprob| format!("{logprob:.3}"));
    format!("{chance} for {}", name(token))
}

fn excerpt(said: &Said) -> String {
    let text = said.text();
    let mut excerpt: String = text.chars().take(EXCERPT).collect();
    if excerpt.len() < text.len() {
        excerpt.push_str("...");
    }
    excerpt
}
