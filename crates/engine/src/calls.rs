//! Calls of functions: the forms in which models write them, how one is forced, and how they are read.

use domain::request::{Choice, Refusal, Tool};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{grammar, template::Template, vocabulary::Vocabulary};

/// How a model writes a call, as its chat template tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `<tool_call>` and `</tool_call>` around an object with `name` and `arguments`.
    Tagged,
    /// `[TOOL_CALLS]` before a list of such objects.
    Listed,
    /// An object with `name` and `parameters`, and nothing else.
    Bare,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// JSON text of an object.
    pub arguments: String,
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const LIST: &str = "[TOOL_CALLS]";
const PYTHON: &str = "<|python_tag|>";

impl Form {
    pub fn of(template: &Template) -> Option<Self> {
        match () {
            // Calls in XML, which is no form of these.
            () if !template.asks("tools") || template.holds("<function=") => None,
            () if template.holds(OPEN) => Some(Self::Tagged),
            () if template.holds(LIST) => Some(Self::Listed),
            () if template.holds("\"parameters\"") => Some(Self::Bare),
            () => None,
        }
    }

    const fn arguments(self) -> &'static str {
        match self {
            Self::Tagged | Self::Listed => "arguments",
            Self::Bare => "parameters",
        }
    }

    /// A grammar of one call or several, of `tools`.
    pub fn grammar(self, tools: &[&Tool], several: bool, vocabulary: &Vocabulary) -> Result<String, Refusal> {
        let schema = schema(tools, self.arguments())?;
        let mark = |text: &str| match vocabulary.special(text) {
            Some(token) => format!("<[{token}]>"),
            None => Value::from(text).to_string(),
        };
        let start = match self {
            Self::Tagged => {
                let one = format!(r#"{} "\n" call "\n" {}"#, mark(OPEN), mark(CLOSE));
                if several { format!(r#"{one} ("\n" {one})*"#) } else { one }
            }
            Self::Listed if several => format!(r#"{} "[" call (", " call)* "]""#, mark(LIST)),
            Self::Listed => format!(r#"{} "[" call "]""#, mark(LIST)),
            Self::Bare => "call".to_owned(),
        };
        Ok(format!("start: {start}\ncall: %json {schema}\n"))
    }

    /// The calls in an answer, and what it says beside them. None: it is an answer in words.
    pub fn read(self, text: &str, tools: &[Tool]) -> Option<(String, Vec<Call>)> {
        let (said, calls) = match self {
            Self::Tagged => tagged(text)?,
            Self::Listed => listed(text)?,
            Self::Bare => (String::new(), bare(text)?),
        };
        let is_known = |call: &Call| tools.iter().any(|tool| tool.name == call.name);
        (!calls.is_empty() && calls.iter().all(is_known)).then_some((said, calls))
    }
}

/// The tools of which one has to be called. None: none has to.
pub fn forced<'t>(tools: &'t [Tool], choice: &Choice) -> Option<Vec<&'t Tool>> {
    match choice {
        Choice::None | Choice::Auto => None,
        Choice::Required => Some(tools.iter().collect()),
        Choice::Named(name) => Some(tools.iter().filter(|tool| tool.name == *name).collect()),
    }
}

/// Of one call. Definitions that the tools' own schemas refer to stand at its top.
fn schema(tools: &[&Tool], arguments: &str) -> Result<Value, Refusal> {
    let (mut calls, mut definitions) = (Vec::new(), Map::new());
    for tool in tools {
        let wrong = |why: &dyn std::fmt::Display| Refusal::invalid("tools", format!("{}: {why}", tool.name));
        let mut schema: Value = match &tool.parameters {
            Some(text) => serde_json::from_str(text).map_err(|error| wrong(&error))?,
            None => json!({"type": "object"}),
        };
        for section in ["$defs", "definitions"] {
            let own = schema.as_object_mut().and_then(|schema| schema.remove(section));
            for (name, definition) in own.and_then(|own| own.as_object().cloned()).unwrap_or_default() {
                let shared = definitions.entry(section).or_insert_with(|| json!({}));
                if shared.get(&name).is_some_and(|other| *other != definition) {
                    return Err(wrong(&format!("another tool defines `{name}` otherwise")));
                }
                shared[name] = definition;
            }
        }
        calls.push(json!({"type": "object", "properties": {"name": {"const": tool.name}, arguments: schema},
            "required": ["name", arguments], "additionalProperties": false}));
    }
    let mut schema = Map::from_iter([("anyOf".to_owned(), Value::Array(calls))]);
    schema.extend(definitions);
    Ok(grammar::spaced(Value::Object(schema)))
}

fn tagged(text: &str) -> Option<(String, Vec<Call>)> {
    let (said, mut rest) = text.split_once(OPEN)?;
    let mut calls = Vec::new();
    loop {
        let (inner, after) = rest.split_once(CLOSE)?;
        calls.push(one(inner)?);
        match after.split_once(OPEN) {
            Some((_, more)) => rest = more,
            None => return Some((said.trim().to_owned(), calls)),
        }
    }
}

fn listed(text: &str) -> Option<(String, Vec<Call>)> {
    let (said, list) = text.split_once(LIST)?;
    let raws: Vec<&RawValue> = serde_json::from_str(list.trim()).ok()?;
    let calls: Option<Vec<Call>> = raws.into_iter().map(|raw| one(raw.get())).collect();
    Some((said.trim().to_owned(), calls?))
}

fn bare(text: &str) -> Option<Vec<Call>> {
    let text = text.trim().trim_start_matches(PYTHON);
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut calls = Vec::new();
    while let Some(raw) = stream.next() {
        calls.push(one(raw.ok()?.get())?);
        let rest = text[stream.byte_offset()..].trim_start();
        if let Some(after) = rest.strip_prefix(';') {
            calls.extend(bare(after)?);
            break;
        }
    }
    Some(calls)
}

/// A call's arguments stay as they were written; some models write them as a string that holds them.
fn one(text: &str) -> Option<Call> {
    #[derive(Deserialize)]
    struct Written<'a> {
        name: String,
        #[serde(borrow, alias = "parameters")]
        arguments: &'a RawValue,
    }
    let written: Written<'_> = serde_json::from_str(text.trim()).ok()?;
    let inner = written.arguments.get();
    let arguments = if inner.starts_with('"') { serde_json::from_str(inner).ok()? } else { inner.to_owned() };
    let is_object = serde_json::from_str::<Map<String, Value>>(&arguments).is_ok();
    is_object.then_some(Call { name: written.name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<Tool> {
        ["weather", "time"].map(|name| Tool { name: name.to_owned(), parameters: None, shown: Value::Null }).into()
    }

    fn read(form: Form, text: &str) -> Option<(String, Vec<(String, String)>)> {
        let (said, calls) = form.read(text, &tools())?;
        Some((said, calls.into_iter().map(|call| (call.name, call.arguments)).collect()))
    }

    fn calls(said: &str, calls: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> {
        let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()));
        Some((said.to_owned(), calls.collect()))
    }

    #[test]
    fn calls_are_read_in_each_form() {
        let one = r#"{"name": "weather", "arguments": {"city": "Rome"}}"#;
        let tagged = format!("I look.\n<tool_call>\n{one}\n</tool_call>\n<tool_call>{one}</tool_call>");
        let rome = ("weather", r#"{"city": "Rome"}"#);
        assert_eq!(read(Form::Tagged, &tagged), calls("I look.", &[rome, rome]));
        assert_eq!(read(Form::Listed, &format!("[TOOL_CALLS][{one}]")), calls("", &[rome]));
        let bare = r#"<|python_tag|>{"name": "time", "parameters": {}}; {"name": "time", "parameters": "{\"a\":1}"}"#;
        assert_eq!(read(Form::Bare, bare), calls("", &[("time", "{}"), ("time", "{\"a\":1}")]));
    }

    #[test]
    fn what_does_not_parse_is_an_answer_in_words() {
        for text in [
            "Paris",
            "<tool_call>{\"name\": \"weather\"",
            "<tool_call>{}</tool_call>",
            "<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>",
            "<tool_call>{\"name\": \"time\", \"arguments\": [1]}</tool_call>",
        ] {
            assert_eq!(read(Form::Tagged, text), None, "{text}");
        }
        assert_eq!(read(Form::Bare, "It is {\"a\": 1}"), None);
    }
}
