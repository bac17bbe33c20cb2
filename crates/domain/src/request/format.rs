//! What an answer must match: OpenAI's `response_format`, mistral.rs's `grammar`, vLLM's `guided_*` and
//! `structured_outputs`. One of them at most.
use super::{Refusal, field};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One rule, and the field that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
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

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind {
    Text,
    JsonObject,
    JsonSchema,
}

#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow)]
    json_schema: Inner<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

/// `response_format`.
pub fn response(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "response_format";
    Ok(match field::read(NAME, raw)? {
        Kind::Text => None,
        Kind::JsonObject => Some(Grammar::Object),
        Kind::JsonSchema => Some(schema(NAME, field::read::<Schema<'_>>(NAME, raw)?.json_schema.schema)?),
    })
}

/// `grammar`: `{"type": "regex" | "lark" | "json_schema", "value": ...}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed<'a> {
    r#type: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

pub fn grammar(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "grammar";
    let typed: Typed<'_> = field::read(NAME, raw)?;
    Ok(Some(match typed.r#type.as_str() {
        "regex" => Grammar::Regex(text(NAME, typed.value)?),
        "lark" => Grammar::Lark(text(NAME, typed.value)?),
        "json_schema" => schema(NAME, typed.value)?,
        other => return Err(Refusal::invalid(NAME, format!("`{other}` is not regex, lark or json_schema"))),
    }))
}

/// `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar`.
pub fn guided(name: &'static str, raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    rule(name, name.trim_start_matches("guided_"), raw)
}

/// vLLM's `structured_outputs`: an object with one of json, regex, choice, grammar, json_object.
pub fn structured(raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    const NAME: &str = "structured_outputs";
    let field::Object(fields) = field::read(NAME, raw)?;
    let mut given = fields.into_iter().filter(|(_, raw)| field::given(raw));
    match (given.next(), given.next()) {
        (Some((kind, raw)), None) => rule(NAME, &kind, raw),
        (None, _) => Ok(None),
        (Some((one, _)), Some((two, _))) => Err(Refusal::invalid(NAME, format!("both {one} and {two}"))),
    }
}

fn rule(name: &'static str, kind: &str, raw: &RawValue) -> Result<Option<Grammar>, Refusal> {
    Ok(Some(match kind {
        "json" if raw.get().starts_with('"') => {
            let text = text(name, raw)?;
            let inner: &RawValue = serde_json::from_str(&text).map_err(|error| Refusal::invalid(name, error))?;
            schema(name, inner)?
        }
        "json" => schema(name, raw)?,
        "json_object" => return Ok(field::read::<bool>(name, raw)?.then_some(Grammar::Object)),
        "regex" => Grammar::Regex(text(name, raw)?),
        "grammar" => Grammar::Lark(text(name, raw)?),
        "choice" => choice(name, raw)?,
        other => return Err(Refusal::unsupported(format!("{name}.{other}"), "use json, regex, choice or grammar")),
    }))
}

fn choice(name: &'static str, raw: &RawValue) -> Result<Grammar, Refusal> {
    let choices: Vec<String> = field::read(name, raw)?;
    match choices.iter().all(|choice| choice.is_empty()) {
        true => Err(Refusal::invalid(name, "no choice has a character")),
        false => Ok(Grammar::Choice(choices)),
    }
}

fn text(name: &str, raw: &RawValue) -> Result<String, Refusal> {
    let text: String = field::read(name, raw)?;
    if text.is_empty() { Err(Refusal::invalid(name, "it is empty")) } else { Ok(text) }
}

fn schema(name: &str, raw: &RawValue) -> Result<Grammar, Refusal> {
    match raw.get().starts_with('{') {
        true => Ok(Grammar::Schema(raw.get().to_owned())),
        false => Err(Refusal::invalid(name, "a JSON schema is an object")),
    }
}
