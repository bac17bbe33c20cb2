//! A body of /v1/embeddings, as an engine of ours reads it.
use super::{
    Endpoint, Refusal,
    cut::{Cut, Field},
    field, fields, prompt,
};
use crate::limits::{DIMENSIONS_MAX, EMBED_TEXTS_MAX};
use serde_json::value::RawValue;
use std::fmt::Display;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embed {
    pub model: Option<String>,
    /// Never empty, and none of them is.
    pub texts: Vec<String>,
    pub encoding: Encoding,
    /// Numbers of each vector. None: all that the model has.
    pub dimensions: Option<usize>,
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Float,
    /// Of float32, little-endian.
    Base64,
}

const INPUT: &str = "input";
const EXPECTED: &str = "a string or a list of strings";

impl Embed {
    /// Reads the JSON text of a body.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|error| Refusal::json(&error))?;
        Self::of(Cut::of(text).map_err(|error| Refusal::json(&error))?).1
    }

    /// The model, which picks a pool also for a request that is refused; and the body.
    pub(crate) fn of(cut: Cut<'_>) -> (Option<String>, Result<Self, Refusal>) {
        let mut draft = Draft::default();
        match draft.read(cut) {
            Ok(()) => draft.finish(),
            Err(refusal) => (draft.model, Err(refusal)),
        }
    }

    /// The name of a text, for errors.
    pub fn param(&self, at: usize) -> String {
        if self.texts.len() == 1 { INPUT.to_owned() } else { format!("{INPUT}[{at}]") }
    }
}

#[derive(Default)]
struct Draft {
    model: Option<String>,
    texts: Option<Vec<String>>,
    encoding: Encoding,
    dimensions: Option<usize>,
    /// The input was given, so that it is not missed where it is wrong.
    seen: bool,
    /// The first refusal that is the request's own.
    wrong: Option<Refusal>,
}

