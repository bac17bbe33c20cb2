//! From an input line to what an engine is asked. Pure.
use bytes::Bytes;
use domain::request::Refusal;
use engine::{Call, Endpoint, Key};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a worker needs of an input line. `custom_id` stays as it was written: it goes out unchanged.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: &'a RawValue,
    url: Option<String>,
    refused: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// One request of a chunk, ready to run.
pub struct Request {
    /// A JSON string.
    pub custom_id: Bytes,
    pub call: Call,
    /// It is answered with this, and no engine is asked.
    pub refused: Option<Refusal>,
}

/// Parses an input line that intake has validated. `endpoint` is the job's, `key` the line's.
pub fn request(line: &Bytes, endpoint: Option<&str>, key: Key) -> Result<Request, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let parsed: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let url = parsed.url.as_deref().or(endpoint).unwrap_or(Endpoint::Chat.url());
    let endpoint: Endpoint = url.parse().map_err(|_| format!("url '{url}' is not served"))?;
    let slice = |raw: &RawValue| line.slice_ref(raw.get().as_bytes());
    let (custom_id, call) = (slice(parsed.custom_id), Call { endpoint, body: slice(parsed.body), key });
    Ok(Request { custom_id, call, refused: parsed.refused.map(Refusal::row) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::line;

    #[test]
    fn a_request_keeps_its_custom_id() {
        let line = Bytes::from_static(br#"{"custom_id":"a\"\u00e9","body":{"messages":[]}}"#);
        let request = request(&line, None, Key::seeded(0)).unwrap();
        assert_eq!(request.call.endpoint, Endpoint::Chat);
        assert_eq!(&request.call.body[..], br#"{"messages":[]}"#);
        assert_eq!(request.custom_id, line::custom_id(&line));
    }

    #[test]
    fn a_line_that_is_no_request_has_the_reason() {
        let line = Bytes::from_static(br#"{"custom_id":"a","refused":"column `t` is null","body":{}}"#);
        let refused = request(&line, None, Key::seeded(0)).unwrap().refused.unwrap();
        assert_eq!((refused.message.as_str(), refused.code), ("column `t` is null", Some("invalid_row")));
    }

    #[test]
    fn the_lines_own_url_comes_first() {
        let line = Bytes::from_static(br#"{"custom_id":"a","url":"/v1/completions","body":{"prompt":"x"}}"#);
        assert_eq!(
            request(&line, Some("/v1/chat/completions"), Key::seeded(0)).unwrap().call.endpoint,
            Endpoint::Completions
        );
        assert!(request(&Bytes::from_static(b"{}"), None, Key::seeded(0)).is_err());
    }
}
