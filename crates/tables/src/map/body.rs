//! A request line in the OpenAI form.
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// The longest line that intake takes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Characters of a reason, as intake tells them.
const REASON_CHARS_MAX: usize = 300;

pub enum Content {
    Messages(Vec<Value>),
    Prompt(Value),
    Input(Value),
}

pub struct Body<'a> {
    pub content: Content,
    pub params: Vec<(&'a String, &'a Value)>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        match &self.content {
            Content::Messages(messages) => body.serialize_entry("messages", messages)?,
            Content::Prompt(prompt) => body.serialize_entry("prompt", prompt)?,
            Content::Input(input) => body.serialize_entry("input", input)?,
        }
        for (name, value) in &self.params {
            body.serialize_entry(name, value)?;
        }
        body.end()
    }
}

#[derive(Serialize)]
struct Line<'a, B> {
    custom_id: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    body: B,
}

#[derive(Serialize)]
struct Nothing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

pub fn line(id: &str, url: &str, body: &Body<'_>) -> Result<String, String> {
    let line = Line { custom_id: id, url, refused: None, body };
    let line = serde_json::to_string(&line).map_err(|error| error.to_string())?;
    match line.len() {
        ..=LINE_BYTES_MAX => Ok(line),
        bytes => Err(format!("the request has {bytes} bytes, and {LINE_BYTES_MAX} are the most")),
    }
}

pub fn refused(id: &str, url: &str, model: Option<&str>, why: &str) -> String {
    let why = why.chars().take(REASON_CHARS_MAX).collect();
    let line = Line { custom_id: id, url, refused: Some(why), body: Nothing { model } };
    serde_json::to_string(&line).unwrap_or_default()
}
