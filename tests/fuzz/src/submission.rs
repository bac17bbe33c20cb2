//! What a client publishes on `jobs.submit` and `jobs.control`, in either form.
use crate::payload;
use domain::{
    command::JobCommand,
    limits::{FIELD_BYTES_MAX, INLINE_REQUESTS_MAX, METADATA_PAIRS_MAX, REASON_CHARS_MAX, WINDOW_MS_MAX},
    submission::Submission,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use wire::envelope::{self, JSON, MSGPACK};

pub fn holds(data: &[u8]) {
    for kind in [None, Some(JSON), Some(MSGPACK)] {
        if let Some(submission) = read::<Submission>(kind, data) {
            checked(&submission);
        }
        read::<JobCommand>(kind, data);
    }
}

/// A refusal goes into the log and to the client: it is short, whatever it quotes.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(kind: Option<&str>, data: &[u8]) -> Option<T> {
    match payload::read::<T>(kind, data) {
        Ok(value) => {
            let again = payload::read::<T>(Some(MSGPACK), &envelope::encode(&value));
            assert!(again.as_ref() == Ok(&value) || is_odd(data), "{again:?}");
            Some(value)
        }
        Err(why) => {
            assert!((1..=REASON_CHARS_MAX).contains(&why.chars().count()), "{why}");
            None
        }
    }
}

/// serde_json takes an object that begins with this key for JSON text of its own, and so refuses or unwraps it.
fn is_odd(data: &[u8]) -> bool {
    String::from_utf8_lossy(data).contains("$serde_json::private::RawValue")
}

/// What passes goes into a job's first event, which must fit into a message.
fn checked(submission: &Submission) {
    match submission.clone().check() {
        Ok(checked) => {
            assert!((1..=WINDOW_MS_MAX).contains(&checked.window_ms()));
            assert!(submission.metadata.len() <= METADATA_PAIRS_MAX);
            let requests = submission.requests.as_ref().map(Vec::len);
            assert!(requests.is_none_or(|requests| (1..=INLINE_REQUESTS_MAX).contains(&requests)));
            assert_ne!(requests.is_some(), submission.input.is_some());
            let url = submission.input.as_ref().map(|given| given.url().to_owned());
            let texts = [&submission.model, &url, &submission.fingerprint];
            assert!(texts.into_iter().flatten().all(|text| text.len() <= FIELD_BYTES_MAX));
        }
        Err(fault) => assert!(fault.to_string().chars().count() <= REASON_CHARS_MAX, "{fault}"),
    }
}
