//! Typed reads of one field. Every refusal names the field.

use std::ops::RangeInclusive;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Refusal;

/// A JSON object, cut into its fields and not yet read.
pub struct Object<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// `null` is as good as absent.
pub fn given(raw: &RawValue) -> bool {
    raw.get() != "null"
}

pub fn read<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| Refusal::invalid(name, plain(&error)))
}

pub fn number(name: &str, raw: &RawValue, range: RangeInclusive<f64>) -> Result<f64, Refusal> {
    let value: f64 = read(name, raw)?;
    within(name, value, range)
}

pub fn count(name: &str, raw: &RawValue, range: RangeInclusive<u64>) -> Result<usize, Refusal> {
    let value: u64 = read(name, raw)?;
    let value = within(name, value, range)?;
    usize::try_from(value).map_err(|_| Refusal::invalid(name, "too large"))
}

fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, range: RangeInclusive<T>) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Refusal::invalid(name, format!("{value} is not in {}..={}", range.start(), range.end())))
}

/// The position is one inside the field, so it would mislead.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.clone(), |end| text[..end].to_owned())
}
