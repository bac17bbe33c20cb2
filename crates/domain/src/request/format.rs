//! What an answer must match: OpenAI's `response_format`, mistral.rs's `grammar`, vLLM's `guided_*` and
//! `structured_outputs`. One of them at most.
use super::{Refusal, cut::Object, field, twice};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt::Display};

/// One rule, and the field that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Constraint {
    pub param: &'static str,
    pub grammar: Grammar,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grammar {
    /// Any JSON object.
    Object,
    /// A JSON schema, as it was written: its order of properties is the answer's.
    Schema(String),
    Regex(String),
    /// A context-free grammar in llguidance's dialect of Lark.
    Lark(String),
    /// One of these texts.
    Choice(Vec<String>),
}

/// `response_format`.
pub fn response(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "response_format";
    let (mut kind, mut schema) = (None, None);
    for (key, raw) in given(NAME, raw)? {
        match &*key {
            "type" => kind = Some(field::text(&format_args!("{NAME}.type"), raw)?),
            "json_schema" => schema = Some(raw),
            other => return Err(Refusal::unknown(&format!("{NAME}.{other}"))),
        }
    }
    let below = |field: &str| format!("{NAME}.{field}");
    match (kind.as_deref(), schema) {
        (None, _) => Err(Refusal::missing(&below("type")).alone()),
        (Some("text"), None) => Ok(None),
        (Some("json_object"), None) => Ok(Some(Grammar::Object)),
        (Some("text" | "json_object"), Some(_)) => {
            Err(Refusal::invalid(below("json_schema"), "it belongs to the type json_schema"))
        }
        (Some("json_schema"), Some(raw)) => named(raw).map(Some),
        (Some("json_schema"), None) => Err(Refusal::missing(&below("json_schema")).alone()),
        (Some(kind), _) => {
            Err(Refusal::invalid(below("type"), format!("`{kind}` is not text, json_object or json_schema")))
        }
    }
}

/// `{"name", "description", "strict", "schema"}`. Answers always match it, whatever `strict` says.
fn named(raw: &RawValue) -> Result<Grammar, Refusal> {
    const NAME: &str = "response_format.json_schema";
    let mut schema = None;
    for (key, raw) in given(NAME, raw)? {
        let name = format_args!("{NAME}.{key}");
        match &*key {
            "schema" => schema = Some(object(&name, raw)?),
            "name" | "description" => drop(field::text(&name, raw)?),
            "strict" => drop(field::flag(&name, raw)?),
            _ => return Err(Refusal::unknown(&name.to_string())),
        }
    }
    schema.ok_or_else(|| Refusal::missing(&format!("{NAME}.schema")).alone())
}

/// `grammar`: `{"type": "regex" | "lark" | "json_schema", "value": ...}`.
pub fn grammar(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "grammar";
    const VALUE: &str = "grammar.value";
    let (mut kind, mut value) = (None, None);
    for (key, raw) in given(NAME, raw)? {
        match &*key {
            "type" => kind = Some(field::text(&"grammar.type", raw)?),
            "value" => value = Some(raw),
            other => return Err(Refusal::unknown(&format!("{NAME}.{other}"))),
        }
    }
    let kind = kind.ok_or_else(|| Refusal::missing("grammar.type").alone())?;
    let value = value.ok_or_else(|| Refusal::missing(VALUE).alone())?;
    Ok(Some(match kind.as_str() {
        "regex" => Grammar::Regex(text(VALUE, value)?),
        "lark" => Grammar::Lark(text(VALUE, value)?),
        "json_schema" => object(&VALUE, value)?,
        other => return Err(Refusal::invalid("grammar.type", format!("`{other}` is not regex, lark or json_schema"))),
    }))
}

/// `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar`.
pub fn guided(name: &'static str, raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    rule(name, name.trim_start_matches("guided_"), raw)
}

/// vLLM's `structured_outputs`: an object with one of json, regex, choice, grammar, json_object.
pub fn structured(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "structured_outputs";
    let mut given = given(NAME, raw)?;
    match (given.next(), given.next()) {
        (Some((kind, raw)), None) => rule(&format!("{NAME}.{kind}"), &kind, raw),
        (None, _) => Ok(None),
        (Some((one, _)), Some((two, _))) => Err(Refusal::invalid(NAME, format!("both {one} and {two}"))),
    }
}

fn rule(name: &str, kind: &str, raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    Ok(Some(match kind {
        "json" if raw.get().starts_with('"') => {
            let text = text(name, raw)?;
            let inner: &RawValue = serde_json::from_str(&text).map_err(|error| Refusal::invalid(name, error))?;
            object(&name, inner)?
        }
        "json" => object(&name, raw)?,
        "json_object" => return Ok(field::flag(&name, raw)?.then_some(Grammar::Object)),
        "regex" => Grammar::Regex(text(name, raw)?),
        "grammar" => Grammar::Lark(text(name, raw)?),
        "choice" => choice(name, raw)?,
        _ => return Err(Refusal::unsupported(name, "use json, regex, choice, grammar or json_object")),
    }))
}

fn choice(name: &str, raw: &RawValue) -> Result<Grammar, Refusal> {
    let choices: Vec<String> = field::typed(&name, raw, "a list of strings")?;
    match choices.iter().all(|choice| choice.is_empty()) {
        true => Err(Refusal::invalid(name, "no choice has a character")),
        false => Ok(Grammar::Choice(choices)),
    }
}

/// The fields of an object that are not null.
fn given<'a>(name: &str, raw: &'a RawValue) -> Result<impl Iterator<Item = (Cow<'a, str>, &'a RawValue)>, Refusal> {
    let Object(fields) = field::object(&name, raw)?;
    Ok(fields.into_iter().filter(|(_, raw)| field::given(raw)))
}

fn text(name: &str, raw: &RawValue) -> Result<String, Refusal> {
    let text = field::text(&name, raw)?;
    if text.is_empty() { Err(Refusal::invalid(name, "it is empty")) } else { Ok(text) }
}

fn object(name: &dyn Display, raw: &RawValue) -> Result<Grammar, Refusal> {
    twice::refuse(name, raw)?;
    match raw.get().starts_with('{') {
        true => Ok(Grammar::Schema(raw.get().to_owned())),
        false => Err(Refusal::invalid(name.to_string(), "a JSON schema is an object")),
    }
}
