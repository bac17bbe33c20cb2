//! Messages of a conversation, as a chat template takes them.
use super::{Refusal, field};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};

pub type Message = Map<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    name: Option<String>,
    tool_call_id: Option<String>,
    tool_calls: Option<Vec<Map<String, Value>>>,
    reasoning_content: Option<String>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    /// Notes on an answer, which no model reads.
    #[serde(rename = "annotations")]
    _annotations: Option<IgnoredAny>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

pub fn read(raw: &RawValue) -> Result<Vec<Message>, Refusal> {
    let raws: Vec<&RawValue> = field::read("messages", raw)?;
    if raws.is_empty() {
        return Err(Refusal::missing("messages"));
    }
    raws.iter().enumerate().map(|(at, raw)| message(at, raw)).collect()
}

fn message(at: usize, raw: &RawValue) -> Result<Message, Refusal> {
    if !raw.get().starts_with('{') {
        return Err(Refusal::wrong_type(format!("messages[{at}]"), "expected an object"));
    }
    let mut raw: Raw<'_> = field::read(&format!("messages[{at}]"), raw)?;
    unsupported(at, &raw)?;
    let role = role(at, &raw.role)?;
    let calls = raw.tool_calls.take();
    let content = content(at, raw.content, role == "assistant")?;
    let mut message = Message::new();
    message.insert("role".to_owned(), role.into());
    message.insert("content".to_owned(), content.into());
    for (name, value) in
        [("name", raw.name), ("tool_call_id", raw.tool_call_id), ("reasoning_content", raw.reasoning_content)]
    {
        message.extend(value.map(|text| (name.to_owned(), text.into())));
    }
    let calls = calls.map(|calls| opened(calls).into_iter().map(Value::Object).collect());
    message.extend(calls.map(|calls| ("tool_calls".to_owned(), Value::Array(calls))));
    Ok(message)
}

/// Templates know `system`; to OpenAI a developer message is its newer name.
fn role(at: usize, role: &str) -> Result<&str, Refusal> {
    match role {
        "system" | "developer" => Ok("system"),
        "user" | "assistant" | "tool" => Ok(role),
        other => Err(Refusal::invalid(format!("messages[{at}].role"), format!("`{other}` is not a role"))),
    }
}

fn unsupported(at: usize, raw: &Raw<'_>) -> Result<(), Refusal> {
    let fields = [("refusal", raw.refusal), ("audio", raw.audio), ("function_call", raw.function_call)];
    match fields.into_iter().find(|(_, value)| value.is_some_and(field::given)) {
        Some((name, _)) => Err(Refusal::unsupported(format!("messages[{at}].{name}"), "chat templates do not take it")),
        None => Ok(()),
    }
}

/// An assistant's may be absent: it called a function, or had nothing to say.
fn content(at: usize, raw: Option<&RawValue>, may_be_absent: bool) -> Result<String, Refusal> {
    let name = || format!("messages[{at}].content");
    match raw.filter(|raw| field::given(raw)) {
        None if may_be_absent => Ok(String::new()),
        None => Err(Refusal::missing(&name())),
        Some(raw) if raw.get().starts_with('[') => parts(at, field::read(&name(), raw)?),
        Some(raw) if raw.get().starts_with('"') => field::read(&name(), raw),
        Some(_) => Err(Refusal::wrong_type(name(), "expected a string or a list of content parts")),
    }
}

fn parts(at: usize, parts: Vec<Part>) -> Result<String, Refusal> {
    let name = || format!("messages[{at}].content");
    let texts: Vec<String> = parts
        .into_iter()
        .map(|part| match (part.r#type.as_str(), part.text) {
            ("text", Some(text)) => Ok(text),
            ("text", None) => Err(Refusal::missing(&format!("{}.text", name()))),
            (other, _) => Err(Refusal::unsupported(name(), &format!("a text model takes no `{other}` part"))),
        })
        .collect::<Result<_, _>>()?;
    Ok(texts.join("\n"))
}

/// OpenAI sends the arguments of a call as JSON text; templates print the value itself.
fn opened(mut calls: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    for call in &mut calls {
        let arguments = call.get_mut("function").and_then(|function| function.get_mut("arguments"));
        if let Some(arguments) = arguments
            && let Some(value) = arguments.as_str().and_then(|text| serde_json::from_str(text).ok())
        {
            *arguments = value;
        }
    }
    calls
}
