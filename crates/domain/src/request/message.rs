//! Messages of a conversation, as a chat template takes them.
use super::{Refusal, cut::Object, field, part, twice};
use serde_json::{Map, Value, value::RawValue};
use std::fmt::{self, Display};

pub type Message = Map<String, Value>;

/// Fields of a message that a model reads.
pub(super) const HONOURED: &[&str] =
    &["role", "content", "name", "tool_call_id", "tool_calls", "reasoning_content", "refusal"];
/// Fields that OpenAI and its clients write into an answer, and that change nothing when it is sent back.
pub(super) const HARMLESS: &[&str] = &["annotations"];
/// Fields that no chat template takes.
pub(super) const REFUSED: &[&str] = &["audio", "function_call"];

/// A field of one message, as it is named.
#[derive(Clone, Copy)]
pub(super) struct Name<'a>(pub usize, pub &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}].{}", self.0, self.1)
    }
}

pub fn all(objects: Vec<Object<'_>>) -> Result<Vec<Message>, Refusal> {
    if objects.is_empty() {
        return Err(Refusal::missing("messages"));
    }
    let (mut messages, mut wrong) = (Vec::with_capacity(objects.len()), None);
    for (at, object) in objects.into_iter().enumerate() {
        match message(at, object) {
            Ok(message) => messages.push(message),
            Err(refusal) => refusal.into_first(&mut wrong)?,
        }
    }
    wrong.map_or(Ok(messages), Err)
}

/// What is wrong with messages that are no list of objects.
pub fn misshapen(raw: &RawValue) -> Refusal {
    let raws: Vec<&RawValue> = match field::typed(&"messages", raw, "a list of messages") {
        Ok(raws) => raws,
        Err(refusal) => return refusal,
    };
    let wrong = raws.into_iter().enumerate().find_map(|(at, raw)| {
        let name = format!("messages[{at}]");
        field::typed::<Object<'_>>(&name, raw, "an object").err()
    });
    wrong.unwrap_or_else(|| Refusal::wrong_type("messages", "it cannot be read"))
}

#[derive(Default)]
struct Draft<'a> {
    role: Option<&'static str>,
    content: Option<&'a RawValue>,
    refusal: Option<&'a RawValue>,
    message: Message,
}

fn message(at: usize, object: Object<'_>) -> Result<Message, Refusal> {
    let object = field::whole_object(&format_args!("messages[{at}]"), object)?;
    let mut draft = Draft::default();
    let mut wrong = None;
    for (key, raw) in object.0.into_iter().filter(|(_, raw)| field::given(raw)) {
        if let Err(refusal) = draft.take(at, &key, raw) {
            refusal.into_first(&mut wrong)?;
        }
    }
    let finished = draft.finish(at);
    match (wrong, finished) {
        (Some(refusal), Ok(_)) => Err(refusal),
        (Some(refusal), Err(error)) => Err(refusal.or_shape(error)),
        (None, finished) => finished,
    }
}

impl<'a> Draft<'a> {
    fn take(&mut self, at: usize, key: &str, raw: &'a RawValue) -> Result<(), Refusal> {
        let name = Name(at, key);
        match key {
            "role" => {
                let role = role(name, raw);
                // One that is not known is not missing, too.
                self.role = role.as_ref().copied().ok().or(Some("assistant"));
                role?;
            }
            "content" => self.content = Some(raw),
            "refusal" => self.refusal = Some(raw),
            "name" | "tool_call_id" | "reasoning_content" => {
                self.message.insert(key.to_owned(), field::text(&name, raw)?.into());
            }
            "tool_calls" => {
                self.message.insert(key.to_owned(), calls(name, raw)?);
            }
            _ if HARMLESS.contains(&key) => {}
            _ if REFUSED.contains(&key) => {
                return Err(Refusal::unsupported(name.to_string(), "chat templates do not take it"));
            }
            _ => return Err(Refusal::unknown(&name.to_string())),
        }
        Ok(())
    }

    fn finish(mut self, at: usize) -> Result<Message, Refusal> {
        let role = self.role.ok_or_else(|| Refusal::missing(&Name(at, "role").to_string()))?;
        let content = self.content(at, role == "assistant")?;
        self.message.insert("role".to_owned(), role.into());
        self.message.insert("content".to_owned(), content.into());
        Ok(self.message)
    }

    /// An assistant's may be absent: it called a function, or had nothing to say. What it refused with is what it said.
    fn content(&self, at: usize, is_assistant: bool) -> Result<String, Refusal> {
        match (self.content, self.refusal) {
            (Some(raw), None) => part::content(at, raw),
            (None, Some(raw)) if is_assistant => field::text(&Name(at, "refusal"), raw),
            (_, Some(_)) => {
                let name = Name(at, "refusal").to_string();
                Err(Refusal::unsupported(name, "only an assistant's message without content has one"))
            }
            (None, None) if is_assistant => Ok(String::new()),
            // One row of a table without a text: that request's own fault.
            (None, None) => Err(Refusal::missing(&Name(at, "content").to_string()).alone()),
        }
    }
}

/// Templates know `system`; to OpenAI a developer message is its newer name.
fn role(name: Name<'_>, raw: &RawValue) -> Result<&'static str, Refusal> {
    match &*field::words(&name, raw)? {
        "system" | "developer" => Ok("system"),
        "user" => Ok("user"),
        "assistant" => Ok("assistant"),
        "tool" => Ok("tool"),
        other => Err(Refusal::invalid(name.to_string(), format!("`{other}` is not a role"))),
    }
}

/// OpenAI sends the arguments of a call as JSON text; templates print the value itself, or go through its fields.
fn calls(name: Name<'_>, raw: &RawValue) -> Result<Value, Refusal> {
    twice::refuse(&name, raw)?;
    let mut calls: Vec<Map<String, Value>> = field::typed(&name, raw, "a list of calls")?;
    for call in &mut calls {
        let arguments = call.get_mut("function").and_then(|function| function.get_mut("arguments"));
        if let Some(arguments) = arguments {
            let value = arguments.as_str().and_then(|text| match text.trim() {
                // As models write it where a function takes none.
                "" => Some(Value::Null),
                text => serde_json::from_str(text).ok(),
            });
            *arguments = value.unwrap_or_else(|| arguments.take());
            if arguments.is_null() {
                *arguments = Value::Object(Map::new());
            }
        }
    }
    Ok(Value::Array(calls.into_iter().map(Value::Object).collect()))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
