//! One input line: what it must be, and one clear error where it is not.
use crate::{
    event::{Code, LineError},
    limits::{CUSTOM_ID_BYTES_MAX, REASON_CHARS_MAX},
};
use serde::{
    Deserialize,
    de::{IgnoredAny, value::MapAccessDeserializer},
};
use std::{borrow::Cow, collections::HashMap, marker::PhantomData};

/// The urls that are served.
pub const URLS: [&str; 2] = ["/v1/chat/completions", "/v1/completions"];

/// A line that passed: what routing and deduplication need of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub custom_id: Cow<'a, str>,
    pub model: Option<Cow<'a, str>>,
}

/// The parts of a line. `body` is typed, so that a wrong type is found before a GPU sees it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Option<Object<Body<'a>>>,
}

/// The fields of both endpoints whose types are known. Others are the worker's to take or refuse.
#[derive(Deserialize)]
#[allow(dead_code)] // most fields are here for their types alone
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    messages: Option<Vec<Object<Message<'a>>>>,
    #[serde(borrow)]
    prompt: Option<Prompt<'a>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    min_p: Option<f64>,
    n: Option<u64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    #[serde(borrow)]
    stop: Option<Prompt<'a>>,
    seed: Option<i64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    repetition_penalty: Option<f64>,
    logit_bias: Option<HashMap<Cow<'a, str>, f64>>,
    logprobs: Option<Logprobs>,
    top_logprobs: Option<u64>,
    #[serde(borrow)]
    response_format: Option<Object<Format<'a>>>,
    stream: Option<bool>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    store: Option<bool>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of content parts")]
#[allow(dead_code)]
enum Content {
    Text(IgnoredText),
    Parts(Vec<Object<Part>>),
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Part {
    r#type: IgnoredText,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings")]
#[allow(dead_code)]
enum Prompt<'a> {
    #[serde(borrow)]
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a boolean or a number")]
#[allow(dead_code)]
enum Logprobs {
    Wanted(bool),
    Count(u64),
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Format<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    json_schema: Option<IgnoredAny>,
}

/// A derived struct takes a JSON array for itself, field by field; a request's objects must be objects.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

/// A string that is looked at and not kept.
struct IgnoredText;

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = IgnoredText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, _: &str) -> Result<IgnoredText, E> {
                Ok(IgnoredText)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Checks line number `number` (1-based). `endpoint` is the job's: a line without `url` takes it, one with another is
/// refused. Without one, each line may name any served url, and none means chat.
pub fn check<'a>(bytes: &'a [u8], number: u64, endpoint: Option<&str>) -> Result<Request<'a>, LineError> {
    let fail = |code, param: Option<&str>, message: String| mistake(number, code, param, &message);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let message = format!("the line is not valid UTF-8 at byte {}; save the file as UTF-8", e.valid_up_to() + 1);
        fail(Code::InvalidUtf8, None, message)
    })?;
    let Object(line): Object<Line<'a>> = serde_json::from_str(text).map_err(|e| explain(text, &e, number))?;
    let custom_id = custom_id(line.custom_id).map_err(|(code, why)| fail(code, Some("custom_id"), why))?;
    if let Some(method) = line.method.filter(|m| m != "POST") {
        let message = format!("method is '{method}'; only POST is served");
        return Err(fail(Code::InvalidMethod, Some("method"), message));
    }
    let url = url(line.url.as_deref(), endpoint).map_err(|why| fail(Code::UrlMismatch, Some("url"), why))?;
    let Some(Object(body)) = line.body else {
        return Err(fail(Code::MissingRequiredParameter, Some("body"), "body is missing".into()));
    };
    check_body(&body, url).map_err(|(code, param, why)| fail(code, Some(param), why))?;
    Ok(Request { custom_id, model: body.model })
}

fn custom_id(id: Option<Cow<'_, str>>) -> Result<Cow<'_, str>, (Code, String)> {
    match id {
        None => Err((Code::MissingRequiredParameter, "custom_id is missing".into())),
        Some(id) if id.is_empty() => Err((Code::InvalidValue, "custom_id is empty".into())),
        Some(id) if id.len() > CUSTOM_ID_BYTES_MAX => {
            Err((Code::InvalidValue, format!("custom_id is longer than {CUSTOM_ID_BYTES_MAX} bytes")))
        }
        Some(id) => Ok(id),
    }
}

fn url<'u>(url: Option<&str>, endpoint: Option<&'u str>) -> Result<&'u str, String> {
    match (url, endpoint) {
        (None, None) => Ok(URLS[0]),
        (None, Some(endpoint)) => Ok(endpoint),
        (Some(url), Some(endpoint)) if url != endpoint => {
            Err(format!("url is '{url}'; the job's endpoint is {endpoint}"))
        }
        (Some(url), _) => {
            let known = URLS.into_iter().find(|known| *known == url);
            known.ok_or_else(|| format!("url '{url}' is not served; use {} or {}", URLS[0], URLS[1]))
        }
    }
}

fn check_body(body: &Body<'_>, url: &str) -> Result<(), (Code, &'static str, String)> {
    let chat = url == URLS[0];
    match (chat, &body.messages, &body.prompt) {
        (true, None, _) => Err((Code::MissingRequiredParameter, "body.messages", "body.messages is missing".into())),
        (true, Some(messages), _) if messages.is_empty() => {
            Err((Code::InvalidValue, "body.messages", "body.messages is empty".into()))
        }
        (false, _, None) => Err((Code::MissingRequiredParameter, "body.prompt", "body.prompt is missing".into())),
        _ => Ok(()),
    }
}

