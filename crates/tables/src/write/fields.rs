//! The top fields of a schema that answers match, as columns of their own.
use super::{ANSWER, columns::Target};
use crate::Answer;
use arrow_schema::DataType;
use serde_json::{Map, Value};

/// Each with the type of its column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(Target);

impl Fields {
    /// Those that the schema names. One that is called as a column of the answers stands in `response` alone.
    pub fn of(schema: &Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties = properties.filter(|(name, _)| !ANSWER.contains(&name.as_str()));
        Self(properties.map(|(name, schema)| (name.clone(), kind(schema))).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), kind))
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// What an answer says of each, null where it says nothing of its type.
    pub fn values(&self, answer: &Answer) -> Vec<Value> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let said = answer.response.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let mut said: Map<String, Value> = said.unwrap_or_default();
        let value = |(name, kind): &(String, DataType)| said.remove(name).filter(|value| fits(value, kind));
        self.0.iter().map(value).map(Option::unwrap_or_default).collect()
    }
}

/// A list of types may have null beside one other; what is no plain value is JSON text.
fn kind(schema: &Value) -> DataType {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => Vec::new(),
    };
    match types[..] {
        ["integer"] => DataType::Int64,
        ["number"] => DataType::Float64,
        ["boolean"] => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

fn fits(value: &Value, kind: &DataType) -> bool {
    match kind {
        DataType::Int64 => value.is_i64(),
        DataType::Float64 => value.is_number(),
        DataType::Boolean => value.is_boolean(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_field_has_the_type_that_the_schema_gives() {
        let fields = Fields::of(&json!({"type": "object", "properties": {
            "label": {"enum": ["good", "bad"]}, "stars": {"type": "integer"}, "score": {"type": ["number", "null"]},
            "sure": {"type": "boolean"}, "words": {"type": "array"}, "error": {"type": "string"}}}));
        let kinds: BTreeMap<&str, &DataType> = fields.iter().collect();
        let want = [
            ("label", &DataType::Utf8),
            ("score", &DataType::Float64),
            ("stars", &DataType::Int64),
            ("sure", &DataType::Boolean),
            ("words", &DataType::Utf8),
        ];
        assert_eq!(kinds, BTreeMap::from(want));
        let values = |text: &str| {
            let answer = Answer { response: Some(text.to_owned()), ..Answer::default() };
            fields.iter().map(|(name, _)| name.to_owned()).zip(fields.values(&answer)).collect::<BTreeMap<_, _>>()
        };
        let good = values(r#"{"label":"good","stars":4,"score":1,"sure":true,"words":["a"],"more":1}"#);
        assert_eq!((&good["label"], &good["stars"], &good["words"]), (&json!("good"), &json!(4), &json!(["a"])));
        let odd = values(r#"{"stars":4.5,"sure":"yes","score":null}"#);
        assert!(odd.values().all(Value::is_null), "{odd:?}");
        assert!(values("no JSON").values().all(Value::is_null));
        assert_eq!(Fields::of(&json!({"type": "string"})), Fields::default());
    }
}
