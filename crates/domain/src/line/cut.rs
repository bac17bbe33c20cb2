//! A line's parts.
use crate::request::{
    cut::{Cut, Object, Piece},
    field,
};
use serde::de::MapAccess;
use serde_json::value::RawValue;

/// A line, cut in one pass.
pub type Line<'a> = Object<'a, Part<'a>>;

pub enum Part<'a> {
    Raw(&'a RawValue),
    /// `body`, where it is an object.
    Body(Cut<'a>),
}

impl<'a> Piece<'a> for Part<'a> {
    const USUAL: usize = 4;

    fn cut<A: MapAccess<'a>>(name: &str, map: &mut A) -> Result<Self, A::Error> {
        match name {
            "body" => map.next_value().map(Self::Body),
            _ => map.next_value().map(Self::Raw),
        }
    }

    fn whole(name: &str, raw: &'a RawValue) -> Self {
        match Cut::of(raw.get()) {
            Ok(body) if name == "body" => Self::Body(body),
            _ => Self::Raw(raw),
        }
    }
}

impl<'a> Line<'a> {
    /// A part that is given, and not null.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find_map(|(other, part)| match part {
            Part::Raw(raw) if other == name && field::given(raw) => Some(*raw),
            Part::Raw(_) | Part::Body(_) => None,
        })
    }

    /// The body, if it is an object.
    pub fn body(self) -> Option<Cut<'a>> {
        self.0.into_iter().find_map(|(_, part)| match part {
            Part::Body(body) => Some(body),
            Part::Raw(_) => None,
        })
    }
}
