//! One input line: what it must be, and one clear error where it is not.
mod broken;
mod cut;

use crate::{
    event::{Code, LineError},
    limits::{CUSTOM_ID_BYTES_MAX, REASON_CHARS_MAX},
    request::{Body, Endpoint, Refusal, field},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The urls that are served.
pub const URLS: [&str; 2] = [Endpoint::Chat.url(), Endpoint::Completions.url()];

/// A line that passed: what routing and deduplication need of it, and what an engine will be asked.
#[derive(Debug, PartialEq)]
pub struct Request<'a> {
    pub custom_id: Cow<'a, str>,
    pub model: Option<String>,
    /// A refusal is no error of the file: the request will be answered with it.
    pub body: Result<Body, Refusal>,
}

/// Why a line is not taken: code, field, words.
struct Fault {
    code: Code,
    param: Option<String>,
    message: String,
}

impl Fault {
    fn new(code: Code, param: &str, message: impl Into<String>) -> Self {
        Self { code, param: Some(param.to_owned()), message: message.into() }
    }

    fn of_line(code: Code, message: impl Into<String>) -> Self {
        Self { code, param: None, message: message.into() }
    }

    /// Of a field of the line itself.
    fn of_field(refusal: Refusal) -> Self {
        Self { code: Code::of(&refusal), param: refusal.param, message: refusal.message }
    }

    fn of_body(refusal: Refusal) -> Self {
        Self { param: Some(below_body(refusal.param.as_deref())), ..Self::of_field(refusal) }
    }
}

/// A body's field as a line's.
pub fn below_body(param: Option<&str>) -> String {
    param.map_or_else(|| "body".to_owned(), |param| format!("body.{param}"))
}

/// Checks line number `number` (1-based). `endpoint` is the job's: a line without `url` takes it, one with another is
/// refused. Without one, each line may name any served url, and none means chat.
pub fn check<'a>(bytes: &'a [u8], number: u64, endpoint: Option<&str>) -> Result<Request<'a>, LineError> {
    read(bytes, endpoint).map_err(|fault| mistake(number, fault))
}

fn read<'a>(bytes: &'a [u8], endpoint: Option<&str>) -> Result<Request<'a>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let message = format!("the line is not valid UTF-8 at byte {}; save the file as UTF-8", e.valid_up_to() + 1);
        Fault::of_line(Code::InvalidUtf8, message)
    })?;
    let line = parts(text)?;
    let custom_id = custom_id(line.custom_id)?;
    method(line.method)?;
    let endpoint = url(line.url, endpoint)?;
    let body = match line.body {
        Some(cut::Body::Cut(body)) => body,
        Some(cut::Body::Other(raw)) => return Err(Fault::of_field(field::not_object(&"body", raw))),
        None => return Err(Fault::new(Code::MissingRequiredParameter, "body", "body is missing")),
    };
    match Body::of(endpoint, body) {
        (_, Err(refusal)) if refusal.is_shape() => Err(Fault::of_body(refusal)),
        (model, body) => Ok(Request { custom_id, model, body }),
    }
}

fn parts(text: &str) -> Result<cut::Line<'_>, Fault> {
    let line = cut::Line::of(text).map_err(|_| Fault::of_line(Code::InvalidJsonLine, broken::explain(text)))?;
    if let Some(half) = broken::half(text) {
        return Err(Fault::of_line(Code::InvalidJsonLine, half));
    }
    match line.twice() {
        Some(name) => Err(Fault::of_field(Refusal::twice(name))),
        None => Ok(line),
    }
}

fn custom_id(raw: Option<&RawValue>) -> Result<Cow<'_, str>, Fault> {
    const NAME: &str = "custom_id";
    let raw = raw.ok_or_else(|| Fault::new(Code::MissingRequiredParameter, NAME, "custom_id is missing"))?;
    let id = field::words(&NAME, raw).map_err(Fault::of_field)?;
    match id.len() {
        0 => Err(Fault::new(Code::InvalidValue, NAME, "custom_id is empty")),
        1..=CUSTOM_ID_BYTES_MAX => Ok(id),
        _ => {
            let message = format!("custom_id is longer than {CUSTOM_ID_BYTES_MAX} bytes");
            Err(Fault::new(Code::InvalidValue, NAME, message))
        }
    }
}

fn method(raw: Option<&RawValue>) -> Result<(), Fault> {
    let method = raw.map(|raw| field::words(&"method", raw)).transpose().map_err(Fault::of_field)?;
    match method.filter(|method| method != "POST") {
        None => Ok(()),
        Some(other) => {
            Err(Fault::new(Code::InvalidMethod, "method", format!("method is '{other}'; only POST is served")))
        }
    }
}

fn url(raw: Option<&RawValue>, endpoint: Option<&str>) -> Result<Endpoint, Fault> {
    let url = raw.map(|raw| field::words(&"url", raw)).transpose().map_err(Fault::of_field)?;
    let wrong = |message: String| Fault::new(Code::UrlMismatch, "url", message);
    if let (Some(url), Some(endpoint)) = (&url, endpoint)
        && url != endpoint
    {
        return Err(wrong(format!("url is '{url}'; the job's endpoint is {endpoint}")));
    }
    let Some(url) = url.as_deref().or(endpoint) else { return Ok(Endpoint::Chat) };
    url.parse().map_err(|_| wrong(format!("url '{url}' is not served; use {} or {}", URLS[0], URLS[1])))
}

/// Bounded: the words, and the path to the field, may quote the input, and the errors of a job go into one message.
fn mistake(number: u64, fault: Fault) -> LineError {
    let Fault { code, param, message } = fault;
    LineError { code, line: Some(number), param: param.map(clipped), message: clipped(message) }
}

pub(crate) fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(REASON_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
