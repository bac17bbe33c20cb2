//! What a client publishes on `jobs.submit` and `jobs.control`: JSON or MessagePack.
use domain::{hint, limits::REASON_CHARS_MAX};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::error::Error;
use wire::envelope::{self, DecodeError, JSON, MSGPACK};

/// Without a content type, what begins as a map or a list of MessagePack does is MessagePack, and all else is JSON. The
/// reason of a refusal follows on "is": it is short, since it may quote the input and stands in the log, where a message
/// has its maximum.
pub fn read<T: DeserializeOwned>(content_type: Option<&str>, payload: &[u8]) -> Result<T, String> {
    let is_msgpack = match content_type {
        Some(kind) if kind.starts_with(JSON) => false,
        Some(kind) if kind.starts_with(MSGPACK) => true,
        Some(_) | None => matches!(payload.first(), Some(0x80..=0x9f | 0xdc..=0xdf)),
    };
    let read = if is_msgpack {
        envelope::decode("message", payload).map_err(|e| format!("not valid MessagePack: {}", cause(&e)))
    } else {
        json(payload)
    };
    read.map_err(|why| why.chars().take(REASON_CHARS_MAX).collect())
}

fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    match text.trim_ascii_start().first() {
        None => return Err("empty; send one JSON object".to_owned()),
        // serde would take an array for an object, its items for the fields in their order.
        Some(b'[') => return Err("a JSON array; send one JSON object".to_owned()),
        Some(_) => {}
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        wrong(text, &path, error.inner())
    })?;
    reader.end().map(|()| read).map_err(|error| wrong(text, ".", &error))
}

/// Of broken JSON the parser's own words, of other JSON what was expected where.
fn wrong(text: &[u8], path: &str, error: &serde_json::Error) -> String {
    match (error.classify(), hint::binary(text)) {
        (Category::Data, _) if path == "." => format!("not what is expected: {error}"),
        (Category::Data, _) => format!("wrong in '{path}': {error}"),
        (_, Some(what)) => format!("no JSON: it {what}"),
        _ => format!("not valid JSON: {error}"),
    }
}

fn cause(error: &DecodeError) -> &dyn Error {
    error.source().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::submission::Submission;

    fn why(content_type: Option<&str>, payload: &[u8]) -> String {
        read::<Submission>(content_type, payload).unwrap_err()
    }

    #[test]
    fn the_form_is_named_or_shows() {
        let text = br#" {"input":"x"}"#;
        let submission: Submission = read(None, text).unwrap();
        assert_eq!(read(Some("application/json; charset=utf-8"), text), Ok(submission.clone()));
        assert_eq!(read(Some("application/octet-stream"), text), Ok(submission.clone()));
        assert_eq!(read(None, &[b"\xef\xbb\xbf", &text[..]].concat()), Ok(submission.clone()));
        let packed = wire::envelope::encode(&submission);
        assert_eq!(read(None, &packed), Ok(submission.clone()));
        assert_eq!(read(Some("application/msgpack"), &packed), Ok(submission));
        assert!(why(Some("application/msgpack"), text).starts_with("not valid MessagePack: "));
    }

    #[test]
    fn what_is_wrong_is_named_as_what_it_is() {
        for (payload, words) in [
            (&b"hello"[..], "not valid JSON: expected value at line 1 column 1"),
            (b"{\"requests\": [", "not valid JSON: EOF while parsing"),
            (b"{\"input\":\"x\"} {}", "not valid JSON: trailing characters at line 1 column 15"),
            (b"[{\"custom_id\":\"a\"}]", "a JSON array"),
            (b" \n", "empty"),
            (b"7", "not what is expected: invalid type: integer `7`"),
            (b"{\"metadata\":{\"k\":7}}", "wrong in 'metadata.k': invalid type: integer `7`, expected a string"),
            (b"{\"modle\":\"x\"}", "unknown field `modle`"),
            (b"\x1f\x8b\x08\0", "it looks like gzip"),
            (b"\xff\xfe{\0}\0", "it looks like UTF-16"),
            (b"\x81\xa5modle\xa1x", "not valid MessagePack: unknown field `modle`"),
        ] {
            assert!(why(None, payload).contains(words), "{words}: {}", why(None, payload));
        }
    }

    #[test]
    fn a_refusal_is_short_whatever_it_quotes() {
        let text = format!(r#"{{"priority":"{}"}}"#, "x".repeat(900_000));
        let why = why(None, text.as_bytes());
        assert!(why.starts_with("wrong in 'priority': unknown variant `xxx"), "{why}");
        assert_eq!(why.chars().count(), REASON_CHARS_MAX);
    }
}
