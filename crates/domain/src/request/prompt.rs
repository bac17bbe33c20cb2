//! The prompts of /v1/completions: a string, a list of strings, token ids, or a list of lists of them.
use super::{Refusal, field};
use crate::limits::CHOICES_MAX;
use serde_json::value::RawValue;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

const NAME: &str = "prompt";

pub fn read(raw: &RawValue) -> Result<Vec<Prompt>, Refusal> {
    let prompts = match first(raw.get()) {
        ('"', _) => vec![Prompt::Text(field::read(NAME, raw)?)],
        ('[', '"') => field::read::<Vec<String>>(NAME, raw)?.into_iter().map(Prompt::Text).collect(),
        ('[', '[') => field::read::<Vec<Vec<u32>>>(NAME, raw)?.into_iter().map(Prompt::Tokens).collect(),
        ('[', ']') => Vec::new(),
        ('[', _) => vec![Prompt::Tokens(field::read(NAME, raw)?)],
        _ => return Err(Refusal::wrong_type(NAME, "expected a string, a list of strings, or token ids")),
    };
    match prompts.len() {
        0 => Err(Refusal::invalid(NAME, "an empty list")),
        n if n > CHOICES_MAX => Err(Refusal::invalid(NAME, format!("more than {CHOICES_MAX} prompts"))),
        _ if prompts.iter().any(is_empty) => Err(Refusal::invalid(NAME, "a prompt is empty")),
        _ => Ok(prompts),
    }
}

/// The first two characters that are not blanks.
fn first(text: &str) -> (char, char) {
    let mut chars = text.chars().filter(|c| !c.is_ascii_whitespace());
    (chars.next().unwrap_or_default(), chars.next().unwrap_or_default())
}

fn is_empty(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
    }
}
