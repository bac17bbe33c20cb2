//! One input line: what it must be, and one clear error where it is not.
mod broken;
mod cut;

use crate::{
    Pool,
    event::{Code, LineError},
    limits::{CUSTOM_ID_BYTES_MAX, REASON_CHARS_MAX},
    load::Ask,
    request::{Body, Embed, Endpoint, Refusal, ask, body, cut::Cut, field},
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The urls that are served.
pub const URLS: [&str; 3] = [Endpoint::Chat.url(), Endpoint::Completions.url(), Endpoint::Embeddings.url()];

/// Who reads the bodies of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reader<'p> {
    /// An engine of ours: what it will refuse is known beforehand.
    #[default]
    Own,
    /// An engine of ours that makes embeddings, of this pool.
    Embeds(&'p Pool),
    /// A server elsewhere, which knows fields of its own: what it will refuse only it can say.
    Server,
}

/// A line that passed: what routing and deduplication need of it, and what an engine will be asked.
#[derive(Debug, PartialEq)]
pub struct Request<'a> {
    pub custom_id: Cow<'a, str>,
    pub model: Option<String>,
    /// None: a server elsewhere reads it, or it asks for embeddings. A refusal is no error of the file: the request will be
    /// answered with it.
    pub body: Result<Option<Body>, Refusal>,
    /// Its prompt or texts, or from the first of its messages' texts to the last, as it stands there.
    pub input: &'a str,
    /// How much it asks for.
    pub ask: Ask,
}

/// A mistake in a field. Which line it is in, [`check`] says.
fn wrong(code: Code, param: &str, message: impl Into<String>) -> LineError {
    LineError { param: Some(param.to_owned()), ..of_line(code, message) }
}

fn of_line(code: Code, message: impl Into<String>) -> LineError {
    LineError { code, line: None, param: None, message: message.into() }
}

/// Of a field of the line itself.
fn of_field(refusal: Refusal) -> LineError {
    LineError { code: Code::of(&refusal), line: None, param: refusal.param, message: refusal.message }
}

fn of_body(refusal: Refusal) -> LineError {
    LineError { param: Some(below_body(refusal.param.as_deref())), ..of_field(refusal) }
}

/// A body's field as a line's.
pub fn below_body(param: Option<&str>) -> String {
    param.map_or_else(|| "body".to_owned(), |param| format!("body.{param}"))
}

/// Checks line number `number` (1-based). `endpoint` is the job's: a line without `url` takes it, one with another is
/// refused. Without one, each line may name any served url, and none means chat.
pub fn check<'a>(bytes: &'a [u8], number: u64, endpoint: Option<&str>) -> Result<Request<'a>, LineError> {
    check_for(bytes, number, endpoint, |_| Reader::Own)
}

/// The same where `reader` tells by the line's model who reads its body.
pub fn check_for<'a, 'p>(
    bytes: &'a [u8],
    number: u64,
    endpoint: Option<&str>,
    reader: impl Fn(Option<&str>) -> Reader<'p>,
) -> Result<Request<'a>, LineError> {
    read(bytes, endpoint, reader).map_err(|error| bounded(number, error))
}

fn read<'a, 'p>(
    bytes: &'a [u8],
    endpoint: Option<&str>,
    reader: impl Fn(Option<&str>) -> Reader<'p>,
) -> Result<Request<'a>, LineError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let message = format!("the line is not valid UTF-8 at byte {}; save the file as UTF-8", e.valid_up_to() + 1);
        of_line(Code::InvalidUtf8, message)
    })?;
    let line = parts(text)?;
    let custom_id = custom_id(line.raw("custom_id"))?;
    method(line.raw("method"))?;
    let endpoint = url(line.raw("url"), endpoint)?;
    if let Some(raw) = line.raw("body") {
        return Err(of_field(field::not_object(&"body", raw)));
    }
    let refused = line.raw("refused").map(|raw| field::words(&"refused", raw)).transpose().map_err(of_field)?;
    let body = line.body().ok_or_else(|| wrong(Code::MissingRequiredParameter, "body", "body is missing"))?;
    if let Some(why) = refused {
        let (model, ask) = (body::model(&body).map(Cow::into_owned), ask::of(endpoint, &body, ""));
        return Ok(Request { custom_id, model, body: Err(Refusal::row(why)), input: "", ask });
    }
    let (model, input) = (body::model(&body), body::span(text, endpoint, &body));
    let ask = ask::of(endpoint, &body, input);
    let reader = reader(model.as_deref());
    let (model, body) = asked(endpoint, reader, model, body)?;
    Ok(Request { custom_id, model, body, input, ask })
}

