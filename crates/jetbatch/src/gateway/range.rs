//! `Range` of one file: `bytes=N-`, `bytes=N-M` and `bytes=-N`. Anything else is not ours to know and means all, as HTTP
//! allows; and so does a part of a file that is not this one (`If-Range`).
use axum::http::{
    HeaderMap, HeaderValue,
    header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
};
use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    All,
    Part(Range<u64>),
    /// It begins where the file has ended.
    Beyond,
}

/// `tag` is the file's own.
pub fn asked(headers: &HeaderMap, size: u64, tag: Option<&HeaderValue>) -> Asked {
    let is_meant = headers.get(IF_RANGE).is_none_or(|meant| Some(meant) == tag);
    match headers.get(RANGE).filter(|_| is_meant).and_then(parse) {
        None => Asked::All,
        Some(Bytes::From(from, _)) if from >= size => Asked::Beyond,
        Some(Bytes::From(from, to)) => Asked::Part(from..to.map_or(size, |to| to.saturating_add(1).min(size))),
        Some(Bytes::Last(0)) => Asked::Beyond,
        Some(Bytes::Last(_)) if size == 0 => Asked::All,
        Some(Bytes::Last(count)) => Asked::Part(size.saturating_sub(count)..size),
    }
}

/// Whether the client has the file with this tag already.
pub fn has(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let Some(tag) = tag.and_then(|tag| tag.to_str().ok()) else { return false };
    let told = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = told.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|told| told == "*" || told.strip_prefix("W/").unwrap_or(told) == tag)
}

/// Whether the client means another file: `If-Match` names tags, none of which is this one's. What has no tag is no other.
pub fn is_other(headers: &HeaderMap, tag: Option<&HeaderValue>) -> bool {
    let tag = tag.and_then(|tag| tag.to_str().ok());
    let told = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = told.flat_map(|value| value.split(',')).map(str::trim);
    headers.contains_key(IF_MATCH) && !tags.any(|told| told == "*" || Some(told) == tag)
}

/// Of what still grows, and has no tag: `bytes=N-` alone.
pub fn from(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(IF_RANGE) {
        return None;
    }
    match parse(headers.get(RANGE)?)? {
        Bytes::From(from, None) => Some(from),
        Bytes::From(..) | Bytes::Last(_) => None,
    }
}

enum Bytes {
    From(u64, Option<u64>),
    Last(u64),
}

fn parse(value: &HeaderValue) -> Option<Bytes> {
    let (unit, text) = value.to_str().ok()?.split_once('=')?;
    let (from, to) = text.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
    if from.is_empty() {
        return number(to).map(Bytes::Last);
    }
    let from = number(from)?;
    let to = if to.is_empty() { None } else { Some(number(to).filter(|to| *to >= from)?) };
    Some(Bytes::From(from, to))
}

/// Digits alone. No file has as many bytes as the largest that there is.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_meant_is_told_from_the_one_that_is() {
        let is_other = |told: &'static str, tag: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(told));
            super::is_other(&headers, tag.map(HeaderValue::from_static).as_ref())
        };
        assert!(!is_other("\"a\"", Some("\"a\"")) && !is_other("\"b\", \"a\"", Some("\"a\"")) && !is_other("*", None));
        assert!(is_other("\"b\"", Some("\"a\"")) && is_other("W/\"a\"", Some("\"a\"")) && is_other("\"a\"", None));
        assert!(!super::is_other(&HeaderMap::new(), None));
    }

    /// A part of another file would be put to what a client has of this one.
    #[test]
    fn a_part_is_given_of_the_file_that_is_meant() {
        let tag = axum::http::HeaderValue::from_static("\"a\"");
        let asked = |condition: &'static str, tag: Option<&axum::http::HeaderValue>| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, axum::http::HeaderValue::from_static("bytes=4-"));
            headers.insert(IF_RANGE, axum::http::HeaderValue::from_static(condition));
            assert_eq!(from(&headers), None, "what grows has no tag");
            asked(&headers, 10, tag)
        };
        assert_eq!(asked("\"a\"", Some(&tag)), Asked::Part(4..10));
        for other in ["\"b\"", "W/\"a\"", "a", "", "\"a\", \"b\"", "Tue, 21 Nov 2017 14:43:11 GMT"] {
            assert_eq!(asked(other, Some(&tag)), Asked::All, "{other}");
        }
        assert_eq!(asked("\"a\"", None), Asked::All);
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let tag = axum::http::HeaderValue::from_static("\"a\"");
        let has = |told: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, axum::http::HeaderValue::from_static(told));
            has(&headers, Some(&tag))
        };
        for told in ["\"a\"", "W/\"a\"", "*", "\"x\", W/\"a\"", "\"x\" ,\"a\""] {
            assert!(has(told), "{told}");
        }
        for told in ["\"b\"", "", "a", "\"aa\"", "W/a"] {
            assert!(!has(told), "{told}");
        }
        assert!(!super::has(&HeaderMap::new(), Some(&tag)));
    }

    #[test]
    fn ranges_are_read() {
        let asked = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, axum::http::HeaderValue::from_static(text));
            asked(&headers, 10, None)
        };
        assert_eq!(asked("bytes=0-"), Asked::Part(0..10));
        assert_eq!(asked("bytes=4-"), Asked::Part(4..10));
        assert_eq!(asked("bytes=4-6"), Asked::Part(4..7));
        assert_eq!(asked("bytes=4-99"), Asked::Part(4..10));
        assert_eq!(asked("bytes=10-"), Asked::Beyond);
        assert_eq!(asked("bytes=-3"), Asked::Part(7..10));
        assert_eq!(asked("bytes=-30"), Asked::Part(0..10));
        assert_eq!(asked("bytes=-0"), Asked::Beyond);
        assert_eq!(asked("Bytes=4-"), Asked::Part(4..10));
        assert_eq!(asked("bytes=4-99999999999999999999999"), Asked::Part(4..10));
        assert_eq!(asked("bytes=99999999999999999999999-"), Asked::Beyond);
        assert_eq!(asked("bytes=-99999999999999999999999"), Asked::Part(0..10));
        for odd in [
            "bytes=-x",
            "bytes=1-2,4-5",
            "lines=1-",
            "bytes=6-4",
            "bytes=x-",
            "bytes=+4-",
            "bytes=-+4",
            "bytes= 4-",
            "bytes=-",
        ] {
            assert_eq!(asked(odd), Asked::All, "{odd}");
        }
        assert_eq!(super::asked(&HeaderMap::new(), 0, None), Asked::All);
    }
}