impl Draft {
    fn read(&mut self, cut: Cut<'_>) -> Result<(), Refusal> {
        if let Some(name) = cut.twice() {
            return Err(Refusal::twice(name));
        }
        for (name, piece) in cut.0 {
            let taken = match piece {
                Field::Raw(raw) => self.take(&name, raw),
                Field::Messages(_) => Err(Refusal::unknown(&name)),
            };
            if let Err(refusal) = taken {
                refusal.into_first(&mut self.wrong)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        if !fields::known(Endpoint::Embeddings, name) {
            return Err(Refusal::unknown(name));
        }
        if !field::given(raw) {
            return Ok(());
        }
        match name {
            "model" => self.model = Some(field::text(&name, raw)?),
            "encoding_format" => self.encoding = encoding(raw)?,
            "dimensions" => self.dimensions = Some(field::count(&name, raw, 1..=DIMENSIONS_MAX)?),
            INPUT => {
                self.seen = true;
                self.texts = Some(texts(raw)?);
            }
            // Harmless.
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> (Option<String>, Result<Embed, Refusal>) {
        let Self { model, texts, encoding, dimensions, seen, wrong } = self;
        let body = match (wrong, texts) {
            (None, Some(texts)) => Ok(Embed { model: model.clone(), texts, encoding, dimensions }),
            (_, None) if !seen => Err(Refusal::missing(INPUT)),
            (Some(refusal), _) => Err(refusal),
            (None, None) => Err(Refusal::invalid(INPUT, "it cannot be read")),
        };
        (model, body)
    }
}

fn texts(raw: &RawValue) -> Result<Vec<String>, Refusal> {
    match prompt::first(raw.get()) {
        ('"', _) => Ok(vec![text(&INPUT, raw)?]),
        ('[', '[' | '0'..='9' | '-') => Err(Refusal::unsupported(INPUT, "token ids are not taken; give texts")),
        ('[', _) => list(field::typed(&INPUT, raw, EXPECTED)?),
        _ => Err(Refusal::wrong_type(INPUT, format!("expected {EXPECTED}"))),
    }
}

fn list(raws: Vec<&RawValue>) -> Result<Vec<String>, Refusal> {
    let each = raws.iter().enumerate().map(|(at, raw)| text(&format_args!("{INPUT}[{at}]"), raw));
    match raws.len() {
        0 => Err(Refusal::invalid(INPUT, "it is an empty list")),
        // What is of another type is told first, wherever it stands.
        1..=EMBED_TEXTS_MAX => {
            let (texts, wrong): (Vec<_>, Vec<_>) = each.partition(Result::is_ok);
            let mut wrong: Vec<Refusal> = wrong.into_iter().filter_map(Result::err).collect();
            wrong.sort_by_key(|refusal| !refusal.is_shape());
            match wrong.into_iter().next() {
                Some(refusal) => Err(refusal),
                None => Ok(texts.into_iter().filter_map(Result::ok).collect()),
            }
        }
        n => {
            let why =
                format!("{n} texts; the most in one request are {EMBED_TEXTS_MAX}, so spread them over more lines");
            Err(Refusal::invalid(INPUT, why))
        }
    }
}

fn text(name: &dyn Display, raw: &RawValue) -> Result<String, Refusal> {
    match field::text(name, raw)? {
        text if text.is_empty() => Err(Refusal::invalid(name.to_string(), "it is empty")),
        text => Ok(text),
    }
}

fn encoding(raw: &RawValue) -> Result<Encoding, Refusal> {
    const NAME: &str = "encoding_format";
    match field::words(&NAME, raw)?.as_ref() {
        "float" => Ok(Encoding::Float),
        "base64" => Ok(Encoding::Base64),
        other => Err(Refusal::invalid(NAME, format!("`{other}` is not one of float, base64"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Embed, Refusal> {
        Embed::read(body.to_string().as_bytes())
    }

    #[test]
    fn a_text_and_a_list_are_read_with_all_that_goes_with_them() {
        let body = json!({"model": "m", "input": "a", "user": "u", "dimensions": 4.0, "encoding_format": "base64"});
        let (model, texts) = (Some("m".to_owned()), vec!["a".to_owned()]);
        assert_eq!(read(&body), Ok(Embed { model, texts, encoding: Encoding::Base64, dimensions: Some(4) }));
        let body = json!({"input": ["a", "b \u{1f600}"], "encoding_format": null, "dimensions": null, "model": null});
        let texts = vec!["a".to_owned(), "b \u{1f600}".to_owned()];
        let two = read(&body).unwrap();
        assert_eq!(two, Embed { model: None, texts, encoding: Encoding::Float, dimensions: None });
        assert_eq!([two.param(1), read(&json!({"input": ["a"]})).unwrap().param(0)], ["input[1]", "input"]);
    }

    #[test]
    fn each_mistake_names_its_field_and_is_the_files_or_the_requests() {
        let many = vec!["x"; EMBED_TEXTS_MAX + 1];
        for (body, param, code, is_shape) in [
            (json!({}), "input", "missing_required_parameter", true),
            (json!({"input": null}), "input", "missing_required_parameter", true),
            (json!({"input": 5}), "input", "invalid_type", true),
            (json!({"input": {"text": "a"}}), "input", "invalid_type", true),
            (json!({"input": ["", "a", 5]}), "input[2]", "invalid_type", true),
            (json!({"input": "a", "dimensions": "4"}), "dimensions", "invalid_type", true),
            (json!({"dimensions": 0}), "input", "missing_required_parameter", true),
            (json!({"input": []}), "input", "invalid_value", false),
            (json!({"input": ""}), "input", "invalid_value", false),
            (json!({"input": ["a", ""]}), "input[1]", "invalid_value", false),
            (json!({"input": many}), "input", "invalid_value", false),
            (json!({"input": [1, 2]}), "input", "unsupported_parameter", false),
            (json!({"input": [[1], [2]]}), "input", "unsupported_parameter", false),
            (json!({"input": "a", "dimensions": 0}), "dimensions", "invalid_value", false),
            (json!({"input": "a", "dimensions": 1.5}), "dimensions", "invalid_value", false),
            (json!({"input": "a", "encoding_format": "int8"}), "encoding_format", "invalid_value", false),
            (json!({"input": "a", "truncate_prompt_tokens": 8}), "truncate_prompt_tokens", "unknown_parameter", false),
            (json!({"input": "a", "temperature": 0}), "temperature", "unknown_parameter", false),
            (json!({"input": "a", "messages": [{"role": "user"}]}), "messages", "unknown_parameter", false),
            (json!({"input": "a", "stream": null}), "stream", "unknown_parameter", false),
        ] {
            let refusal = read(&body).unwrap_err();
            let told = (refusal.param.as_deref(), refusal.code, refusal.is_shape());
            assert_eq!(told, (Some(param), Some(code), is_shape), "{body}: {refusal:?}");
        }
        let twice = Embed::read(br#"{"input":"a","input":"b"}"#).unwrap_err();
        assert_eq!((twice.code, twice.is_shape()), (Some("duplicate_parameter"), true));
        assert!(Embed::read(b"[]").unwrap_err().is_shape());
    }

    #[test]
    fn the_model_is_known_of_a_request_that_is_refused() {
        let cut = Cut::of(r#"{"dimensions":0,"model":"m","input":"a"}"#).unwrap();
        let (model, body) = Embed::of(cut);
        assert_eq!((model.as_deref(), body.unwrap_err().param.as_deref()), (Some("m"), Some("dimensions")));
    }
}
