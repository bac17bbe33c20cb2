//! The content of a message: a string, or a list of parts.
use super::{Refusal, cut::Object, field, message::Name};
use serde_json::value::RawValue;
use std::borrow::Cow;

pub fn content(at: usize, raw: &RawValue) -> Result<String, Refusal> {
    const EXPECTED: &str = "a string or a list of content parts";
    let name = Name(at, "content");
    if !raw.get().starts_with('[') {
        return field::string(&name, raw, EXPECTED).map(Cow::into_owned);
    }
    let parts: Vec<&RawValue> = field::typed(&name, raw, EXPECTED)?;
    let texts: Vec<String> = parts
        .into_iter()
        .enumerate()
        .map(|(number, raw)| part(&format!("{name}[{number}]"), raw))
        .collect::<Result<_, _>>()?;
    Ok(texts.join("\n"))
}

/// `{"type": "text", "text": ...}`.
fn part(name: &str, raw: &RawValue) -> Result<String, Refusal> {
    let Object(fields) = field::object(&name, raw)?;
    let (mut kind, mut text, mut other) = (None, None, None);
    for (key, raw) in fields.iter().filter(|(_, raw)| field::given(raw)) {
        match &**key {
            "type" => kind = Some(field::text(&format_args!("{name}.type"), raw)?),
            "text" => text = Some(field::text(&format_args!("{name}.text"), raw)?),
            // A hint to caches of others.
            "cache_control" => {}
            key => other = Some(key),
        }
    }
    match (kind.as_deref(), text, other) {
        (None, ..) => Err(Refusal::missing(&format!("{name}.type"))),
        (Some("text"), None, _) => Err(Refusal::missing(&format!("{name}.text")).alone()),
        (Some("text"), Some(_), Some(other)) => Err(Refusal::unknown(&format!("{name}.{other}"))),
        (Some("text"), Some(text), None) => Ok(text),
        (Some(kind), ..) => Err(Refusal::unsupported(name, &format!("a text model takes no `{kind}` part"))),
    }
}
