//! From a row to a request line: what the user declares, checked against the columns, and then one line for each row. Pure.
mod body;
mod messages;
mod template;

use crate::{Error, Row};
use body::{Body, Content};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use template::Template;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
pub const EMBEDDINGS: &str = "/v1/embeddings";

/// How rows become requests, as it is declared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// The column of prompts: a chat's user message, or a completion's prompt.
    pub prompt_column: Option<String>,
    /// The column of whole chats: a list of `{role, content}`, or JSON text of one.
    pub messages_column: Option<String>,
    /// The column of texts to embed.
    pub input_column: Option<String>,
    /// A template of the prompt over a row's columns.
    pub template: Option<String>,
    /// The system message before each chat.
    pub system: Option<String>,
    /// The column of request ids.
    pub id_column: Option<String>,
    pub model: Option<String>,
    pub endpoint: Option<String>,
    /// A JSON schema that each answer matches.
    pub schema: Option<Value>,
    /// Further fields of each body.
    pub params: Map<String, Value>,
    /// Fields of a body that a column gives where it is not null.
    pub param_columns: BTreeMap<String, String>,
}

impl Spec {
    /// Whether it says where the prompts are.
    pub const fn has_source(&self) -> bool {
        self.prompt_column.is_some()
            || self.messages_column.is_some()
            || self.input_column.is_some()
            || self.template.is_some()
    }
}

impl Spec {
    /// The column that a field of a request comes from, as errors name it: `body.temperature`, `body.messages[0].content`.
    pub fn column_of(&self, param: &str) -> Option<&str> {
        if param == "custom_id" {
            return self.id_column.as_deref();
        }
        let name = param.strip_prefix("body.")?.split(['.', '[']).next()?;
        match name {
            "messages" | "prompt" | "input" => {
                [&self.prompt_column, &self.messages_column, &self.input_column].into_iter().find_map(Option::as_deref)
            }
            name => self.param_columns.get(name).map(String::as_str),
        }
    }
}

/// Where a request's text comes from.
enum Source {
    Column(String),
    Messages(String),
    Template(Box<Template>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Chat,
    Completions,
    Embeddings,
}

impl Endpoint {
    const fn url(self) -> &'static str {
        match self {
            Self::Chat => CHAT,
            Self::Completions => COMPLETIONS,
            Self::Embeddings => EMBEDDINGS,
        }
    }
}

/// A declaration that fits the columns.
pub struct Mapping {
    source: Source,
    endpoint: Endpoint,
    system: Option<String>,
    /// The model, the schema and the sampling.
    fixed: Map<String, Value>,
    by_column: BTreeMap<String, String>,
    model: Option<String>,
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Asked(why.into()))
}

/// `a`, `b` and so on.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Mapping {
    /// Checks what is declared by itself. [`Mapping::fits`] holds it against a file.
    pub fn new(spec: &Spec) -> Result<Self, Error> {
        let (source, is_input) = source(spec)?;
        let endpoint = endpoint(spec, is_input)?;
        if endpoint != Endpoint::Chat {
            if matches!(source, Source::Messages(_)) {
                return wrong(format!("--messages-column is for chats, and the endpoint is {}", endpoint.url()));
            }
            if spec.system.is_some() {
                return wrong(format!("--system is for chats, and the endpoint is {}", endpoint.url()));
            }
        }
        let (system, by_column, model) = (spec.system.clone(), spec.param_columns.clone(), spec.model.clone());
        Ok(Self { source, endpoint, system, fixed: fixed(spec, endpoint)?, by_column, model })
    }

    /// Every column that it reads must be there.
    pub fn fits(&self, columns: &[&str]) -> Result<(), Error> {
        match self.columns().into_iter().find(|name| !columns.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(unknown(&name, columns)),
        }
    }

    /// The columns that it reads.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut columns: BTreeSet<String> = self.by_column.values().cloned().collect();
        match &self.source {
            Source::Column(name) | Source::Messages(name) => drop(columns.insert(name.clone())),
            Source::Template(template) => columns.extend(template.columns().cloned()),
        }
        columns
    }

    /// Whether it may read any column: a template that takes the row as a whole.
    pub fn reads_all(&self) -> bool {
        matches!(&self.source, Source::Template(template) if template.takes_row())
    }

    /// The request line of a row, without its line end; or why there is none.
    pub fn line(&self, id: &str, row: &Row) -> Result<String, String> {
        let content = self.content(row)?;
        let given = self.given(row)?;
        let fixed = self.fixed.iter().filter(|(name, _)| !given.contains_key(*name));
        let body = Body { content, params: fixed.chain(&given).collect() };
        body::line(id, self.endpoint.url(), &body)
    }

    /// The line of a row that is no request: it is answered with the reason, by no engine.
    pub fn refused(&self, id: &str, why: &str) -> String {
        body::refused(id, self.endpoint.url(), self.model.as_deref(), why)
    }

    fn content(&self, row: &Row) -> Result<Content, String> {
        let text = match &self.source {
            Source::Messages(column) => {
                return messages::of(column, row.get(column), self.system.as_deref()).map(Content::Messages);
            }
            Source::Column(column) => text(column, row.get(column))?,
            Source::Template(template) => template.render(row)?.into(),
        };
        Ok(match self.endpoint {
            Endpoint::Chat => Content::Messages(messages::chat(self.system.as_deref(), text)),
            Endpoint::Completions => Content::Prompt(text),
            Endpoint::Embeddings => Content::Input(text),
        })
    }

    /// What the row's own columns say of its body.
    fn given(&self, row: &Row) -> Result<Map<String, Value>, String> {
        let given = self.by_column.iter().map(|(field, column)| (field, row.get(column).unwrap_or(&Value::Null)));
        let given = given.filter(|(_, value)| !value.is_null());
        Ok(given.map(|(field, value)| (field.clone(), untyped(field, value))).collect())
    }
}

