//! A body, cut into its fields in one pass: messages are cut at once, so that long texts are not passed over twice.
use super::field::{self, Key, Object};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Fields that most bodies have no more of.
const FIELDS_USUAL: usize = 16;

/// The fields of a body that is an object.
pub struct Cut<'a>(pub(super) Vec<(Cow<'a, str>, Piece<'a>)>);

pub(super) enum Piece<'a> {
    Raw(&'a RawValue),
    /// `messages`, where it is a list of objects.
    Messages(Vec<Object<'a>>),
}

impl<'a> Cut<'a> {
    pub fn of(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|_| serde_json::from_str(text).map(Self::raw))
    }

    fn raw(Object(fields): Object<'a>) -> Self {
        Self(fields.into_iter().map(|(name, raw)| (name, Piece::Raw(raw))).collect())
    }

    pub(super) fn twice(&self) -> Option<&str> {
        field::twice(&self.0)
    }
}

/// Fails where `messages` is of another shape, too.
impl<'de: 'a, 'a> Deserialize<'de> for Cut<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Cut<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cut<'de>, A::Error> {
                let mut fields = Vec::with_capacity(FIELDS_USUAL);
                while let Some(Key(name)) = map.next_key()? {
                    let piece = match &*name {
                        "messages" => Piece::Messages(map.next_value()?),
                        _ => Piece::Raw(map.next_value()?),
                    };
                    fields.push((name, piece));
                }
                Ok(Cut(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
