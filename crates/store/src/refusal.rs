//! Why a store that answers says no. object_store gives the answer as text: three times in one error, each time with
//! the whole body.
use object_store::Error;

const STATUS: &str = "non-2xx status code: ";
/// Of one object among many that were to be deleted: the answer as a whole is a success.
const DENIED: &str = "AccessDenied";
/// Of what a store says of itself.
const WORDS_MAX: usize = 200;

/// The store's own words, if asked again it would say the same: wrong keys, no permission, no such bucket.
pub(super) fn why(error: &Error) -> Option<String> {
    let text = error.to_string();
    if text.contains(DENIED) {
        return Some(DENIED.to_owned());
    }
    let (_, answer) = text.split_once(STATUS)?;
    let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
    if !is_final(status.get(..3)?.parse().ok()?) {
        return None;
    }
    let code = tag(body, "Code").unwrap_or_else(|| status.trim_end());
    let why = tag(body, "Message").map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"));
    Some(why.chars().take(WORDS_MAX).collect())
}

/// Others pass: a timeout, a conflict, too many requests, a failure of the store.
const fn is_final(status: u16) -> bool {
    matches!(status, 400..500) && !matches!(status, 408 | 409 | 412 | 429)
}

/// S3, GCS and Azure answer in XML alike.
fn tag<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answer: &str) -> Option<String> {
        let source = format!("Error performing GET http://host/bucket in 2ms - {answer}");
        why(&Error::Generic { store: "S3", source: source.into() })
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>Not yours.</Message><StringToSign>AWS4</StringToSign></Error>";
        let denied = format!("Server returned non-2xx status code: 403 Forbidden: {body}");
        assert_eq!(said(&denied).as_deref(), Some("SignatureDoesNotMatch: Not yours."));
        assert_eq!(said("Server returned non-2xx status code: 403 Forbidden: ").as_deref(), Some("403 Forbidden"));
        assert_eq!(said("Server returned non-2xx status code: 429 Too Many Requests: "), None);
        assert_eq!(said("Server returned non-2xx status code: 503 Service Unavailable: busy"), None);
        assert_eq!(said("HTTP error: error sending request"), None);
    }
}
