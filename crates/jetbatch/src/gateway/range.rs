//! `Range` of one file: `bytes=N-`, `bytes=N-M` and `bytes=-N`. Anything else is not ours to know and means all, as HTTP allows.
use axum::http::{HeaderMap, header::RANGE};
use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    All,
    Part(Range<u64>),
    /// It begins where the file has ended.
    Beyond,
}

pub fn asked(headers: &HeaderMap, size: u64) -> Asked {
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.strip_prefix("bytes=").and_then(parse) {
        None => Asked::All,
        Some(Bytes::From(from, _)) if from >= size => Asked::Beyond,
        Some(Bytes::From(from, to)) => Asked::Part(from..to.map_or(size, |to| to.saturating_add(1).min(size))),
        Some(Bytes::Last(0)) => Asked::Beyond,
        Some(Bytes::Last(_)) if size == 0 => Asked::All,
        Some(Bytes::Last(count)) => Asked::Part(size.saturating_sub(count)..size),
    }
}

/// Of what still grows: `bytes=N-` alone.
pub fn from(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    match parse(text.strip_prefix("bytes=")?)? {
        Bytes::From(from, None) => Some(from),
        Bytes::From(..) | Bytes::Last(_) => None,
    }
}

enum Bytes {
    From(u64, Option<u64>),
    Last(u64),
}

fn parse(text: &str) -> Option<Bytes> {
    let (from, to) = text.split_once('-')?;
    if from.is_empty() {
        return to.parse().ok().map(Bytes::Last);
    }
    let from = from.parse().ok()?;
    let to = if to.is_empty() { None } else { Some(to.parse().ok().filter(|to| *to >= from)?) };
    Some(Bytes::From(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let asked = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, axum::http::HeaderValue::from_static(text));
            asked(&headers, 10)
        };
        assert_eq!(asked("bytes=0-"), Asked::Part(0..10));
        assert_eq!(asked("bytes=4-"), Asked::Part(4..10));
        assert_eq!(asked("bytes=4-6"), Asked::Part(4..7));
        assert_eq!(asked("bytes=4-99"), Asked::Part(4..10));
        assert_eq!(asked("bytes=10-"), Asked::Beyond);
        assert_eq!(asked("bytes=-3"), Asked::Part(7..10));
        assert_eq!(asked("bytes=-30"), Asked::Part(0..10));
        assert_eq!(asked("bytes=-0"), Asked::Beyond);
        for odd in ["bytes=-x", "bytes=1-2,4-5", "lines=1-", "bytes=6-4", "bytes=x-"] {
            assert_eq!(asked(odd), Asked::All, "{odd}");
        }
        assert_eq!(super::asked(&HeaderMap::new(), 0), Asked::All);
    }
}
