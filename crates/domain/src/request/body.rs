//! A body as a whole.
use super::{
    Constraint, Endpoint, Grammar, Message, Prompt, Refusal, Sampling,
    field::{self, Object},
    format, message, prompt,
    tool::{self, Choice, Tool},
};
use crate::limits::{CHOICES_MAX, TEXT_TOKENS_DEFAULT, TOP_LOGPROBS_MAX, TOP_LOGPROBS_TEXT_MAX};
use serde_json::{Map, Value, value::RawValue};

#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    pub model: Option<String>,
    pub input: Input,
    /// Choices for each prompt.
    pub n: usize,
    pub sampling: Sampling,
    /// What the answer must match.
    pub constraint: Option<Constraint>,
    /// Wanted log probabilities: how many alternatives of each token.
    pub logprobs: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Chat(Chat),
    Prompts(Vec<Prompt>),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// Never empty.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// More than one call in an answer.
    pub parallel: bool,
    /// Variables for the chat template.
    pub kwargs: Map<String, Value>,
    /// `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.
    pub effort: Option<String>,
}

impl Body {
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Refusal> {
        let fields: Object<'_> = serde_json::from_slice(body).map_err(|error| Refusal::json(&error))?;
        if let Some(name) = fields.twice() {
            return Err(Refusal::twice(name));
        }
        let mut draft = Draft::default();
        let mut wrong = None;
        for (name, raw) in fields.0 {
            // What is wrong with the shape is told first, wherever it stands: it is the whole file's fault.
            if let Err(refusal) = draft.take(endpoint, &name, raw) {
                match refusal.fault {
                    super::Fault::Shape => return Err(refusal),
                    super::Fault::Request => wrong = wrong.or(Some(refusal)),
                }
            }
        }
        let finished = draft.finish(endpoint);
        match wrong {
            Some(refusal) if finished.as_ref().err().is_none_or(|error| error.fault == super::Fault::Request) => {
                Err(refusal)
            }
            _ => finished,
        }
    }
}

#[derive(Default)]
struct Draft {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    prompts: Option<Vec<Prompt>>,
    chat: Chat,
    single_calls: bool,
    n: Option<usize>,
    sampling: Sampling,
    constraint: Option<Constraint>,
    wants_logprobs: bool,
    top_logprobs: Option<usize>,
    /// A field that is wrong was given, so that it is not missed.
    seen: bool,
}

