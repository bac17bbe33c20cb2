//! A body as a whole.
use super::{
    Constraint, Endpoint, Grammar, Message, Prompt, Refusal, Sampling,
    cut::{Cut, Field, Object},
    field, fields, format, message, prompt,
    tool::{self, Choice, Tool},
    twice,
};
use crate::limits::{CHOICES_MAX, TEXT_TOKENS_DEFAULT, TOP_LOGPROBS_MAX, TOP_LOGPROBS_TEXT_MAX};
use serde_json::{Map, Value, value::RawValue};
use std::borrow::Cow;

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
    /// Reads the JSON text of a body.
    pub fn read(endpoint: Endpoint, body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|error| Refusal::json(&error))?;
        Self::open(endpoint, text)
    }

    fn open(endpoint: Endpoint, text: &str) -> Result<Self, Refusal> {
        let cut = Cut::of(text).map_err(|error| Refusal::json(&error))?;
        Self::of(endpoint, cut).1
    }

    /// The model, which picks a pool also for a request that is refused; and the body.
    pub(crate) fn of(endpoint: Endpoint, cut: Cut<'_>) -> (Option<String>, Result<Self, Refusal>) {
        if endpoint == Endpoint::Embeddings {
            return (model(&cut).map(Cow::into_owned), Err(Refusal::invalid("input", "the model makes no embeddings")));
        }
        let mut draft = Draft::default();
        match draft.read(endpoint, cut) {
            Ok(()) => draft.finish(endpoint),
            Err(refusal) => (draft.model, Err(refusal)),
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
    /// The input was given, so that it is not missed where it is wrong.
    seen: bool,
    /// The first refusal that is the request's own.
    wrong: Option<Refusal>,
}

impl Draft {
    fn read(&mut self, endpoint: Endpoint, cut: Cut<'_>) -> Result<(), Refusal> {
        if let Some(name) = cut.twice() {
            return Err(Refusal::twice(name));
        }
        for (name, piece) in cut.0 {
            let taken = match piece {
                Field::Raw(raw) => self.take(endpoint, &name, raw),
                Field::Messages(objects) => self.say(endpoint, objects),
            };
            if let Err(refusal) = taken {
                refusal.into_first(&mut self.wrong)?;
            }
        }
        Ok(())
    }

    fn say(&mut self, endpoint: Endpoint, objects: Vec<Object<'_>>) -> Result<(), Refusal> {
        match endpoint {
            Endpoint::Chat => {
                self.seen = true;
                self.messages = Some(message::all(objects)?);
                Ok(())
            }
            Endpoint::Completions | Endpoint::Embeddings => Err(Refusal::unknown("messages")),
        }
    }

    fn take(&mut self, endpoint: Endpoint, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        if !field::given(raw) {
            return fields::known(endpoint, name).then_some(()).ok_or_else(|| Refusal::unknown(name));
        }
        self.seen |= name == input(endpoint);
        let taken = self.sampling.take(name, raw)?
            || self.shared(name, raw)?
            || match endpoint {
                Endpoint::Chat => self.chat(name, raw)?,
                Endpoint::Completions | Endpoint::Embeddings => self.text(name, raw)?,
            };
        if taken { Ok(()) } else { fields::otherwise(name, raw) }
    }

    fn shared(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "model" => self.model = Some(field::text(&name, raw)?),
            "n" => self.n = Some(field::count(&name, raw, 1..=CHOICES_MAX as u64)?),
            "max_tokens" => self.sampling.cap(name, raw)?,
            "response_format" => self.constrain("response_format", format::response(raw)?)?,
            "grammar" => self.constrain("grammar", format::grammar(raw)?)?,
            "structured_outputs" => self.constrain("structured_outputs", format::structured(raw)?)?,
            _ => match fields::GUIDED.iter().find(|guided| **guided == name) {
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
            "messages" => return Err(message::misshapen(raw)),
            "enable_thinking" => {
                self.chat.kwargs.insert(name.to_owned(), field::flag(&name, raw)?.into());
            }
            "chat_template_kwargs" => self.chat.kwargs.extend(kwargs(raw)?),
            "reasoning_effort" => self.chat.effort = Some(effort(raw)?),
            "tools" => self.chat.tools = tool::read(raw)?,
            "tool_choice" => self.chat.choice = tool::choice(raw)?,
            "parallel_tool_calls" => self.single_calls = !field::flag(&name, raw)?,
            "max_completion_tokens" => self.sampling.cap(name, raw)?,
            "logprobs" => self.wants_logprobs = wants_logprobs(raw)?,
            "top_logprobs" => self.top_logprobs = Some(field::count(&name, raw, 0..=TOP_LOGPROBS_MAX)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn text(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "prompt" => self.prompts = Some(prompt::read(raw)?),
            "logprobs" => {
                self.wants_logprobs = true;
                self.top_logprobs = Some(field::count(&name, raw, 0..=TOP_LOGPROBS_TEXT_MAX)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self, endpoint: Endpoint) -> (Option<String>, Result<Body, Refusal>) {
        let (model, wrong) = (self.model.clone(), self.wrong.take());
        let body = match (wrong, self.body(endpoint)) {
            (None, body) => body,
            (Some(refusal), Ok(_)) => Err(refusal),
            (Some(refusal), Err(error)) => Err(refusal.or_shape(error)),
        };
        (model, body)
    }

    fn body(mut self, endpoint: Endpoint) -> Result<Body, Refusal> {
        let input = self.input(endpoint)?;
        self.sampling.check()?;
        if self.top_logprobs.is_some() && !self.wants_logprobs {
            return Err(Refusal::invalid("top_logprobs", "it needs `logprobs`: true"));
        }
        let logprobs = self.wants_logprobs.then_some(self.top_logprobs.unwrap_or(0));
        let n = self.n.unwrap_or(1);
        if matches!(&input, Input::Prompts(prompts) if prompts.len() * n > CHOICES_MAX) {
            return Err(Refusal::invalid("n", format!("more than {CHOICES_MAX} choices of all prompts together")));
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
            Endpoint::Completions | Endpoint::Embeddings => {
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
        Endpoint::Embeddings => "input",
    }
}

/// The model of a body that is read elsewhere or later; of another type it is none.
pub(crate) fn model<'a>(cut: &Cut<'a>) -> Option<Cow<'a, str>> {
    cut.0.iter().find_map(|(name, piece)| match piece {
        Field::Raw(raw) if name == "model" && field::given(raw) => field::words(name, raw).ok(),
        Field::Raw(_) | Field::Messages(_) => None,
    })
}

/// The prompt, or all from the first message's text to the last one's, as it stands in `text`, from which the body was cut.
pub(crate) fn span<'a>(text: &'a str, endpoint: Endpoint, cut: &Cut<'a>) -> &'a str {
    let mut pieces = cut.0.iter().filter_map(|(name, piece)| match piece {
        Field::Raw(raw) if name == input(endpoint) => Some((*raw, *raw)),
        Field::Raw(_) => None,
        Field::Messages(messages) => {
            let mut contents = messages.iter().flat_map(|message| &message.0).filter(|(name, _)| name == "content");
            let (_, first) = contents.next()?;
            Some((*first, contents.next_back().map_or(*first, |(_, last)| *last)))
        }
    });
    let at = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    pieces.next().and_then(|(first, last)| text.get(at(first.get())..at(last.get()) + last.get().len())).unwrap_or("")
}

/// What every server's body must be, whatever else is in it.
pub(crate) fn outline(endpoint: Endpoint, cut: &Cut<'_>) -> Result<(), Refusal> {
    if let Some(name) = cut.twice() {
        return Err(Refusal::twice(name));
    }
    let mut is_there = false;
    for (name, piece) in &cut.0 {
        match piece {
            Field::Raw(raw) if name == "model" && field::given(raw) => drop(field::words(name, raw)?),
            Field::Raw(raw) => is_there |= name == input(endpoint) && field::given(raw),
            Field::Messages(_) => is_there |= endpoint == Endpoint::Chat,
        }
    }
    if is_there { Ok(()) } else { Err(Refusal::missing(input(endpoint))) }
}

/// A number is right in completions, so here it is this request's mistake and no other's.
fn wants_logprobs(raw: &RawValue) -> Result<bool, Refusal> {
    const NAME: &str = "logprobs";
    match raw.get().parse::<f64>() {
        Ok(_) => Err(Refusal::invalid(NAME, "a chat takes true or false; `top_logprobs` says how many")),
        Err(_) => field::flag(&NAME, raw),
    }
}

fn kwargs(raw: &RawValue) -> Result<Map<String, Value>, Refusal> {
    /// Variables that are the template's own.
    const TAKEN: [&str; 4] = ["messages", "tools", "add_generation_prompt", "documents"];
    const NAME: &str = "chat_template_kwargs";
    let Object(fields) = field::object(&NAME, raw)?;
    match fields.iter().find(|(name, _)| TAKEN.contains(&&**name)) {
        Some((name, _)) => Err(Refusal::unsupported(format!("{NAME}.{name}"), "it follows from the request")),
        None => {
            twice::refuse(&NAME, raw)?;
            field::typed(&NAME, raw, "an object")
        }
    }
}

fn effort(raw: &RawValue) -> Result<String, Refusal> {
    const EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];
    const NAME: &str = "reasoning_effort";
    let effort = field::text(&NAME, raw)?;
    match EFFORTS.contains(&effort.as_str()) {
        true => Ok(effort),
        false => Err(Refusal::invalid(NAME, format!("`{effort}` is not one of {}", EFFORTS.join(", ")))),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
