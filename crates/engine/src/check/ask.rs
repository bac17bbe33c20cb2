//! What is asked: the same on every day, in words and numbers that are as many tokens for most models.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Error, PROMPTS, said::Said};
use crate::{Call, Endpoint, Engine, Key};

/// Of an answer: enough for it to go astray, few enough for a start to wait.
const TOKENS: usize = 24;
/// A text can take more tokens than it was made of, where special tokens have to be spelt.
const FORCED_TOKENS: usize = 4 * TOKENS;

/// One prompt.
pub struct Ask {
    /// From 1.
    pub number: usize,
    body: Value,
}

impl Ask {
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=PROMPTS).map(|number| {
            let messages = json!([{"role": "user", "content": words(number)}]);
            // An answer that ended early would leave its place in the batch.
            let body = json!({"messages": messages, "max_tokens": TOKENS, "temperature": 0, "logprobs": true,
                "ignore_eos": true});
            Self { number, body }
        })
    }

    /// The same prompt, to be answered with this text.
    pub fn force(mut self, text: &str) -> Self {
        self.body["guided_choice"] = json!([text]);
        self.body["max_tokens"] = FORCED_TOKENS.into();
        self.body["ignore_eos"] = false.into();
        self
    }

    pub async fn put(&self, engine: &dyn Engine) -> Result<Said, Error> {
        let call = Call { endpoint: Endpoint::Chat, body: Bytes::from(self.body.to_string()), key: Key::seeded(0) };
        let answer = engine.run(call).await.map_err(|source| Error::Fault { prompt: self.number, source })?;
        Said::read(self.number, &answer)
    }
}

/// Four of one length after the other, so that some always share a batch, even where only equals do: sums, then boxes, of
/// which there are two more each time.
pub fn words(number: usize) -> String {
    let (group, at) = ((number - 1) / 4, (number - 1) % 4);
    if group.is_multiple_of(2) {
        return format!("What is {} + {}?", 1 + group / 2, 1 + 2 * at);
    }
    let boxes = (0..group).map(|place| format!("Box {} holds {} nails.", pick(at, place), pick(number, place)));
    format!("{} Say what each box holds.", boxes.collect::<Vec<_>>().join(" "))
}

/// A number of two digits.
fn pick(a: usize, b: usize) -> usize {
    10 + (a * 37 + b * 53) % 90
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Each byte is a token at worst. The bundled model has room for 512, and needs some for the turns.
    #[test]
    fn prompts_differ_and_fit_small_models() {
        let words: HashSet<String> = (1..=PROMPTS).map(words).collect();
        assert_eq!(words.len(), PROMPTS);
        let lengths = words.iter().map(String::len);
        assert_eq!((lengths.clone().min(), lengths.max()), (Some(14), Some(369)));
    }
}
