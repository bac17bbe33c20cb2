//! Settings that are written in more than one form. In the environment all of them are texts.
use std::fmt;

use serde::{
    Deserialize, Serialize, Serializer,
    de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Slots, Source};

/// A model: by name, or by where it lies.
#[derive(Debug)]
pub enum Model {
    Named(String),
    At(Source),
}

/// A list, or one text with commas.
#[derive(Debug)]
pub struct Texts(pub Vec<String>);

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(slots) => serializer.serialize_u64(*slots as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl Visitor<'_> for Form {
            type Value = Slots;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of 1 and more, or \"auto\"")
            }

            fn visit_u64<E: Error>(self, slots: u64) -> Result<Slots, E> {
                match usize::try_from(slots) {
                    Ok(slots) if slots > 0 => Ok(Slots::Fixed(slots)),
                    _ => Err(E::custom(format!("{slots} is not a number of 1 and more, or \"auto\""))),
                }
            }

            fn visit_i64<E: Error>(self, slots: i64) -> Result<Slots, E> {
                self.visit_u64(u64::try_from(slots).unwrap_or(0))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Slots, E> {
                match text.trim() {
                    "auto" => Ok(Slots::Auto),
                    text => {
                        let wrong = |_| E::custom(format!("'{text}' is not a number of 1 and more, or \"auto\""));
                        self.visit_u64(text.parse().map_err(wrong)?)
                    }
                }
            }
        }

        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Model;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ folder = \"...\" } and the like, or with kind 'openai' a name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Model, E> {
                Ok(Model::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Model, A::Error> {
                Source::deserialize(MapAccessDeserializer::new(map)).map(Model::At)
            }
        }

        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Texts(parts.map(str::to_owned).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(Form)
    }
}
