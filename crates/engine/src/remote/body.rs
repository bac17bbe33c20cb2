//! A request's body as a server gets it: as it was written, byte for byte, but for `model` and what says whether it streams.
//! Pure.
use bytes::Bytes;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt, ops::Range};

/// What is to be set.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// In place of the request's own.
    pub model: Option<&'a str>,
    /// Where the request has none.
    pub model_else: Option<&'a str>,
    pub stream: bool,
}

/// The token counts of a streamed answer come only where they are asked for.
const WITH_USAGE: &str = r#"{"include_usage":true}"#;

/// Fails where the body is no JSON object.
pub fn set(body: &Bytes, set: Set<'_>) -> Result<Bytes, serde_json::Error> {
    let text = std::str::from_utf8(body).map_err(serde::de::Error::custom)?;
    let Fields(fields) = serde_json::from_str(text)?;
    let mut edits = Vec::new();
    let mut edit = |name: &'static str, value: Cow<'static, str>, where_absent: bool| {
        let found = fields.iter().find(|(found, _)| found == name);
        match found.map(|(_, raw)| place(text, raw)) {
            Some(at) if text[at.clone()] == *value => {}
            Some(at) => edits.push((at, value)),
            None if where_absent => {
                let start = text.find('{').map_or(0, |at| at + 1);
                let comma = if fields.is_empty() { "" } else { "," };
                edits.push((start..start, format!("\"{name}\":{value}{comma}").into()));
            }
            None => {}
        }
    };
    let has_model = fields.iter().any(|(name, raw)| name == "model" && raw.get() != "null");
    if let Some(model) = set.model.or(set.model_else.filter(|_| !has_model)) {
        edit("model", Value::from(model).to_string().into(), true);
    }
    match set.stream {
        true => {
            edit("stream", "true".into(), true);
            edit("stream_options", WITH_USAGE.into(), true);
        }
        false => {
            edit("stream", "false".into(), false);
            edit("stream_options", "null".into(), false);
        }
    }
    Ok(if edits.is_empty() { body.clone() } else { spliced(text, edits).into() })
}

fn spliced(text: &str, mut edits: Vec<(Range<usize>, Cow<'_, str>)>) -> String {
    edits.sort_by_key(|(at, _)| at.start);
    let mut out = String::with_capacity(text.len() + edits.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut from = 0;
    for (at, value) in edits {
        out.push_str(&text[from..at.start]);
        out.push_str(&value);
        from = at.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Where a value that was read from `text` stands in it.
fn place(text: &str, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + raw.get().len()
}

/// An object's fields, not read.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut fields = Vec::new();
                while let Some((Name(name), raw)) = map.next_entry()? {
                    fields.push((name, raw));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str, model: Option<&str>, stream: bool) -> String {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let set = super::set(&body, Set { model, model_else: Some("else"), stream }).unwrap();
        String::from_utf8(set.to_vec()).unwrap()
    }

    #[test]
    fn all_but_the_model_stays_as_it_was_written() {
        let odd = r#" { "a" : 1.50e0 , "model":"x","z":[ 1,2 ] , "model2":"x"} "#;
        assert_eq!(written(odd, Some("y\""), false), odd.replacen(r#":"x""#, r#":"y\"""#, 1));
        assert_eq!(written(odd, None, false), odd);
        assert_eq!(written(odd, Some("x"), false), odd);
    }

    #[test]
    fn a_model_is_named_where_the_request_names_none() {
        assert_eq!(written(r#"{"a":1}"#, Some("y"), false), r#"{"model":"y","a":1}"#);
        assert_eq!(written("{}", None, false), r#"{"model":"else"}"#);
        assert_eq!(written(r#"{"model":null}"#, None, false), r#"{"model":"else"}"#);
        assert_eq!(written(r#"{"m\u006fdel":"x"}"#, Some("y"), false), r#"{"m\u006fdel":"y"}"#);
    }

    #[test]
    fn it_streams_or_not_whatever_the_request_says() {
        let own = r#"{"model":"m","stream":true,"stream_options":{"x":1},"a":2}"#;
        assert_eq!(written(own, None, false), r#"{"model":"m","stream":false,"stream_options":null,"a":2}"#);
        assert_eq!(
            written(own, None, true),
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"a":2}"#
        );
        let plain = r#"{"model":"m"}"#;
        assert_eq!(written(plain, None, false), plain);
        assert_eq!(
            written(plain, None, true),
            r#"{"stream":true,"stream_options":{"include_usage":true},"model":"m"}"#
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "{", "\"a\"", "\u{feff}{}"] {
            let set_in = Set { model: None, model_else: None, stream: false };
            assert!(set(&Bytes::copy_from_slice(body.as_bytes()), set_in).is_err(), "{body}");
        }
    }
}
