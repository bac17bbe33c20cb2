//! What is remembered of a job that runs.
use super::{
    due::{Due, Sum},
    lengths::{Answered, Guess, Lengths},
    walk::Raw,
};
use crate::{Pool, Timestamp, load::Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Follows from the job.
    #[serde(skip)]
    pub due: Due,
    pub own: BTreeMap<Pool, BTreeMap<Kind, Own>>,
    pub notes: Vec<Note>,
    /// A chunk that failed rests until then.
    pub rests: Timestamp,
    pub paused: Option<Timestamp>,
    /// How long it was paused, ms, until it was resumed last.
    pub paused_ms: u64,
    /// Answer tokens that were expected of it when it began to run, by pool.
    pub expected: BTreeMap<Pool, f64>,
}

/// What a job's chunks of one kind have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Own {
    pub chunks: u64,
    pub requests: u64,
    pub caps: u64,
    pub uncapped: u64,
    /// Answer tokens.
    pub seen: f64,
}

/// A forecast that will be held against what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub mark: usize,
    pub at: Timestamp,
    /// How long the job had been paused by then.
    pub paused_ms: u64,
    pub raw: Raw,
    /// p10, p50 and p90 of what was left, ms. Notes from before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<[f64; 3]>,
}

/// How much longer a job's answers are than its kinds', and the variance of what that logarithm is not known to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    pub by: f64,
    pub doubt: f64,
}

impl Entry {
    pub fn answered(&mut self, pool: &Pool, chunk: &Answered) {
        let own = self.own.entry(pool.clone()).or_default().entry(chunk.load.kind).or_default();
        let requests = chunk.requests as u64;
        own.chunks += 1;
        own.requests += requests;
        own.caps += if chunk.is_whole { chunk.load.caps } else { 0 };
        own.uncapped += u64::from(chunk.load.caps == 0 || !chunk.is_whole);
        own.seen += chunk.answer;
    }

    pub fn seen(&self, pool: &Pool) -> f64 {
        self.own.get(pool).map_or(0.0, |kinds| kinds.values().map(|own| own.seen).sum())
    }

    /// Its own answers against what is expected of their kinds: the more of them, the more they count. What is not known of
    /// the kinds speaks of no other kind. `between`: the variance of the logarithm by which jobs differ.
    pub fn factor(&self, pool: &Pool, lengths: &Lengths, between: f64) -> Factor {
        let Some(kinds) = self.own.get(pool) else { return Factor { by: 1.0, doubt: between } };
        let (mut want, mut seen, mut chunks, mut spread, mut doubt) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (kind, own) in kinds.iter().filter(|(_, own)| own.requests > 0) {
            let Guess { mean, spread: one, doubt: all } = lengths.guess(*kind, &own.sum());
            let tokens = mean * own.requests as f64;
            (want, seen, chunks) = (want + tokens, seen + own.seen, chunks + own.chunks as f64);
            (spread, doubt) = (spread + tokens * one, doubt + tokens * all);
        }
        if want <= 0.0 {
            return Factor { by: 1.0, doubt: between };
        }
        let noise = spread / want / chunks + doubt / want;
        let trust = between / (between + noise);
        let by = (trust * (seen.max(1.0) / want).ln()).exp();
        Factor { by, doubt: between * noise / (between + noise) }
    }
}

impl Own {
    fn sum(&self) -> Sum {
        let Self { chunks, requests, caps, uncapped, .. } = *self;
        Sum { chunks, requests, caps, uncapped, prompt_bytes: 0 }
    }
}
