//! What a forecast needs to know of a request, read from its body's pieces: also where a server elsewhere reads the body.
use super::{
    Endpoint,
    cut::{Cut, Field, Object},
    field,
};
use crate::{
    limits::TEXT_TOKENS_DEFAULT,
    load::{self, Ask},
};
use serde_json::value::RawValue;

/// Bytes of a prompt without a system message that tell its template.
const TEMPLATE_BYTES: usize = 16;

/// `input` is what [`super::body::span`] gives.
pub(crate) fn of(endpoint: Endpoint, cut: &Cut<'_>, input: &str) -> Ask {
    let caps = ["max_completion_tokens", "max_tokens"].into_iter().find_map(|name| number(cut, name));
    let caps = caps.or((endpoint == Endpoint::Completions).then_some(TEXT_TOKENS_DEFAULT as u64));
    let choices = number(cut, "n").unwrap_or(1).max(1);
    let cap = caps.map(|cap| u32::try_from(cap.saturating_mul(choices)).unwrap_or(u32::MAX));
    let template = system(cut).map_or(&input.as_bytes()[..input.len().min(TEMPLATE_BYTES)], str::as_bytes);
    Ask { prompt_bytes: u32::try_from(input.len()).unwrap_or(u32::MAX), cap, template: load::hash(template) }
}

fn number(cut: &Cut<'_>, wanted: &str) -> Option<u64> {
    cut.0.iter().find_map(|(name, piece)| match piece {
        Field::Raw(raw) if name == wanted => raw.get().parse().ok(),
        Field::Raw(_) | Field::Messages(_) => None,
    })
}

/// The first message's content, if it is the system's.
fn system<'a>(cut: &Cut<'a>) -> Option<&'a str> {
    let messages = cut.0.iter().find_map(|(_, piece)| match piece {
        Field::Messages(messages) => Some(messages),
        Field::Raw(_) => None,
    })?;
    let first = messages.first()?;
    let role = field::words(&"role", value(first, "role")?).ok()?;
    matches!(&*role, "system" | "developer").then_some(value(first, "content")?.get())
}

fn value<'a>(object: &Object<'a>, wanted: &str) -> Option<&'a RawValue> {
    object.0.iter().find(|(name, _)| name == wanted).map(|(_, raw)| *raw)
}
