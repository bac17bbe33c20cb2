//! The types of the document as JSON Schemas that stand alone, for who asks in another way than over HTTP.
use crate::document;
use serde_json::{Map, Value, json};

const FROM: &str = "#/components/schemas/";
const TO: &str = "#/$defs/";

/// A type of the document, and all that it is made of. Null where the document has none of this name.
pub fn schema(name: &str) -> Value {
    let document = serde_json::to_value(document()).expect("a document is plain JSON");
    let all = &document["components"]["schemas"];
    let mut made_of = Map::new();
    let mut schema = moved(&all[name], all, &mut made_of);
    if !made_of.is_empty() {
        schema["$defs"] = made_of.into();
    }
    schema
}

/// The same with its references in its own `$defs`.
fn moved(value: &Value, all: &Value, made_of: &mut Map<String, Value>) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), field(name, value, all, made_of))).collect()
        }
        Value::Array(items) => items.iter().map(|item| moved(item, all, made_of)).collect(),
        plain => plain.clone(),
    }
}

fn field(name: &str, value: &Value, all: &Value, made_of: &mut Map<String, Value>) -> Value {
    let target = value.as_str().filter(|_| name == "$ref").and_then(|path| path.strip_prefix(FROM));
    let Some(target) = target else { return moved(value, all, made_of) };
    if !made_of.contains_key(target) {
        // It may refer to itself.
        made_of.insert(target.to_owned(), Value::Null);
        let whole = moved(&all[target], all, made_of);
        made_of.insert(target.to_owned(), whole);
    }
    json!(format!("{TO}{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_stands_alone() {
        for name in ["Submission", "Accepted", "Job", "Quote"] {
            let schema = schema(name);
            assert_eq!(schema["type"], "object", "{name}");
            let text = schema.to_string();
            assert!(!text.contains(FROM), "{name}");
            let refs = text.split(TO).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
            for target in refs {
                assert!(schema["$defs"][&target].is_object(), "{name} lacks {target}");
            }
        }
        assert_eq!(schema("Nothing"), Value::Null);
    }
}
