//! From a request's input to the tokens of a prompt, in which text is text.
//!
//! A special token in a message would forge a turn. So each one that stands in what the request brings is hidden behind
//! private characters while the template is rendered; where any was, the template's own special tokens are cut out of
//! the result, and what lies between them is encoded as text throughout. Added tokens always cut a text before anything
//! else is done to it, so the tokens are those that a tokenizer would give.

use std::ops::Range;

use domain::request::{Chat, Choice, Prompt, Refusal};
use serde_json::{Map, Value};

use crate::{template::Template, vocabulary::Vocabulary};

/// From Unicode's private planes; in a text of the request they are hidden, too.
const OPEN: char = '\u{f7ab0}';
const CLOSE: char = '\u{f7ab1}';

/// How prompts are made.
pub struct Prompts<'a> {
    pub vocabulary: &'a Vocabulary,
    pub template: Option<&'a Template>,
    /// Special tokens in texts count.
    pub allow: bool,
}

/// A prompt, and how it ends: a template may have begun the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    pub tokens: Vec<u32>,
    pub tail: String,
}

/// Characters of a prompt's end that are looked at.
const TAIL_CHARS: usize = 64;

impl Prompts<'_> {
    pub fn chat(&self, chat: &Chat) -> Result<Ready, Refusal> {
        let template = self.template.ok_or_else(|| {
            Refusal::unsupported("messages", "the model has no chat template; use /v1/completions, or name a template")
        })?;
        let mut cover = Cover::new(self.vocabulary, self.allow);
        let variables = cover.hide(variables(template, chat)?);
        let text = template
            .render(variables)
            .map_err(|why| Refusal::invalid("messages", format!("the model's chat template: {}", cover.show(&why))))?;
        let tokens = match cover.is_used() {
            false => self.vocabulary.encode(&text, false),
            true => self.cut(&text, &cover),
        };
        let tail = text.chars().skip(text.chars().count().saturating_sub(TAIL_CHARS)).collect();
        Ok(Ready { tokens: tokens.map_err(|why| Refusal::invalid("messages", why))?, tail })
    }

    pub fn plain(&self, prompt: &Prompt) -> Result<Ready, Refusal> {
        let tokens = match prompt {
            // It is all that the model sees, so there is no border in it to forge.
            Prompt::Text(text) => self.vocabulary.encode(text, true),
            Prompt::Tokens(tokens) => match tokens.iter().find(|token| **token as usize >= self.vocabulary.size()) {
                Some(token) => Err(format!("{token} is no token; the model has {}", self.vocabulary.size())),
                None => Ok(tokens.clone()),
            },
        };
        Ok(Ready { tokens: tokens.map_err(|why| Refusal::invalid("prompt", why))?, tail: String::new() })
    }

    /// The template's special tokens are tokens; the rest is text.
    fn cut(&self, text: &str, cover: &Cover<'_>) -> Result<Vec<u32>, String> {
        let (mut tokens, mut rest, mut trims) = (Vec::new(), text, false);
        loop {
            let found = self.vocabulary.find(rest);
            let before = &rest[..found.as_ref().map_or(rest.len(), |(at, _)| at.start)];
            let before = if trims { before.trim_start() } else { before };
            let before = match &found {
                Some((_, special)) if special.takes_before => before.trim_end(),
                _ => before,
            };
            if !before.is_empty() {
                tokens.extend(self.vocabulary.encode_literal(&cover.show(before), false)?);
            }
            let Some((at, special)) = found else { return Ok(tokens) };
            tokens.push(special.id);
            trims = special.takes_after;
            rest = &rest[at.end..];
        }
    }
}

/// What a template is given.
fn variables(template: &Template, chat: &Chat) -> Result<Map<String, Value>, Refusal> {
    let mut variables = Map::new();
    let messages = chat.messages.iter().cloned().map(Value::Object).collect();
    variables.insert("messages".to_owned(), Value::Array(messages));
    if !chat.tools.is_empty() && !template.asks("tools") {
        return Err(Refusal::unsupported("tools", "the model's chat template knows no tools"));
    }
    if !chat.tools.is_empty() && chat.choice != Choice::None {
        let tools = chat.tools.iter().map(|tool| tool.shown.clone()).collect();
        variables.insert("tools".to_owned(), Value::Array(tools));
    }
    for (name, value) in &chat.kwargs {
        if !template.asks(name) {
            let why = "the model's chat template does not ask for it";
            return Err(Refusal::unsupported(format!("chat_template_kwargs.{name}"), why));
        }
        variables.insert(name.clone(), value.clone());
    }
    variables.extend(thinking(template, chat)?);
    Ok(variables)
}

/// `reasoning_effort`, by the template's own name for it.
fn thinking(template: &Template, chat: &Chat) -> Result<Option<(String, Value)>, Refusal> {
    let Some(effort) = &chat.effort else { return Ok(None) };
    if template.asks("reasoning_effort") {
        return Ok(Some(("reasoning_effort".to_owned(), effort.as_str().into())));
    }
    if template.asks("enable_thinking") && !chat.kwargs.contains_key("enable_thinking") {
        return Ok(Some(("enable_thinking".to_owned(), (effort != "none").into())));
    }
    Err(Refusal::unsupported("reasoning_effort", "the model's chat template knows no thinking"))
}

/// Hides what must not count, and shows it again.
struct Cover<'a> {
    /// None: everything counts.
    vocabulary: Option<&'a Vocabulary>,
    hidden: Vec<String>,
}

impl<'a> Cover<'a> {
    fn new(vocabulary: &'a Vocabulary, allow: bool) -> Self {
        Self { vocabulary: (!allow).then_some(vocabulary), hidden: Vec::new() }
    }

    fn is_used(&self) -> bool {
        !self.hidden.is_empty()
    }

    fn hide(&mut self, map: Map<String, Value>) -> Map<String, Value> {
        map.into_iter().map(|(name, value)| (self.text(name), self.value(value))).collect()
    }

    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(values) => values.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => Value::Object(self.hide(map)),
            other => other,
        }
    }

    fn text(&mut self, text: String) -> String {
        let (mut out, mut rest) = (String::new(), text.as_str());
        while let Some(found) = self.next(rest) {
            out.push_str(&rest[..found.start]);
            out.push_str(&format!("{OPEN}{}{CLOSE}", self.hidden.len()));
            self.hidden.push(rest[found.clone()].to_owned());
            rest = &rest[found.end..];
        }
        if out.is_empty() { text } else { out + rest }
    }

    fn next(&self, text: &str) -> Option<Range<usize>> {
        let special = self.vocabulary?.find(text).map(|(at, _)| at);
        let mark = text.find([OPEN, CLOSE]).map(|at| at..at + OPEN.len_utf8());
        special.into_iter().chain(mark).min_by_key(|at| at.start)
    }

    fn show(&self, text: &str) -> String {
        let mut parts = text.split(OPEN);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = part.split_once(CLOSE).unwrap_or((part, ""));
            let hidden = number.parse().ok().and_then(|number: usize| self.hidden.get(number));
            out.push_str(hidden.map_or(number, String::as_str));
            out.push_str(rest);
        }
        out
    }
}
