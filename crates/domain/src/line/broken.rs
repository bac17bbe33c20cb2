//! In plain words, what is wrong with a line that is not one JSON object.
use serde::de::IgnoredAny;
use serde_json::{Error, Value, error::Category};

/// Words of other languages that stand where a JSON value is expected.
const FOREIGN: [&str; 8] = ["NaN", "nan", "-Infinity", "Infinity", "inf", "None", "True", "False"];

pub fn explain(text: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => {
            half(text).unwrap_or_else(|| format!("a line must be one JSON object, and this one is {}", kind(text)))
        }
        Err(error) => {
            let error = better(text, error);
            format!("not valid JSON at column {}: {}", column(text, error.column()), reason(text, &error))
        }
    }
}

/// A reader that keeps what it reads has better words for the same place ("trailing comma").
fn better(text: &str, error: Error) -> Error {
    let other = serde_json::from_str::<Value>(text).err();
    other.filter(|other| other.column() == error.column()).unwrap_or(error)
}

fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    }
}

fn reason(text: &str, error: &Error) -> String {
    let words = words(error);
    let rest = text.get(error.column().saturating_sub(1)..).unwrap_or_default();
    match words.as_str() {
        _ if error.classify() == Category::Eof => format!("the line is cut off ({words})"),
        "trailing characters" if rest.starts_with('{') => {
            "more than one object on the line; write one a line (with curl use --data-binary, which keeps line ends)"
                .to_owned()
        }
        "trailing characters" if rest.starts_with(',') => {
            "a comma after the object; write one object a line, with nothing between".to_owned()
        }
        _ => match (foreign(text, error.column()), strange(rest)) {
            (Some(word), _) => format!("{word} is not JSON ({words})"),
            (None, Some(letter)) => format!("the character U+{:04X} stands there ({words})", u32::from(letter)),
            (None, None) => words,
        },
    }
}

/// A character that no JSON has outside of its strings, and that an editor may not show.
fn strange(rest: &str) -> Option<char> {
    let is_known = |letter: &char| letter.is_ascii_graphic() || letter.is_ascii_whitespace();
    rest.chars().next().filter(|letter| !is_known(letter))
}

/// serde_json's words without the position it adds.
fn words(error: &Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before).to_owned()
}

/// The word around a column (1-based, in bytes), if it is one that other languages write for a value.
fn foreign(text: &str, column: usize) -> Option<&'static str> {
    let at = column.saturating_sub(1).min(text.len());
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    let before = text.as_bytes()[..at].iter().rev().take_while(|b| is_word(b)).count();
    let word = &text.as_bytes()[at - before..];
    let word = &word[..word.iter().take_while(|b| is_word(b)).count()];
    FOREIGN.into_iter().find(|foreign| foreign.as_bytes() == word)
}

/// The column in characters, as editors count it.
fn column(text: &str, bytes: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < bytes).count().max(1)
}

/// JSON takes `\ud83d` without its other half, and no text can hold it: what is said of the first one.
pub fn half(text: &str) -> Option<String> {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'\\', &text.as_bytes()[from..]) {
        let at = from + found;
        from = match unit(text, at) {
            None => at + 2,
            Some(0xd800..=0xdbff) if matches!(unit(text, at + 6), Some(0xdc00..=0xdfff)) => at + 12,
            Some(0xd800..=0xdfff) => return Some(halved(text, at)),
            Some(_) => at + 6,
        };
    }
    None
}

fn halved(text: &str, at: usize) -> String {
    let escape = text.get(at..at + 6).unwrap_or_default();
    let column = column(text, at + 1);
    format!("half of a surrogate pair at column {column}: {escape} has no other half, so a character was cut in two")
}

/// The code unit of the escape `\uXXXX` at this byte.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}
