//! From an input line to what an engine is asked. Pure.
use bytes::Bytes;
use engine::{Call, Endpoint, Key};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a worker needs of an input line. `custom_id` stays as it was written: it goes out unchanged.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: &'a RawValue,
    url: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// One request of a chunk, ready to run.
pub struct Request {
    /// A JSON string.
    pub custom_id: Bytes,
    pub call: Call,
}

/// Parses an input line that intake has validated. `endpoint` is the job's, `key` the line's.
pub fn request(line: &Bytes, endpoint: Option<&str>, key: Key) -> Result<Request, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let parsed: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let url = parsed.url.as_deref().or(endpoint).unwrap_or(Endpoint::Chat.url());
    let endpoint: Endpoint = url.parse().map_err(|_| format!("url '{url}' is not served"))?;
    let slice = |raw: &RawValue| line.slice_ref(raw.get().as_bytes());
    Ok(Request { custom_id: slice(parsed.custom_id), call: Call { endpoint, body: slice(parsed.body), key } })
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
    fn the_lines_own_url_comes_first() {
        let line = Bytes::from_static(br#"{"custom_id":"a","url":"/v1/completions","body":{"prompt":"x"}}"#);
        assert_eq!(
            request(&line, Some("/v1/chat/completions"), Key::seeded(0)).unwrap().call.endpoint,
            Endpoint::Completions
        );
        assert!(request(&Bytes::from_static(b"{}"), None, Key::seeded(0)).is_err());
    }
}