impl Draft {
    fn take(&mut self, endpoint: Endpoint, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        if !field::given(raw) {
            return known(endpoint, name).then_some(()).ok_or_else(|| Refusal::unknown(name));
        }
        self.seen |= name == input(endpoint);
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
            "n" => self.n = Some(field::count(name, raw, 1..=CHOICES_MAX as u64)?),
            "max_tokens" => self.sampling.cap(name, raw)?,
            "response_format" => self.constrain("response_format", format::response(raw)?)?,
            "grammar" => self.constrain("grammar", format::grammar(raw)?)?,
            "structured_outputs" => self.constrain("structured_outputs", format::structured(raw)?)?,
            _ => match GUIDED.iter().find(|guided| **guided == name) {
                Some(name) => self.constrain(name, format::guided(name, raw)?)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn constrain(&mut self, param: &'static str, grammar: Option<Grammar>) -> Result<(), Refusal> {
        let Some(grammar) = grammar else { return Ok(()) };
        match self.constraint.replace(Constraint { param, grammar }) {
            None => Ok(()),
            Some(other) => {
                Err(Refusal::invalid(param, format!("`{}` is given, too; an answer has one form", other.param)))
            }
        }
    }

    fn chat(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "messages" => self.messages = Some(message::read(raw)?),
            "enable_thinking" => {
                self.chat.kwargs.insert(name.to_owned(), field::read::<bool>(name, raw)?.into());
            }
            "chat_template_kwargs" => self.chat.kwargs.extend(kwargs(raw)?),
            "reasoning_effort" => self.chat.effort = Some(effort(raw)?),
            "tools" => self.chat.tools = tool::read(raw)?,
            "tool_choice" => self.chat.choice = tool::choice(raw)?,
            "parallel_tool_calls" => self.single_calls = !field::read::<bool>(name, raw)?,
            "max_completion_tokens" => self.sampling.cap(name, raw)?,
            "logprobs" => self.wants_logprobs = field::read(name, raw)?,
            "top_logprobs" => self.top_logprobs = Some(field::count(name, raw, 0..=TOP_LOGPROBS_MAX)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn text(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "prompt" => self.prompts = Some(prompt::read(raw)?),
            "logprobs" => {
                self.wants_logprobs = true;
                self.top_logprobs = Some(field::count(name, raw, 0..=TOP_LOGPROBS_TEXT_MAX)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self, endpoint: Endpoint) -> Result<Body, Refusal> {
        let input = self.input(endpoint)?;
        self.sampling.check()?;
        if self.top_logprobs.is_some() && !self.wants_logprobs {
            return Err(Refusal::invalid("top_logprobs", "it needs `logprobs`: true"));
        }
        let logprobs = self.wants_logprobs.then_some(self.top_logprobs.unwrap_or(0));
        let n = self.n.unwrap_or(1);
        if matches!(&input, Input::Prompts(prompts) if prompts.len() * n > CHOICES_MAX) {
            return Err(Refusal::invalid("prompt", format!("more than {CHOICES_MAX} choices")));
        }
        Ok(Body { model: self.model, input, n, sampling: self.sampling, constraint: self.constraint, logprobs })
    }

    fn input(&mut self, endpoint: Endpoint) -> Result<Input, Refusal> {
        let missing = || match self.seen {
            true => Refusal::invalid(input(endpoint), "it cannot be read"),
            false => Refusal::missing(input(endpoint)),
        };
        match endpoint {
            Endpoint::Chat => {
                let messages = self.messages.take().ok_or_else(missing)?;
                tool::check(&self.chat.tools, &self.chat.choice)?;
                let chat = std::mem::take(&mut self.chat);
                Ok(Input::Chat(Chat { messages, parallel: !self.single_calls, ..chat }))
            }
            Endpoint::Completions => {
                let prompts = self.prompts.take().ok_or_else(missing)?;
                self.sampling.max_tokens.get_or_insert(TEXT_TOKENS_DEFAULT);
                Ok(Input::Prompts(prompts))
            }
        }
    }
}

const fn input(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chat => "messages",
        Endpoint::Completions => "prompt",
    }
}

fn kwargs(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    /// Variables that are the template's own.
    const TAKEN: [&str; 4] = ["messages", "tools", "add_generation_prompt", "documents"];
    const NAME: &str = "chat_template_kwargs";
    let kwargs: Map<String, Value> = field::read(NAME, raw)?;
    match TAKEN.iter().find(|name| kwargs.contains_key(**name)) {
        Some(name) => Err(Refusal::unsupported(format!("{NAME}.{name}"), "it follows from the request")),
        None => Ok(kwargs),
    }
}

fn effort(raw: &RawValue) -> Result<String, Refusal> {
    const EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];
    const NAME: &str = "reasoning_effort";
    let effort: String = field::read(NAME, raw)?;
    match EFFORTS.contains(&effort.as_str()) {
        true => Ok(effort),
        false => Err(Refusal::invalid(NAME, format!("`{effort}` is not one of {}", EFFORTS.join(", ")))),
    }
}

const GUIDED: [&str; 4] = ["guided_json", "guided_regex", "guided_choice", "guided_grammar"];

/// Fields that cannot change the answer.
const HARMLESS: &[&str] = &[
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "stream_options",
];

/// Fields that would change the answer, with what is harmless about them as JSON text.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("stream", &["false"], "a batch has one answer for each request"),
    ("functions", &["[]"], "use `tools`"),
    ("function_call", &["\"none\"", "\"auto\""], "use `tool_choice`"),
    ("modalities", &["[\"text\"]"], "answers are text"),
    ("audio", &[], "answers are text"),
    ("prediction", &[], "there is no predicted output"),
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
    "response_format",
    "grammar",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "min_tokens",
    "ignore_eos",
    "stop",
    "stop_token_ids",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
];
const SERVED_CHAT: &[&str] = &[
    "messages",
    "enable_thinking",
    "chat_template_kwargs",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "top_logprobs",
];

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

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
