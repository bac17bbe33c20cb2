//! What a body asks for. Every field is honoured, harmless, or refused: never silently dropped.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Message, Refusal, Sampling,
    field::{self, Object},
    message,
};
use crate::{Endpoint, limits};

#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub model: Option<String>,
    pub input: Input,
    /// Choices for each prompt.
    pub n: usize,
    pub sampling: Sampling,
    pub format: Format,
    /// Wanted log probabilities: how many alternatives of each token.
    pub logprobs: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Chat { messages: Vec<Message>, thinking: Option<bool> },
    Text(Vec<String>),
}

impl Input {
    /// The most tokens that each prompt can take beside its template: no tokenizer makes more tokens than there are
    /// bytes.
    pub fn bounds(&self) -> Vec<usize> {
        match self {
            Self::Chat { messages, .. } => vec![messages.iter().map(message::bound).fold(0, usize::saturating_add)],
            Self::Text(prompts) => prompts.iter().map(String::len).collect(),
        }
    }
}

/// What the answer must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Format {
    #[default]
    Free,
    Schema(Value),
    Regex(String),
    Lark(String),
}

impl Ask {
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Refusal> {
        let Object(fields) = serde_json::from_slice(body).map_err(|error| Refusal::json(&error))?;
        let mut draft = Draft::default();
        for (name, raw) in fields {
            draft.take(endpoint, &name, raw)?;
        }
        draft.finish(endpoint)
    }
}

#[derive(Default)]
struct Draft {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    thinking: Option<bool>,
    prompts: Option<Vec<String>>,
    n: Option<usize>,
    sampling: Sampling,
    format: Format,
    wants_logprobs: bool,
    top_logprobs: Option<usize>,
    seeded: bool,
}

impl Draft {
    fn take(&mut self, endpoint: Endpoint, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        if !field::given(raw) {
            return known(endpoint, name).then_some(()).ok_or_else(|| Refusal::unknown(name));
        }
        let taken = self.sampling.take(name, raw)?
            || self.shared(name, raw)?
            || match endpoint {
                Endpoint::Chat => self.chat(name, raw)?,
                Endpoint::Completions => self.text(name, raw)?,
            };
        if taken { Ok(()) } else { otherwise(endpoint, name, raw) }
    }

