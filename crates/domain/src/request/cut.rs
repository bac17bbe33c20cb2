//! A JSON object, cut into its fields in one pass. What stands at some names is cut further at once, so that long texts
//! are not passed over twice.
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// An object's fields in their order, not yet read.
pub struct Object<'a, P = &'a RawValue>(pub Vec<(Cow<'a, str>, P)>);

/// What a field's value is cut into.
pub trait Piece<'a>: Sized {
    /// Fields that most such objects have no more of.
    const USUAL: usize;

    /// Takes the value at `name`. Fails where it is of another shape than it is cut by, too.
    fn cut<A: MapAccess<'a>>(name: &str, map: &mut A) -> Result<Self, A::Error>;

    /// The same of any value, for objects in which one of them was of another shape.
    fn whole(name: &str, raw: &'a RawValue) -> Self;
}

impl<'a> Piece<'a> for &'a RawValue {
    const USUAL: usize = 4;

    fn cut<A: MapAccess<'a>>(_: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }

    fn whole(_: &str, raw: &'a RawValue) -> Self {
        raw
    }
}

/// A body.
pub type Cut<'a> = Object<'a, Field<'a>>;

pub enum Field<'a> {
    Raw(&'a RawValue),
    /// `messages`, where it is a list of objects.
    Messages(Vec<Object<'a>>),
}

impl<'a> Piece<'a> for Field<'a> {
    const USUAL: usize = 16;

    fn cut<A: MapAccess<'a>>(name: &str, map: &mut A) -> Result<Self, A::Error> {
        match name {
            "messages" => map.next_value().map(Self::Messages),
            _ => map.next_value().map(Self::Raw),
        }
    }

    fn whole(_: &str, raw: &'a RawValue) -> Self {
        Self::Raw(raw)
    }
}

impl<'a, P: Piece<'a>> Object<'a, P> {
    /// Fails where the text is no JSON object.
    pub fn of(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).or_else(|_| serde_json::from_str(text).map(Self::whole))
    }

    fn whole(Object(fields): Object<'a>) -> Self {
        let fields = fields.into_iter().map(|(name, raw)| {
            let piece = P::whole(&name, raw);
            (name, piece)
        });
        Self(fields.collect())
    }
}

/// Names that are compared one by one; more are sorted.
const FEW: usize = 32;

impl<P> Object<'_, P> {
    /// A name that stands twice.
    pub fn twice(&self) -> Option<&str> {
        let fields = &self.0;
        if fields.len() > FEW {
            let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
            names.sort_unstable();
            return names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        }
        let mut names = fields.iter().enumerate();
        let again = names.find(|(at, (name, _))| fields[..*at].iter().any(|(other, _)| other == name));
        again.map(|(_, (name, _))| &**name)
    }
}

/// Text that borrows where it can: a bare `Cow` never does.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de, P: Piece<'de>> Deserialize<'de> for Object<'de, P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<P>(PhantomData<P>);

impl<'de, P: Piece<'de>> Visitor<'de> for Fields<P> {
    type Value = Object<'de, P>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de, P>, A::Error> {
        let mut fields = Vec::with_capacity(P::USUAL);
        while let Some(Text(name)) = map.next_key()? {
            let piece = P::cut(&name, &mut map)?;
            fields.push((name, piece));
        }
        Ok(Object(fields))
    }
}
