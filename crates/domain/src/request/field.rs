//! Typed reads of one field. Every refusal names the field, what was expected and what is there.
use super::{
    Refusal,
    cut::{Object, Text},
};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};
use std::{borrow::Cow, fmt::Display, ops::RangeInclusive};

/// `null` is as good as absent.
pub fn given(raw: &RawValue) -> bool {
    raw.get() != "null"
}

/// Reads a value; `expected` says in words what it is to be.
pub fn typed<'a, T: Deserialize<'a>>(name: &dyn Display, raw: &'a RawValue, expected: &str) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error: serde_json::Error| match error.classify() {
        // It is JSON, and more of it than can be read.
        Category::Syntax => Refusal::invalid(name.to_string(), beyond(&error)),
        Category::Data | Category::Eof | Category::Io => other(name, raw, expected),
    })
}

fn beyond(error: &serde_json::Error) -> String {
    let words = error.to_string();
    match words.split(" at line ").next().unwrap_or_default() {
        "recursion limit exceeded" => "it is nested too deeply".to_owned(),
        "number out of range" => "a number in it is out of range".to_owned(),
        words => words.to_owned(),
    }
}

fn other(name: &dyn Display, raw: &RawValue, expected: &str) -> Refusal {
    Refusal::wrong_type(name.to_string(), format!("expected {expected}, got {}", shown(raw)))
}

pub fn not_object(name: &dyn Display, raw: &RawValue) -> Refusal {
    other(name, raw, "an object")
}

pub fn text(name: &dyn Display, raw: &RawValue) -> Result<String, Refusal> {
    words(name, raw).map(Cow::into_owned)
}

/// As [`text`], borrowed where it can be.
pub fn words<'a>(name: &dyn Display, raw: &'a RawValue) -> Result<Cow<'a, str>, Refusal> {
    string(name, raw, "a string")
}

/// A string where other types are taken, too.
pub fn string<'a>(name: &dyn Display, raw: &'a RawValue, expected: &str) -> Result<Cow<'a, str>, Refusal> {
    match plain(raw.get()) {
        Some(text) => Ok(text.into()),
        None => typed(name, raw, expected).map(|Text(text)| text),
    }
}

/// A string without escapes is its own text. It is JSON already, so nothing else is to be looked for.
fn plain(raw: &str) -> Option<&str> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    memchr::memchr(b'\\', text.as_bytes()).is_none().then_some(text)
}

pub fn flag(name: &dyn Display, raw: &RawValue) -> Result<bool, Refusal> {
    typed(name, raw, "true or false")
}

/// An object in which no name stands twice.
pub fn object<'a>(name: &dyn Display, raw: &'a RawValue) -> Result<Object<'a>, Refusal> {
    whole_object(name, typed(name, raw, "an object")?)
}

pub fn whole_object<'a>(name: &dyn Display, object: Object<'a>) -> Result<Object<'a>, Refusal> {
    match object.twice() {
        Some(twice) => Err(Refusal::twice(format!("{name}.{twice}"))),
        None => Ok(object),
    }
}

pub fn number(name: &dyn Display, raw: &RawValue, range: RangeInclusive<f64>) -> Result<f64, Refusal> {
    within(name, float(name, raw, "a number")?, range)
}

pub fn count(name: &dyn Display, raw: &RawValue, range: RangeInclusive<u64>) -> Result<usize, Refusal> {
    let value = whole(name, raw)?;
    let (least, most) = (i128::from(*range.start()), i128::from(*range.end()));
    let value = within(name, value, least..=most)?;
    usize::try_from(value).map_err(|_| out_of_range(name, raw))
}

/// An integer, which clients also write as `16.0`.
pub fn whole(name: &dyn Display, raw: &RawValue) -> Result<i128, Refusal> {
    if let Ok(value) = raw.get().parse::<i128>() {
        return Ok(value);
    }
    let value = float(name, raw, "an integer")?;
    match value {
        _ if value.fract() != 0.0 => Err(Refusal::invalid(name.to_string(), format!("{value} is not a whole number"))),
        _ if value.abs() >= 1e18 => Err(out_of_range(name, raw)),
        _ => Ok(value as i128),
    }
}

/// Ids of tokens.
pub fn tokens(name: &dyn Display, raw: &RawValue) -> Result<Vec<u32>, Refusal> {
    const EXPECTED: &str = "a list of token ids";
    let numbers: Vec<f64> = typed(name, raw, EXPECTED)?;
    let token = |number: &f64| {
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number)).then_some(*number as u32)
    };
    let wrong = |number| Refusal::invalid(name.to_string(), format!("{number} is not the id of a token"));
    numbers.iter().map(|number| token(number).ok_or_else(|| wrong(number))).collect()
}

fn float(name: &dyn Display, raw: &RawValue, expected: &str) -> Result<f64, Refusal> {
    let is_number = raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
    // JSON that a double does not hold, such as 1e400.
    typed(name, raw, expected).map_err(|refusal| if is_number { out_of_range(name, raw) } else { refusal })
}

fn out_of_range(name: &dyn Display, raw: &RawValue) -> Refusal {
    Refusal::invalid(name.to_string(), format!("{} is out of range", clipped(raw.get())))
}

fn within<T: PartialOrd + Display>(name: &dyn Display, value: T, range: RangeInclusive<T>) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Refusal::invalid(name.to_string(), format!("{value} is not between {} and {}", range.start(), range.end())))
}

/// What stands there, in a few words.
fn shown(raw: &RawValue) -> Cow<'_, str> {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object".into(),
        Some(b'[') => "a list".into(),
        Some(b'"') => format!("the string {}", clipped(raw.get())).into(),
        _ => clipped(raw.get()),
    }
}

fn clipped(text: &str) -> Cow<'_, str> {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}