    fn shared(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "model" => self.model = Some(field::read(name, raw)?),
            "n" => self.n = Some(field::count(name, raw, 1..=limits::CHOICES_MAX as u64)?),
            "max_tokens" => self.sampling.cap(name, raw)?,
            "seed" => self.seeded = field::read::<i64>(name, raw).map(|_| true)?,
            "grammar" => self.format = grammar(raw)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn chat(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "messages" => self.messages = Some(message::read(raw)?),
            "enable_thinking" => self.thinking = Some(field::read(name, raw)?),
            "max_completion_tokens" => self.sampling.cap(name, raw)?,
            "response_format" => self.format = format(raw)?,
            "logprobs" => self.wants_logprobs = field::read(name, raw)?,
            "top_logprobs" => {
                self.top_logprobs = Some(field::count(name, raw, 0..=limits::TOP_LOGPROBS_MAX)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn text(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "prompt" => self.prompts = Some(prompts(raw)?),
            "logprobs" => {
                self.wants_logprobs = true;
                self.top_logprobs = Some(field::count(name, raw, 0..=limits::TOP_LOGPROBS_TEXT_MAX)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self, endpoint: Endpoint) -> Result<Ask, Refusal> {
        if self.seeded && !self.sampling.greedy() {
            let why = "the engine has no seed for one request; with temperature 0 the answer is always the same";
            return Err(Refusal::unsupported("seed", why));
        }
        if self.top_logprobs.is_some() && !self.wants_logprobs {
            return Err(Refusal::invalid("top_logprobs", "it needs `logprobs`: true"));
        }
        let logprobs = self.wants_logprobs.then_some(self.top_logprobs.unwrap_or(0));
        let input = self.input(endpoint)?;
        let n = self.n.unwrap_or(1);
        if matches!(&input, Input::Text(prompts) if prompts.len() * n > limits::CHOICES_MAX) {
            return Err(Refusal::invalid("prompt", format!("more than {} choices", limits::CHOICES_MAX)));
        }
        Ok(Ask { model: self.model, input, n, sampling: self.sampling, format: self.format, logprobs })
    }

    fn input(&mut self, endpoint: Endpoint) -> Result<Input, Refusal> {
        match endpoint {
            Endpoint::Chat => {
                let messages = self.messages.take().ok_or_else(|| Refusal::missing("messages"))?;
                Ok(Input::Chat { messages, thinking: self.thinking })
            }
            Endpoint::Completions => {
                self.sampling.max_tokens.get_or_insert(limits::TEXT_TOKENS_DEFAULT);
                self.prompts.take().map(Input::Text).ok_or_else(|| Refusal::missing("prompt"))
            }
        }
    }
}

/// Fields that cannot change the answer.
const HARMLESS: &[&str] = &[
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
    "stream_options",
];

/// Fields that would change the answer, with what is harmless about them as JSON text.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("stream", &["false"], "a batch has one answer for each request"),
    ("tools", &["[]"], "tools are not served"),
    ("tool_choice", &["\"none\"", "\"auto\""], "tools are not served"),
    ("functions", &["[]"], "tools are not served"),
    ("function_call", &["\"none\"", "\"auto\""], "tools are not served"),
    ("modalities", &["[\"text\"]"], "answers are text"),
    ("audio", &[], "answers are text"),
    ("prediction", &[], "there is no predicted output"),
    ("reasoning_effort", &[], "use `enable_thinking`"),
    ("verbosity", &["\"medium\""], "models do not take it"),
    ("web_search_options", &[], "there is no web search"),
    ("echo", &["false"], "the prompt is not repeated"),
    ("suffix", &["\"\""], "there is no insertion"),
    ("best_of", &["1"], "use `n`"),
];

const SERVED: &[&str] = &[
    "model",
    "n",
    "max_tokens",
    "seed",
    "grammar",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
];
const SERVED_CHAT: &[&str] =
    &["messages", "enable_thinking", "max_completion_tokens", "response_format", "top_logprobs"];

fn known(endpoint: Endpoint, name: &str) -> bool {
    let own = match endpoint {
        Endpoint::Chat => SERVED_CHAT,
        Endpoint::Completions => &["prompt"],
    };
    own.contains(&name) || SERVED.contains(&name) || HARMLESS.contains(&name) || refused(name).is_some()
}

fn refused(name: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    REFUSED.iter().find(|(field, ..)| *field == name)
}

fn otherwise(endpoint: Endpoint, name: &str, raw: &RawValue) -> Result<(), Refusal> {
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    let Some((_, harmless, why)) = refused(name) else {
        return Err(Refusal::unknown(name));
    };
    let value: String = raw.get().split_whitespace().collect();
    match harmless.contains(&value.as_str()) {
        true => Ok(()),
        false if known(endpoint, name) => Err(Refusal::unsupported(name, why)),
        false => Err(Refusal::unknown(name)),
    }
}

fn prompts(raw: &RawValue) -> Result<Vec<String>, Refusal> {
    let text = raw.get();
    if text.starts_with('"') {
        return Ok(vec![field::read("prompt", raw)?]);
    }
    // A token outside the vocabulary would fail every sequence that runs beside it.
    if text.trim_start_matches(['[', ' ', '\n']).starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Refusal::unsupported("prompt", "send text, not tokens"));
    }
    let prompts: Vec<String> = field::read("prompt", raw)?;
    if prompts.is_empty() { Err(Refusal::invalid("prompt", "an empty list")) } else { Ok(prompts) }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum RawFormat {
    Text {},
    JsonObject {},
    JsonSchema { json_schema: Schema },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    schema: Map<String, Value>,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

fn format(raw: &RawValue) -> Result<Format, Refusal> {
    Ok(match field::read("response_format", raw)? {
        RawFormat::Text {} => Format::Free,
        RawFormat::JsonObject {} => Format::Schema(serde_json::json!({ "type": "object" })),
        RawFormat::JsonSchema { json_schema } => Format::Schema(Value::Object(json_schema.schema)),
    })
}

/// mistral.rs's own field: `{"type": "regex" | "lark" | "json_schema", "value": ...}`.
#[derive(Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
enum Grammar {
    Regex(String),
    Lark(String),
    JsonSchema(Value),
}

fn grammar(raw: &RawValue) -> Result<Format, Refusal> {
    Ok(match field::read("grammar", raw)? {
        Grammar::Regex(text) => Format::Regex(text),
        Grammar::Lark(text) => Format::Lark(text),
        Grammar::JsonSchema(schema) => Format::Schema(schema),
    })
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