/// The slow path of a line that does not parse: is it JSON at all, and if so, which field has the wrong type?
fn explain(text: &str, error: &serde_json::Error, number: u64) -> LineError {
    let error_at = |code, param: Option<&str>, message: String| mistake(number, code, param, &message);
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        let place = format!("not valid JSON at column {}: {}", error.column(), reason(error));
        return error_at(Code::InvalidJsonLine, None, place);
    }
    let typed: Result<Object<Line<'_>>, _> =
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text));
    let Err(typed) = typed else { return error_at(Code::InvalidJsonLine, None, reason(error)) };
    match typed.path().to_string() {
        path if path == "." => error_at(Code::InvalidJsonLine, None, "a line must be one JSON object".into()),
        path if typed.inner().to_string().starts_with("missing field") => {
            error_at(Code::MissingRequiredParameter, Some(&path), format!("{path}: {}", reason(typed.inner())))
        }
        path => error_at(Code::InvalidType, Some(&path), format!("{path}: {}", reason(typed.inner()))),
    }
}

/// serde_json's words without the position it adds.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before).to_owned()
}

/// Bounded: the words, and the path to the field, may quote the input, and the errors of a job go into one message.
fn mistake(number: u64, code: Code, param: Option<&str>, message: &str) -> LineError {
    let clipped = |text: &str| text.chars().take(REASON_CHARS_MAX).collect();
    LineError { code, line: Some(number), param: param.map(clipped), message: clipped(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"temperature":0}}"#;

    fn refused(line: &str) -> (Code, Option<String>) {
        let error = check(line.as_bytes(), 17, None).unwrap_err();
        assert_eq!(error.line, Some(17));
        assert!(!error.message.is_empty());
        (error.code, error.param)
    }

    #[test]
    fn a_good_line_gives_its_id_and_model() {
        let request = check(GOOD.as_bytes(), 1, None).unwrap();
        assert_eq!((&*request.custom_id, request.model.as_deref()), ("a", Some("tiny")));
    }

    #[test]
    fn url_and_method_may_be_left_out() {
        let line = br#"{"custom_id":"a","body":{"prompt":["x","y"]}}"#;
        assert!(check(line, 1, Some("/v1/completions")).is_ok());
        assert!(
            check(
                br#"{"custom_id":"a","body":{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}}"#,
                1,
                None
            )
            .is_ok()
        );
    }

    #[test]
    fn each_mistake_has_its_code_and_field() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        let param = |p: &str| Some(p.to_owned());
        for (line, code, field) in [
            ("{".to_owned(), Code::InvalidJsonLine, None),
            ("[1]".to_owned(), Code::InvalidJsonLine, None),
            (format!("{GOOD} x"), Code::InvalidJsonLine, None),
            (with(r#""custom_id":"a","#, ""), Code::MissingRequiredParameter, param("custom_id")),
            (with(r#""custom_id":"a""#, r#""custom_id":7"#), Code::InvalidType, param("custom_id")),
            (with(r#""custom_id":"a""#, r#""custom_id":"""#), Code::InvalidValue, param("custom_id")),
            (
                with(r#"{"role":"user","content":"Hi"}"#, r#"["user","Hi"]"#),
                Code::InvalidType,
                param("body.messages[0]"),
            ),
            (with("POST", "GET"), Code::InvalidMethod, param("method")),
            (with("/v1/chat/completions", "/v1/embeddings"), Code::UrlMismatch, param("url")),
            (with(r#""temperature":0"#, r#""temperature":"hot""#), Code::InvalidType, param("body.temperature")),
            (with(r#""temperature":0"#, r#""max_tokens":-5"#), Code::InvalidType, param("body.max_tokens")),
            (with(r#""temperature":0"#, r#""stop":5"#), Code::InvalidType, param("body.stop")),
            (with(r#"[{"role":"user","content":"Hi"}]"#, r#"[]"#), Code::InvalidValue, param("body.messages")),
            (with(r#"{"role":"user","content":"Hi"}"#, r#""Hi""#), Code::InvalidType, param("body.messages[0]")),
            (with(r#""content":"Hi""#, r#""content":5"#), Code::InvalidType, param("body.messages[0].content")),
            (
                with(r#""messages":[{"role":"user","content":"Hi"}],"#, ""),
                Code::MissingRequiredParameter,
                param("body.messages"),
            ),
            (r#"{"custom_id":"a"}"#.to_owned(), Code::MissingRequiredParameter, param("body")),
        ] {
            assert_eq!(refused(&line), (code, field), "{line}");
        }
    }

    #[test]
    fn a_mistake_is_short_however_long_its_field_is() {
        let long =
            format!(r#"{{"custom_id":"a","body":{{"prompt":"x","logit_bias":{{"{}":"no"}}}}}}"#, "k".repeat(9_999));
        let error = check(long.as_bytes(), 1, Some("/v1/completions")).unwrap_err();
        assert!(error.param.as_deref().unwrap().starts_with("body.logit_bias.kkk"), "{error:?}");
        let chars = [error.param.unwrap(), error.message].map(|text| text.chars().count());
        assert_eq!(chars, [REASON_CHARS_MAX; 2]);
    }

    #[test]
    fn invalid_utf8_names_the_byte() {
        let error = check(b"{\"custom_id\":\"\xff\"}", 3, None).unwrap_err();
        assert_eq!(error.code, Code::InvalidUtf8);
        assert!(error.message.contains("byte 15"), "{}", error.message);
    }

    #[test]
    fn a_line_of_another_endpoint_than_the_jobs_is_refused() {
        let error = check(GOOD.as_bytes(), 1, Some("/v1/completions")).unwrap_err();
        assert_eq!(error.code, Code::UrlMismatch);
    }
}
