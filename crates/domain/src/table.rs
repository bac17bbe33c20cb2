//! What a submission says of an input that is no file of request lines: where the table lies, and how its rows become
//! requests. The words are those of the CLI's flags.
use crate::submission::absent;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map as Object, Value};
use std::{collections::BTreeMap, fmt};

/// An input: a URL of request lines, or a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Given {
    /// `upload://<id>`, `file:///...` under an allowed root, or an object's URL under an allowed prefix.
    Url(String),
    Table(Box<Table>),
}

/// A table that the server reads itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Table {
    /// As that of request lines.
    pub url: String,
    /// Plain text, and request lines that are packed, need none.
    #[serde(default, deserialize_with = "absent", skip_serializing_if = "Map::is_empty")]
    pub map: Map,
}

/// How rows become requests. One of `prompt_column`, `messages_column`, `template` and `input_column` says where the texts are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Map {
    /// The column of prompts: a chat's user message, or a completion's prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_column: Option<String>,
    /// The column of chats: lists of `{role, content}`, or JSON text of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_column: Option<String>,
    /// A Jinja template of the prompt over the row's columns: `Summarise: {{ text }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The column of texts to embed, with the endpoint /v1/embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_column: Option<String>,
    /// The column of request ids; without one a request is called after its file and row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_column: Option<String>,
    /// The system message of each chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// In place of the submission's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// In place of the submission's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// A JSON schema that each answer matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Any other field of a request's body.
    #[serde(deserialize_with = "absent", skip_serializing_if = "Object::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>))]
    pub param: Object<String, Value>,
    /// Fields of a request's body that a column gives where it is not null, and the columns.
    #[serde(deserialize_with = "absent", skip_serializing_if = "BTreeMap::is_empty")]
    pub param_column: BTreeMap<String, String>,
    /// What the files are, where neither name nor first bytes tell: `parquet`, `arrow`, `csv`, `tsv`, `jsonl`, `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What stands between the values of CSV, where it is no comma: one character, or `tab`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// What an upload is called: requests are called after it, and its end tells the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only the first so many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only so many rows from anywhere, always the same ones of the same files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// As the submission's: refuse the whole job where a row is no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl Map {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Given {
    pub fn url(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Table(table) => &table.url,
        }
    }

    /// None: its lines are requests as they are.
    pub fn map(&self) -> Option<&Map> {
        match self {
            Self::Url(_) => None,
            Self::Table(table) => Some(&table.map),
        }
    }
}

impl From<String> for Given {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<&str> for Given {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}

/// What an untagged enum says of a mistake names no field.
impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Given;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or an object with `url` and `map`")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<Given, E> {
                Ok(url.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Given, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(fields)).map(|table| Given::Table(Box::new(table)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_input_is_a_url_or_a_table() {
        assert_eq!(serde_json::from_value::<Given>(json!("x")).unwrap(), Given::from("x"));
        let table = json!({"url": "s3://a/b.csv", "map": {"prompt_column": "text", "temperature": 0.5, "param": null,
            "schema": {"type": "object"}, "param_column": {"seed": "n"}, "delimiter": ";"}});
        let given: Given = serde_json::from_value(table.clone()).unwrap();
        let map = given.map().unwrap();
        assert_eq!((map.prompt_column.as_deref(), map.param_column["seed"].as_str()), (Some("text"), "n"));
        let again: Given = rmp_serde::from_slice(&rmp_serde::to_vec_named(&given).unwrap()).unwrap();
        assert_eq!(again, given);
        let bare: Given = serde_json::from_value(json!({"url": "x", "map": null})).unwrap();
        assert_eq!(serde_json::to_value(&bare).unwrap(), json!({"url": "x"}));
    }

    #[test]
    fn a_mistake_names_its_field() {
        let why = |value: Value| serde_json::from_value::<Given>(value).unwrap_err().to_string();
        assert!(why(json!({"url": "x", "map": {"promt_column": "a"}})).contains("`promt_column`"));
        assert!(why(json!({"map": {}})).contains("`url`"));
        assert!(why(json!(7)).contains("a URL, or an object with `url` and `map`"));
    }
}
