//! A name that stands twice in an object, however deep: of a value that is read as a whole the last one would win, and
//! nobody would know.
use super::{
    Refusal,
    cut::{Object, Text},
};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{self, Display};

/// `name` is the value's own.
pub fn refuse(name: &dyn Display, raw: &RawValue) -> Result<(), Refusal> {
    match serde_json::from_str(raw.get()) {
        Ok(Look(Some(path))) => Err(Refusal::twice(format!("{name}{path}"))),
        // What cannot be looked at, its reader will not read either.
        Ok(Look(None)) | Err(_) => Ok(()),
    }
}

/// Where the first such name stands: `.properties.a`, `[1].a`.
struct Look(Option<String>);

impl<'de> Deserialize<'de> for Look {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Looker).map(Self)
    }
}

struct Looker;

impl<'de> Visitor<'de> for Looker {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut names, mut below) = (Object(Vec::new()), None);
        while let Some(Text(name)) = map.next_key()? {
            let Look(found) = map.next_value()?;
            below = below.or_else(|| found.map(|path| format!(".{name}{path}")));
            names.0.push((name, ()));
        }
        Ok(names.twice().map(|name| format!(".{name}")).or(below))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut at, mut found) = (0, None);
        while let Some(Look(below)) = seq.next_element()? {
            found = found.or_else(|| below.map(|path| format!("[{at}]{path}")));
            at += 1;
        }
        Ok(found)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_at_any_depth() {
        let found =
            |text: &str| refuse(&"x", serde_json::from_str(text).unwrap()).err().and_then(|refusal| refusal.param);
        for (text, path) in [
            (r#"{"a":1,"b":{"a":2}}"#, None),
            (r#"{"a":1,"a":2}"#, Some("x.a")),
            (r#"{"a":1,"\u0061":2}"#, Some("x.a")),
            (r#"[{},{"p":{"q":[0,{"a":null,"a":true}]}}]"#, Some("x[1].p.q[1].a")),
            (r#""a""#, None),
        ] {
            assert_eq!(found(text).as_deref(), path, "{text}");
        }
    }
}
