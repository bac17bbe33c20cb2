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
const EXPECTED: &str = "a string, a list of strings, or token ids";

pub fn read(raw: &RawValue) -> Result<Vec<Prompt>, Refusal> {
    let prompts = match first(raw.get()) {
        ('"', _) => vec![Prompt::Text(field::text(&NAME, raw)?)],
        ('[', '"') => field::typed::<Vec<String>>(&NAME, raw, EXPECTED)?.into_iter().map(Prompt::Text).collect(),
        ('[', '[') => lists(raw)?,
        ('[', ']') => Vec::new(),
        ('[', '0'..='9' | '-') => vec![Prompt::Tokens(field::tokens(&NAME, raw)?)],
        _ => return Err(Refusal::wrong_type(NAME, format!("expected {EXPECTED}"))),
    };
    match prompts.len() {
        0 => Err(Refusal::invalid(NAME, "it is an empty list")),
        n if n > CHOICES_MAX => Err(Refusal::invalid(NAME, format!("more than {CHOICES_MAX} prompts"))),
        _ if prompts.iter().any(is_empty) => Err(Refusal::invalid(NAME, "it is empty")),
        _ => Ok(prompts),
    }
}

fn lists(raw: &RawValue) -> Result<Vec<Prompt>, Refusal> {
    let lists: Vec<&RawValue> = field::typed(&NAME, raw, EXPECTED)?;
    let tokens = |(at, raw)| field::tokens(&format_args!("{NAME}[{at}]"), raw).map(Prompt::Tokens);
    lists.into_iter().enumerate().map(tokens).collect()
}

/// The first two characters that are not blanks.
pub(super) fn first(text: &str) -> (char, char) {
    let mut chars = text.chars().filter(|c| !c.is_ascii_whitespace());
    (chars.next().unwrap_or_default(), chars.next().unwrap_or_default())
}

fn is_empty(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
    }
}