pub(crate) fn unknown(name: &str, columns: &[&str]) -> Error {
    Error::Asked(format!("there is no column `{name}`; the columns are {}", listed(columns.iter().copied())))
}

/// Formats without types write numbers as texts: a field that is no text gets what its text says.
fn untyped(field: &str, value: &Value) -> Value {
    const TEXTS: [&str; 3] = ["model", "stop", "reasoning_effort"];
    match value {
        Value::String(text) if !TEXTS.contains(&field) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

fn text(column: &str, value: Option<&Value>) -> Result<Value, String> {
    match value.unwrap_or(&Value::Null) {
        Value::Null => Err(format!("column `{column}` is null")),
        Value::String(text) => Ok(text.as_str().into()),
        number @ (Value::Number(_) | Value::Bool(_)) => Ok(number.to_string().into()),
        other => Err(format!("column `{column}` is a {} and no text", crate::value::kind_of(other))),
    }
}

/// The one source that is named, and whether it is the column of texts to embed.
fn source(spec: &Spec) -> Result<(Source, bool), Error> {
    let sources = [
        spec.prompt_column.clone().map(Source::Column),
        spec.messages_column.clone().map(Source::Messages),
        spec.input_column.clone().map(Source::Column),
        spec.template.as_deref().map(Template::new).transpose()?.map(Box::new).map(Source::Template),
    ];
    let is_input = spec.input_column.is_some();
    let mut sources = sources.into_iter().flatten();
    match (sources.next(), sources.next()) {
        (Some(source), None) => Ok((source, is_input)),
        (Some(_), Some(_)) => {
            wrong("--prompt-column, --messages-column, --template and --input-column exclude each other; give one")
        }
        (None, _) => {
            wrong("say where the prompts are: --prompt-column, --messages-column, --template or --input-column")
        }
    }
}

fn endpoint(spec: &Spec, is_input: bool) -> Result<Endpoint, Error> {
    match (spec.endpoint.as_deref(), is_input) {
        (Some(EMBEDDINGS), _) => Ok(Endpoint::Embeddings),
        (None, true) => wrong(format!("--input-column is for embeddings; add --endpoint {EMBEDDINGS}")),
        (Some(other), true) => wrong(format!("--input-column is for {EMBEDDINGS}, and the endpoint is {other}")),
        (None | Some(CHAT), false) => Ok(Endpoint::Chat),
        (Some(COMPLETIONS), false) => Ok(Endpoint::Completions),
        (Some(other), false) => {
            wrong(format!("endpoint '{other}' is not served; use {CHAT}, {COMPLETIONS} or {EMBEDDINGS}"))
        }
    }
}

fn fixed(spec: &Spec, endpoint: Endpoint) -> Result<Map<String, Value>, Error> {
    const OWN: [&str; 3] = ["messages", "prompt", "input"];
    let mut fixed = Map::new();
    fixed.extend(spec.model.clone().map(|model| ("model".to_owned(), model.into())));
    if let Some(schema) = &spec.schema {
        if endpoint == Endpoint::Embeddings || !schema.is_object() {
            return wrong("--schema is a JSON object, a schema for the answers of chats and completions");
        }
        let format = serde_json::json!({"name": "answer", "strict": true, "schema": schema});
        fixed.insert("response_format".to_owned(), serde_json::json!({"type": "json_schema", "json_schema": format}));
    }
    let names = spec.params.keys().chain(spec.param_columns.keys());
    if let Some(own) = names.into_iter().find(|name| OWN.contains(&name.as_str())) {
        return wrong(format!("`{own}` is the row's text and no parameter"));
    }
    fixed.extend(spec.params.clone());
    Ok(fixed)
}

#[cfg(test)]
mod tests;
