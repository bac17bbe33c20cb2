//! What a submission, or the CLI's flags, say of a table, as the reader of tables takes it.
use domain::{
    event::{Code, LineError},
    limits::REASON_CHARS_MAX,
    table::Map,
};
use serde_json::{Map as Object, Value, value::Number};
use tables::{Format, Mapping, Pick, Said, Spec};

/// What is wanted of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapped {
    pub spec: Spec,
    pub said: Said,
    pub pick: Pick,
    /// What an upload is called.
    pub name: Option<String>,
}

impl Mapped {
    /// `model` and `endpoint` are the submission's.
    pub fn of(map: &Map, model: Option<&str>, endpoint: Option<&str>) -> Result<Self, LineError> {
        let spec = Spec {
            prompt_column: map.prompt_column.clone(),
            messages_column: map.messages_column.clone(),
            input_column: map.input_column.clone(),
            template: map.template.clone(),
            system: map.system.clone(),
            id_column: map.id_column.clone(),
            model: map.model.clone().or_else(|| model.map(str::to_owned)),
            endpoint: map.endpoint.clone().or_else(|| endpoint.map(str::to_owned)),
            schema: map.schema.clone(),
            params: params(map),
            param_columns: map.param_column.clone(),
        };
        Ok(Self { spec, said: said(map)?, pick: pick(map)?, name: map.name.clone() })
    }

    /// What can be said before the table is looked at.
    pub fn check(&self) -> Result<(), LineError> {
        match self.spec.has_source() {
            true => Mapping::new(&self.spec).map(drop).map_err(|error| wrong("map", error.to_string())),
            false => Ok(()),
        }
    }
}

fn params(map: &Map) -> Object<String, Value> {
    let number = |number: Option<f64>| number.and_then(Number::from_f64).map(Value::Number);
    let own = [
        ("max_tokens", map.max_tokens.map(Value::from)),
        ("temperature", number(map.temperature)),
        ("top_p", number(map.top_p)),
        ("seed", map.seed.map(Value::from)),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    own.chain(map.param.clone()).collect()
}

fn said(map: &Map) -> Result<Said, LineError> {
    let format = map.format.as_deref().map(|word| {
        let known = Format::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        word.parse().map_err(|_| wrong("map.format", format!("'{word}' is no format; use {known}")))
    });
    let delimiter =
        map.delimiter.as_deref().map(|text| tables::delimiter(text).map_err(|why| wrong("map.delimiter", why)));
    Ok(Said { format: format.transpose()?, delimiter: delimiter.transpose()? })
}

fn pick(map: &Map) -> Result<Pick, LineError> {
    match (map.limit, map.sample) {
        (None, None) => Ok(Pick::All),
        (Some(0), _) | (_, Some(0)) => Err(wrong("map", "'limit' and 'sample' are at least 1")),
        (Some(rows), None) => Ok(Pick::First(rows)),
        (None, Some(rows)) => Ok(Pick::Sample(rows)),
        (Some(_), Some(_)) => Err(wrong("map", "'limit' and 'sample' exclude each other; give one")),
    }
}

/// Words of the CLI, as a submission spells them: `--prompt-column` is `prompt_column`.
pub fn wrong(field: &str, why: impl AsRef<str>) -> LineError {
    let mut said = String::new();
    for word in why.as_ref().split_inclusive(' ') {
        match word.strip_prefix("--") {
            Some(flag) => said.push_str(&flag.replace('-', "_")),
            None => said.push_str(word),
        }
    }
    let message = said.chars().take(REASON_CHARS_MAX).collect();
    LineError { code: Code::InvalidSubmission, line: None, param: Some(["input", field].join(".")), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(json: &str) -> (String, String) {
        let mapped = Mapped::of(&serde_json::from_str(json).unwrap(), None, None);
        let error = mapped.and_then(|mapped| mapped.check()).unwrap_err();
        (error.param.unwrap(), error.message)
    }

    #[test]
    fn a_map_is_what_the_flags_are() {
        let map = r#"{"prompt_column":"text","max_tokens":5,"param":{"top_k":20},"param_column":{"seed":"n"},
            "format":"csv","delimiter":"tab","limit":3,"model":"a"}"#;
        let mapped = Mapped::of(&serde_json::from_str(map).unwrap(), Some("b"), Some("/v1/completions")).unwrap();
        assert_eq!(
            (mapped.spec.model.as_deref(), mapped.spec.endpoint.as_deref()),
            (Some("a"), Some("/v1/completions"))
        );
        assert_eq!(Value::from(mapped.spec.params), serde_json::json!({"max_tokens": 5, "top_k": 20}));
        assert_eq!(mapped.said, Said { format: Some(Format::Csv), delimiter: Some(b'\t') });
        assert_eq!(mapped.pick, Pick::First(3));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_a_submission() {
        let (param, said) = why(r#"{"prompt_column":"a","template":"b"}"#);
        assert_eq!(param, "input.map");
        assert_eq!(said, "prompt_column, messages_column, template and input_column exclude each other; give one");
        assert_eq!(why(r#"{"format":"xls"}"#).0, "input.map.format");
        assert_eq!(why(r#"{"delimiter":"||"}"#).0, "input.map.delimiter");
        assert!(why(r#"{"limit":1,"sample":1}"#).1.contains("exclude"));
        assert!(why(r#"{"sample":0}"#).1.contains("at least 1"));
        assert!(why(r#"{"template":"{{ a"}"#).1.contains("the template is wrong"));
    }
}
