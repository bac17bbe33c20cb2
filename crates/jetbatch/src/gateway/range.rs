//! `Range` of one file: `bytes=N-` and `bytes=N-M`. Anything else is not ours to know and means all, as HTTP allows.
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
        Some((from, _)) if from >= size => Asked::Beyond,
        Some((from, to)) => Asked::Part(from..to.map_or(size, |to| to.saturating_add(1).min(size))),
    }
}

fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let (from, to) = text.split_once('-')?;
    let from = from.parse().ok()?;
    let to = if to.is_empty() { None } else { Some(to.parse().ok().filter(|to| *to >= from)?) };
    Some((from, to))
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
        for odd in ["bytes=-5", "bytes=1-2,4-5", "lines=1-", "bytes=6-4", "bytes=x-"] {
            assert_eq!(asked(odd), Asked::All, "{odd}");
        }
        assert_eq!(super::asked(&HeaderMap::new(), 0), Asked::All);
    }
}
