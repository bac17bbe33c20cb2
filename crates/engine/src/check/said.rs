//! What was answered, token by token.

use serde::Deserialize;

use super::{Error, Manner};
use crate::Answer;

#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub tokens: Vec<Token>,
    /// Without them the whole text is one token.
    pub has_chances: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Token {
    #[serde(rename = "token")]
    pub text: String,
    /// None: it had no chance.
    pub logprob: Option<f64>,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Body {
    choices: [Choice; 1],
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Refused {
    error: Why,
}

#[derive(Deserialize)]
struct Why {
    message: String,
}

/// Of an answer that is none.
pub fn refused(prompt: usize, answer: &Answer) -> Error {
    match serde_json::from_str(&answer.body) {
        Ok(Refused { error: Why { message } }) => Error::Refused { prompt, message, kind: answer.kind },
        Err(source) => Error::Strange { prompt, source },
    }
}

impl Said {
    pub fn read(prompt: usize, answer: &Answer) -> Result<Self, Error> {
        let strange = |source| Error::Strange { prompt, source };
        if !answer.is_good() {
            return Err(refused(prompt, answer));
        }
        let Body { choices: [choice] } = serde_json::from_str(&answer.body).map_err(strange)?;
        Ok(match choice.logprobs.and_then(|logprobs| logprobs.content) {
            Some(tokens) => Self { tokens, has_chances: true },
            None => Self::whole(choice.message.content.unwrap_or_default()),
        })
    }

    fn whole(text: String) -> Self {
        Self { tokens: vec![Token { text, logprob: None, bytes: None }], has_chances: false }
    }

    pub fn text(&self) -> String {
        let bytes = self.tokens.iter().flat_map(|token| token.bytes.as_deref().unwrap_or(token.text.as_bytes()));
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    }

    /// The first token at which two answers to one prompt differ as they may not.
    pub fn parts_from(&self, other: &Self, manner: Manner) -> Option<usize> {
        let longest = self.tokens.len().max(other.tokens.len());
        for at in 0..longest {
            let (Some(one), Some(two)) = (self.tokens.get(at), other.tokens.get(at)) else { return Some(at) };
            match manner {
                Manner::Exact if one.text != two.text => return Some(at),
                Manner::Within(tolerance) if one.gap(two) > tolerance => return Some(at),
                // The same text in other tokens, each the likeliest in its place: what follows has another beginning.
                Manner::Within(_) if one.text != two.text => return None,
                Manner::Exact | Manner::Within(_) => {}
            }
        }
        None
    }
}

impl Token {
    fn gap(&self, other: &Self) -> f64 {
        match (self.logprob, other.logprob) {
            (Some(one), Some(two)) => (one - two).abs(),
            (None, None) => 0.0,
            _ => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tokens: &[(&str, f64)]) -> Said {
        let token = |&(text, logprob): &(&str, f64)| Token { text: text.into(), logprob: Some(logprob), bytes: None };
        Said { tokens: tokens.iter().map(token).collect(), has_chances: true }
    }

    #[test]
    fn answers_part_where_their_tokens_do() {
        let alone = said(&[("Pa", -0.1), ("ris", -0.2)]);
        for (together, at) in [
            (said(&[("Pa", -0.1), ("ris", -9.0)]), None),
            (said(&[("Pa", -0.1), ("ris", -0.2), (".", -0.2)]), Some(2)),
            (said(&[("Pa", -0.1)]), Some(1)),
            (said(&[("Pa", -0.1), ("lm", -0.2)]), Some(1)),
        ] {
            assert_eq!(alone.parts_from(&together, Manner::Exact), at, "{together:?}");
        }
    }

    #[test]
    fn answers_part_where_their_chances_do() {
        let alone = said(&[("Pa", -0.1), ("ris", -0.2)]);
        for (together, at) in [
            (said(&[("Pa", -0.3), ("ris", -0.4)]), None),
            (said(&[("Pa", -0.1), ("ris", -0.9)]), Some(1)),
            (said(&[("Pa", -0.1)]), Some(1)),
            // As likely, and the same text in the end.
            (said(&[("Par", -0.2), ("is", -9.0)]), None),
            (said(&[("Par", -1.2), ("is", -9.0)]), Some(0)),
        ] {
            assert_eq!(alone.parts_from(&together, Manner::Within(0.5)), at, "{together:?}");
        }
    }

    #[test]
    fn a_text_is_put_together_of_bytes() {
        let half = |bytes: &[u8]| Token { text: "bytes:".into(), logprob: None, bytes: Some(bytes.to_vec()) };
        let said = Said { tokens: vec![half(&[0xc3]), half(&[0xa9])], has_chances: true };
        assert_eq!(said.text(), "\u{e9}");
    }
}
