//! An input as it goes its way: intake's lines and cut, the scheduler's chunks, what a worker reads and answers.
use crate::render;
use bytes::Bytes;
use domain::{
    JobId, Pool,
    dedup::Seen,
    event::SegmentPlan,
    limits::{CUSTOM_ID_BYTES_MAX, REASON_CHARS_MAX},
    line::{Request, URLS, check},
    lines::{Line, Lines},
    pack::{Packer, Packing},
    request::Body,
};
use engine::{Answer, Engine, Key, Spec};
use futures::FutureExt;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

const LINE_BYTES_MAX: usize = 1_024;

pub fn holds(data: &[u8]) {
    if let Some(hint) = domain::hint::of(data) {
        assert!(hint.line.is_none_or(|line| line >= 1), "{hint:?}");
    }
    let found = scan(data, data.len().max(1));
    assert_eq!(scan(data, data.len() % 61 + 1), found, "the lines depend on the blocks");
    for endpoint in [None, Some(URLS[0]), Some(URLS[1])] {
        let mut good = Vec::new();
        for line in &found {
            if valid(line, endpoint) {
                good.extend_from_slice(&data[line.offset..][..line.bytes]);
                good.push(b'\n');
            }
        }
        cut(&good, endpoint);
    }
}

/// A line that is short enough.
#[derive(Debug, PartialEq)]
struct Taken {
    number: u64,
    offset: usize,
    bytes: usize,
    text: Bytes,
}

fn scan(data: &[u8], block: usize) -> Vec<Taken> {
    let (mut lines, mut found, mut last) = (Lines::new(LINE_BYTES_MAX), Vec::new(), 0);
    let mut take = |line: Line<'_>| {
        let (Line::Text { number, .. } | Line::TooLong { number }) = line;
        assert!(number > last, "line {number} comes after line {last}");
        last = number;
        let Line::Text { number, offset, bytes, text } = line else { return };
        let (offset, bytes) = (offset as usize, bytes as usize);
        assert_eq!(data[offset..offset + bytes].trim_ascii(), text);
        assert!((1..=LINE_BYTES_MAX).contains(&text.len()));
        found.push(Taken { number, offset, bytes, text: Bytes::copy_from_slice(text) });
    };
    data.chunks(block).for_each(|block| lines.feed(&Bytes::copy_from_slice(block), &mut take));
    lines.finish(&mut take);
    found
}

/// Whether the line passes. If so, a worker reads from it what intake has read; if not, its error is short.
fn valid(line: &Taken, endpoint: Option<&str>) -> bool {
    match check(&line.text, line.number, endpoint) {
        Ok(request) => {
            assert!((1..=CUSTOM_ID_BYTES_MAX).contains(&request.custom_id.len()));
            answered(&line.text, &request, endpoint);
            true
        }
        Err(error) => {
            assert_eq!(error.line, Some(line.number));
            let texts = [Some(&error.message), error.param.as_ref()];
            let short = |text: &String| (1..=REASON_CHARS_MAX).contains(&text.chars().count());
            assert!(texts.into_iter().flatten().all(short), "{error:?}");
            false
        }
    }
}

fn answered(text: &Bytes, request: &Request<'_>, endpoint: Option<&str>) {
    let read = render::request(text, endpoint, Key::seeded(0)).expect("a worker reads what intake took");
    assert!(endpoint.is_none_or(|url| url == read.call.endpoint.url()));
    let body = Body::read(read.call.endpoint, &read.call.body);
    assert_eq!(body.clone().map(Some), request.body, "an engine reads what intake has read");
    let asked = match body {
        Ok(body) => {
            assert_eq!(body.model, request.model);
            None
        }
        Err(refusal) => {
            assert!(!refusal.is_shape(), "{refusal:?}");
            Some(Answer::from(refusal))
        }
    };
    let echoed = ECHO.run(read.call).now_or_never().expect("no delay").expect("no fault");
    for answer in asked.into_iter().chain([echoed]) {
        assert!([200, 400].contains(&answer.status));
        written(&read.custom_id, &request.custom_id, &answer);
    }
}

static ECHO: LazyLock<Arc<dyn Engine>> =
    LazyLock::new(|| engine::load(&Spec::echo()).now_or_never().expect("no delay").expect("an engine"));

/// An answer is one line of JSON under the request's own id.
fn written(raw: &[u8], custom_id: &str, answer: &Answer) {
    let mut out = Vec::new();
    wire::line::answer(&mut out, JobId::keyed("", "fuzz"), 7, raw, answer.status, &answer.body);
    assert_eq!(out.iter().position(|b| *b == b'\n'), Some(out.len() - 1));
    let line: Value = serde_json::from_slice(&out).expect("an output line is JSON");
    assert_eq!(line["custom_id"], custom_id);
    assert_eq!(line["response"]["status_code"], answer.status);
}

/// An input without a mistake: each request stands in one chunk, and its chunk holds its line.
fn cut(input: &[u8], endpoint: Option<&str>) {
    let lines = scan(input, input.len().max(1));
    let requests: Vec<_> =
        lines.iter().map(|line| check(&line.text, line.number, endpoint).expect("it was valid before")).collect();
    unique(&requests);
    let mut packer = Packer::new(packing());
    let mut plans = Vec::new();
    for (line, request) in lines.iter().zip(&requests) {
        plans.extend(packer.push(
            line.offset as u64,
            line.bytes as u32,
            &pool(request),
            request.input.as_bytes(),
            Some(request.ask),
        ));
    }
    plans.extend(packer.finish());
    assert_eq!(packer.requests(), lines.len() as u64);
    assert_eq!(packer.segments() as usize, plans.len());
    let mut rest = lines.as_slice();
    for plan in &plans {
        let (own, after) = rest.split_at(plan.requests as usize);
        segment(input, plan, own);
        rest = after;
    }
    assert!(rest.is_empty());
}

fn packing() -> Packing {
    let chunk_requests = [("few".parse().expect("a pool"), 2)].into();
    Packing { segment_requests: 5, segment_bytes: 2_048, chunk_bytes: 600, chunk_requests, ..Packing::default() }
}

fn pool(request: &Request<'_>) -> Pool {
    let name = if request.model.is_some() { "few" } else { "many" };
    name.parse().expect("a pool")
}

/// The scheduler finds a segment's lines by counting those that are not blank.
fn segment(input: &[u8], plan: &SegmentPlan, own: &[Taken]) {
    let bytes = &input[plan.offset as usize..][..plan.bytes as usize];
    let lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    assert!(lines.eq(own.iter().map(|line| &line.text[..])));
    let mut indices = Vec::new();
    for chunk in &plan.chunks {
        let bytes: usize = chunk.indices().map(|index| own[index as usize].bytes).sum();
        assert_eq!(bytes, chunk.bytes as usize);
        assert_eq!(chunk.indices().count(), chunk.requests() as usize);
        indices.extend(chunk.indices());
    }
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..plan.requests));
}

/// Ids that stand twice are found, with the line where they stood first, and no others.
fn unique(requests: &[Request<'_>]) {
    let (mut seen, mut first) = (Seen::default(), HashMap::new());
    requests.iter().for_each(|request| seen.add(&request.custom_id));
    let mut candidates = seen.candidates();
    for (request, number) in requests.iter().zip(1..) {
        let before = *first.entry(&request.custom_id).or_insert(number);
        let found = candidates.check(&request.custom_id, number);
        assert_eq!(found, Some(before).filter(|before| *before != number));
    }
}
