//! Typed reads of one field. Every refusal names the field.
use super::Refusal;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, ops::RangeInclusive};

/// A JSON object, cut into its fields and not yet read.
pub struct Object<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key that borrows where it can: a bare `Cow` never does.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

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
                while let Some((Key(name), raw)) = map.next_entry()? {
                    fields.push((name, raw));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl Object<'_> {
    /// The first name that stands twice.
    pub fn twice(&self) -> Option<&str> {
        let names = self.0.iter().enumerate();
        names
            .skip(1)
            .find(|(at, (name, _))| self.0[..*at].iter().any(|(other, _)| other == name))
            .map(|(_, (n, _))| &**n)
    }
}

/// `null` is as good as absent.
pub fn given(raw: &RawValue) -> bool {
    raw.get() != "null"
}

pub fn read<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| Refusal::wrong_type(name, plain(&error)))
}

pub fn number(name: &str, raw: &RawValue, range: RangeInclusive<f64>) -> Result<f64, Refusal> {
    within(name, read::<f64>(name, raw)?, range)
}

pub fn count(name: &str, raw: &RawValue, range: RangeInclusive<u64>) -> Result<usize, Refusal> {
    let value = whole(name, raw)?;
    let (least, most) = (i128::from(*range.start()), i128::from(*range.end()));
    let value = within(name, value, least..=most)?;
    usize::try_from(value).map_err(|_| Refusal::invalid(name, "too large"))
}

/// An integer, which clients also write as `16.0`.
pub fn whole(name: &str, raw: &RawValue) -> Result<i128, Refusal> {
    if let Ok(value) = raw.get().parse::<i128>() {
        return Ok(value);
    }
    let value: f64 = read(name, raw)?;
    match value.fract() == 0.0 && value.abs() < 1e18 {
        true => Ok(value as i128),
        false => Err(Refusal::invalid(name, format!("{value} is not a whole number"))),
    }
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
