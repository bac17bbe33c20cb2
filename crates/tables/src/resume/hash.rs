//! What a request asks, as 128 bits: its endpoint and its body with model and parameters, whatever it is called and in which
//! order its fields stand.
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt};

const CHAT: &str = "/v1/chat/completions";

/// BLAKE3, cut to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 16]);

/// What a job gives to requests that do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    pub model: Option<String>,
    pub endpoint: Option<String>,
}

/// What a request line is called and what it asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub id: String,
    /// None: it is answered by no engine.
    pub hash: Option<Hash>,
}

#[derive(Deserialize)]
struct Line<'a> {
    custom_id: String,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    refused: Option<IgnoredAny>,
    body: Map<String, Value>,
}

impl Read {
    /// A line that is no request is called nothing: whoever takes it will tell.
    pub fn of(line: &[u8], defaults: &Defaults) -> Self {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return Self::default() };
        let hash = line.refused.is_none().then(|| Hash::of(line.url.as_deref(), line.body, defaults));
        Self { id: line.custom_id, hash }
    }
}

impl Hash {
    fn of(url: Option<&str>, mut body: Map<String, Value>, defaults: &Defaults) -> Self {
        if let Some(model) = &defaults.model
            && body.get("model").is_none_or(Value::is_null)
        {
            body.insert("model".to_owned(), model.as_str().into());
        }
        let url = url.or(defaults.endpoint.as_deref()).unwrap_or(CHAT);
        let mut text = url.as_bytes().to_vec();
        text.push(b'\n');
        fields(&body, &mut text);
        let mut cut = [0; 16];
        cut.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
        Self(cut)
    }

    /// Half of it.
    pub(super) fn head(self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(head)
    }

    /// As it is written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(Self(number.to_be_bytes()))
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// JSON with the fields of each object in the order of their names.
fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(object) => fields(object, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                put(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        plain => serde_json::to_writer(out, plain).expect("a vector takes all"),
    }
}

fn fields(object: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut sorted: Vec<_> = object.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (name, value) in sorted {
        serde_json::to_writer(&mut *out, name).expect("a vector takes all");
        out.push(b':');
        put(value, out);
        out.push(b',');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(line: &str, defaults: &Defaults) -> Hash {
        Read::of(line.as_bytes(), defaults).hash.unwrap()
    }

    #[test]
    fn what_is_asked_makes_the_hash_and_nothing_else() {
        let none = Defaults::default();
        let tiny = Defaults { model: Some("tiny".to_owned()), endpoint: Some(CHAT.to_owned()) };
        let one =
            hash(r#"{"custom_id":"a","body":{"model":"tiny","messages":[{"role":"user","content":"x"}]}}"#, &none);
        for same in [
            r#"{"body":{"messages":[{"content":"x","role":"user"}],"model":"tiny"},"custom_id":"b","method":"POST"}"#,
            r#"{"custom_id":"b","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"x"}]}}"#,
            r#" {"custom_id":"b","body":{"model":null,"messages":[{"role":"user","content":"x"}]}}"#,
        ] {
            assert_eq!(hash(same, &tiny), one, "{same}");
        }
        for other in [
            r#"{"custom_id":"a","body":{"model":"tiny","messages":[{"role":"user","content":"y"}]}}"#,
            r#"{"custom_id":"a","body":{"model":"big","messages":[{"role":"user","content":"x"}]}}"#,
            r#"{"custom_id":"a","body":{"model":"tiny","messages":[{"role":"user","content":"x"}],"seed":1}}"#,
            r#"{"custom_id":"a","url":"/v1/completions","body":{"model":"tiny","messages":[{"role":"user","content":"x"}]}}"#,
        ] {
            assert_ne!(hash(other, &tiny), one, "{other}");
        }
        assert_eq!(Hash::parse(&one.to_string()), Some(one));
        assert_eq!((Hash::parse("0"), Hash::parse(&"x".repeat(32))), (None, None));
    }

    /// Tables that were written stay good for ever.
    #[test]
    fn the_hash_is_the_same_for_ever() {
        let line = r#"{"custom_id":"a","body":{"prompt":"one","temperature":0.5,"stop":["a",null],"max_tokens":16}}"#;
        assert_eq!(hash(line, &Defaults::default()).to_string(), "e9164fcd9388868614921a93f459fd97");
    }

    #[test]
    fn what_no_engine_answers_has_none() {
        let refused = br#"{"custom_id":"a","refused":"column `t` is null","body":{}}"#;
        assert_eq!(Read::of(refused, &Defaults::default()), Read { id: "a".to_owned(), hash: None });
        assert_eq!(Read::of(b"no JSON", &Defaults::default()), Read::default());
    }
}
