//! An entry of DEAD as the door shows it.
use super::Entry;
use crate::gateway::view::rfc3339;
use bytes::Bytes;
use domain::event::ChunkFailed;
use serde::Serialize;
use serde_json::value::RawValue;

/// In a list.
#[derive(Debug, Serialize)]
pub struct Brief<'a> {
    id: u64,
    object: &'static str,
    job: String,
    chunk: String,
    pool: &'a str,
    class: &'static str,
    reason: &'a str,
    attempts: usize,
    requests: u32,
    /// Of the first few.
    custom_ids: &'a [String],
    died_at: String,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    #[serde(rename = "self")]
    itself: String,
    replay: String,
    job: String,
}

/// Alone.
#[derive(Debug, Serialize)]
pub struct Full<'a> {
    #[serde(flatten)]
    brief: Brief<'a>,
    model: Option<&'a str>,
    endpoint: Option<&'a str>,
    /// The first failure first.
    history: Vec<Failure<'a>>,
    /// The requests as they stood in the input.
    lines: Vec<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    at: String,
    chunk: String,
    attempt: u32,
    worker: &'a str,
    class: &'static str,
    reason: &'a str,
}

impl<'a> Brief<'a> {
    pub fn of(entry: &'a Entry) -> Self {
        let (id, dead) = (entry.seq, &entry.dead);
        Self {
            id,
            object: "dead",
            job: dead.job.to_string(),
            chunk: dead.chunk.to_string(),
            pool: entry.pool.as_str(),
            class: dead.class.as_str(),
            reason: &dead.reason,
            attempts: dead.history.len(),
            requests: dead.requests,
            custom_ids: &dead.custom_ids,
            died_at: rfc3339(entry.at),
            links: Links {
                itself: format!("/dead/{id}"),
                replay: format!("/dead/{id}/replay"),
                job: format!("/jobs/{}", dead.job),
            },
        }
    }
}

impl<'a> Full<'a> {
    pub fn of(entry: &'a Entry, lines: &Bytes) -> Self {
        let dead = &entry.dead;
        let lines = lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Self {
            brief: Brief::of(entry),
            model: dead.model.as_deref(),
            endpoint: dead.endpoint.as_deref(),
            history: dead.history.iter().map(Failure::of).collect(),
            lines: lines.collect(),
        }
    }
}

impl<'a> Failure<'a> {
    fn of(failed: &'a ChunkFailed) -> Self {
        Self {
            at: rfc3339(failed.at),
            chunk: failed.chunk.to_string(),
            attempt: failed.attempt,
            worker: &failed.worker,
            class: failed.class.as_str(),
            reason: &failed.reason,
        }
    }
}
