//! A line, cut into its parts in one pass.
use crate::request::{
    Cut,
    field::{self, Key, Object},
};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The parts of a line that are not null. Others are passed over.
#[derive(Default)]
pub struct Line<'a> {
    pub custom_id: Option<&'a RawValue>,
    pub method: Option<&'a RawValue>,
    pub url: Option<&'a RawValue>,
    pub body: Option<Body<'a>>,
    names: Vec<(Cow<'a, str>, ())>,
}

pub enum Body<'a> {
    /// An object.
    Cut(Cut<'a>),
    Other(&'a RawValue),
}

impl<'a> Line<'a> {
    /// Fails where the text is no JSON object.
    pub fn of(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|_| serde_json::from_str(text).map(Self::slowly))
    }

    /// Where a part is of another shape than it is to be.
    fn slowly(Object(fields): Object<'a>) -> Self {
        let mut line = Self::default();
        for (name, raw) in fields {
            if name == "body" && field::given(raw) {
                line.body = Some(Cut::of(raw.get()).map_or(Body::Other(raw), Body::Cut));
            } else if let Some(part) = line.part(&name) {
                *part = field::given(raw).then_some(raw);
            }
            line.names.push((name, ()));
        }
        line
    }

    fn part(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        match name {
            "custom_id" => Some(&mut self.custom_id),
            "method" => Some(&mut self.method),
            "url" => Some(&mut self.url),
            _ => None,
        }
    }

    pub fn twice(&self) -> Option<&str> {
        field::twice(&self.names)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Line<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
                let mut line = Line { names: Vec::with_capacity(4), ..Line::default() };
                while let Some(Key(name)) = map.next_key()? {
                    if name == "body" {
                        line.body = Some(Body::Cut(map.next_value()?));
                    } else if let Some(part) = line.part(&name) {
                        let raw: &RawValue = map.next_value()?;
                        *part = field::given(raw).then_some(raw);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    line.names.push((name, ()));
                }
                Ok(line)
            }
        }

        deserializer.deserialize_map(Parts)
    }
}
