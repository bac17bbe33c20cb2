//! What a client publishes on `jobs.submit` and `jobs.control`: JSON or MessagePack.
use domain::limits::REASON_CHARS_MAX;
use serde::de::DeserializeOwned;
use std::error::Error;
use wire::envelope::{self, DecodeError, JSON};

/// Without a content type, what begins with a brace is JSON. The reason of a refusal is short: it may quote the input,
/// and stands in the log, where a message has its maximum.
pub fn read<T: DeserializeOwned>(content_type: Option<&str>, payload: &[u8]) -> Result<T, String> {
    let json = match content_type {
        Some(kind) => kind.starts_with(JSON),
        None => payload.trim_ascii_start().first() == Some(&b'{'),
    };
    let read = if json {
        serde_json::from_slice(payload).map_err(|e| format!("not valid JSON: {e}"))
    } else {
        envelope::decode("message", payload).map_err(|e| format!("not valid MessagePack: {}", cause(&e)))
    };
    read.map_err(|why| why.chars().take(REASON_CHARS_MAX).collect())
}

fn cause(error: &DecodeError) -> &dyn Error {
    error.source().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::submission::Submission;

    #[test]
    fn the_form_is_named_or_shows() {
        let text = br#" {"input":"x"}"#;
        let submission: Submission = read(None, text).unwrap();
        assert_eq!(read(Some("application/json; charset=utf-8"), text), Ok(submission.clone()));
        assert_eq!(read(None, &wire::envelope::encode(&submission)), Ok(submission));
        assert!(read::<Submission>(Some("application/msgpack"), text).is_err());
    }

    #[test]
    fn a_refusal_is_short_whatever_it_quotes() {
        let text = format!(r#"{{"priority":"{}"}}"#, "x".repeat(900_000));
        let why = read::<Submission>(None, text.as_bytes()).unwrap_err();
        assert!(why.starts_with("not valid JSON: unknown variant `xxx"), "{why}");
        assert_eq!(why.chars().count(), REASON_CHARS_MAX);
    }
}