/// A request's model, and its body as far as its reader reads it.
type Asked = (Option<String>, Result<Option<Body>, Refusal>);

fn asked(
    endpoint: Endpoint,
    reader: Reader<'_>,
    model: Option<Cow<'_, str>>,
    body: Cut<'_>,
) -> Result<Asked, LineError> {
    let (model, read) = match (reader, endpoint) {
        (Reader::Server, _) => {
            body::outline(endpoint, &body).map_err(of_body)?;
            (model.map(Cow::into_owned), Ok(None))
        }
        (Reader::Embeds(_), Endpoint::Embeddings) => {
            let (model, embed) = Embed::of(body);
            (model, embed.map(|_| None))
        }
        (Reader::Own, Endpoint::Chat | Endpoint::Completions) => {
            let (model, body) = Body::of(endpoint, body);
            (model, body.map(Some))
        }
        (Reader::Embeds(_) | Reader::Own, _) => return Err(unserved(endpoint, reader)),
    };
    match read {
        Err(refusal) if refusal.is_shape() => Err(of_body(refusal)),
        read => Ok((model, read)),
    }
}

fn unserved(endpoint: Endpoint, reader: Reader<'_>) -> LineError {
    let message = match reader {
        Reader::Embeds(pool) => format!(
            "the request's pool '{pool}' makes embeddings and does not serve {endpoint}; its lines have the url {}",
            Endpoint::Embeddings
        ),
        Reader::Own | Reader::Server => format!(
            "the request's pool does not serve {endpoint}; one of kind 'openai' does, or one with task = \"embeddings\""
        ),
    };
    wrong(Code::UrlMismatch, "url", message)
}

fn parts(text: &str) -> Result<cut::Line<'_>, LineError> {
    let line = cut::Line::of(text).map_err(|_| of_line(Code::InvalidJsonLine, broken::explain(text)))?;
    if let Some(half) = broken::half(text) {
        return Err(of_line(Code::InvalidJsonLine, half));
    }
    match line.twice() {
        Some(name) => Err(of_field(Refusal::twice(name))),
        None => Ok(line),
    }
}

fn custom_id(raw: Option<&RawValue>) -> Result<Cow<'_, str>, LineError> {
    const NAME: &str = "custom_id";
    let raw = raw.ok_or_else(|| wrong(Code::MissingRequiredParameter, NAME, "custom_id is missing"))?;
    let id = field::words(&NAME, raw).map_err(of_field)?;
    match id.len() {
        0 => Err(wrong(Code::InvalidValue, NAME, "custom_id is empty")),
        1..=CUSTOM_ID_BYTES_MAX => Ok(id),
        _ => {
            let message = format!("custom_id is longer than {CUSTOM_ID_BYTES_MAX} bytes");
            Err(wrong(Code::InvalidValue, NAME, message))
        }
    }
}

fn method(raw: Option<&RawValue>) -> Result<(), LineError> {
    let method = raw.map(|raw| field::words(&"method", raw)).transpose().map_err(of_field)?;
    match method.filter(|method| method != "POST") {
        None => Ok(()),
        Some(other) => Err(wrong(Code::InvalidMethod, "method", format!("method is '{other}'; only POST is served"))),
    }
}

fn url(raw: Option<&RawValue>, endpoint: Option<&str>) -> Result<Endpoint, LineError> {
    let url = raw.map(|raw| field::words(&"url", raw)).transpose().map_err(of_field)?;
    let mismatch = |message: String| wrong(Code::UrlMismatch, "url", message);
    if let (Some(url), Some(endpoint)) = (&url, endpoint)
        && url != endpoint
    {
        return Err(mismatch(format!("url is '{url}'; the job's endpoint is {endpoint}")));
    }
    let Some(url) = url.as_deref().or(endpoint) else { return Ok(Endpoint::Chat) };
    url.parse().map_err(|_| {
        mismatch(format!(
            "url '{url}' is not served; use {} or {}, or {} for a pool that makes embeddings",
            URLS[0], URLS[1], URLS[2]
        ))
    })
}

/// Bounded: the words, and the path to the field, may quote the input, and the errors of a job go into one message.
fn bounded(number: u64, error: LineError) -> LineError {
    LineError { line: Some(number), param: error.param.map(clipped), message: clipped(error.message), ..error }
}

pub(crate) fn clipped(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(REASON_CHARS_MAX) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests;
