//! What a pool was seen to do: how long its answers are, what they cost, how long its chunks run, and how wrong the
//! forecasts of its jobs were.
use super::{
    band::{self, Band},
    lengths::{Answered, Lengths},
    speed::{Run, Speed},
    stat::Ew,
    walk::Raw,
};
use crate::{
    Timestamp,
    event::{ChunkDone, ChunkPlan},
};
use serde::{Deserialize, Serialize};

/// Chunks that count for how long one runs, and for how long against its cost; and jobs for how much they differ.
const RUNS: f64 = 15.0;
const PACES: f64 = 60.0;
const JOBS: f64 = 30.0;
/// Jobs of one kind differ by so much (variance of the logarithm), as long as few were seen.
const BETWEEN: f64 = 0.02;
/// Variance of the logarithm of how long a chunk runs against what one of its requests costs.
const PACE_VAR: f64 = 0.05;
const ENDS: f64 = 15.0;
const ENDS_FEW: f64 = 1.0;
/// As long as no job has ended.
const END: f64 = 0.7;
const END_VAR: f64 = 0.09;
/// So much of what a token cost lately lasts, as long as too little was seen to tell; and how much is enough.
const LASTS: f64 = 0.5;
const LASTS_SEEN: f64 = 0.02;
const LASTS_KEEP: f64 = 0.97;
/// A worker that was silent for so many of the longest chunks is not counted.
const SILENT: f64 = 2.0;
const SILENT_MS: f64 = 10_000.0;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub lengths: Lengths,
    pub speed: Speed,
    pub band: Band,
    /// How long a chunk runs: the logarithm of ms, and of that against what one of its requests costs.
    runs: Ew,
    pace: Ew,
    /// How long the last chunks of a job take, when nobody fills the places that become free, in runs of the longest.
    ends: Ew,
    /// By mark: how what a token cost lately went with what came, and with itself.
    lasts: Vec<(f64, f64)>,
    /// By how much jobs differ from what is expected of their kinds, logarithms.
    between: Ew,
    /// When it took up work, after it had none.
    pub woke: Timestamp,
}

impl View {
    /// A chunk was done, of which `stored` is when the log was told.
    pub fn answered(&mut self, plan: &ChunkPlan, done: &ChunkDone, stored: Timestamp) -> Answered {
        let tally = &done.tally;
        let usage = (tally.usage.prompt as f64, tally.usage.completion as f64);
        let is_whole = tally.completed == u64::from(plan.requests());
        let (load, requests) = (super::due::load(plan), tally.completed as f64);
        let chunk = Answered { load, requests, prompt: usage.0, answer: usage.1, is_whole };
        // A run too short for the clock is one; where the clock was set back, nobody knows.
        let ms = if done.at < done.started { 0 } else { done.at.since(done.started).max(1) };
        // How long it ran is the worker's clock's, and when it was the log's.
        let from = Timestamp::new(stored.get().saturating_sub(ms));
        self.speed.add(&Run { worker: &done.worker, from, to: stored, prompt: usage.0, answer: usage.1 });
        self.lengths.add(&chunk);
        if ms > 0 && requests > 0.0 {
            self.ran(ms as f64, &chunk);
        }
        chunk
    }

    fn ran(&mut self, ms: f64, chunk: &Answered) {
        self.runs.add(ms.ln(), RUNS);
        if let Some(cost) = self.speed.cost(self.run_ms()) {
            let one = (cost.prompt * chunk.prompt + cost.answer * chunk.answer) / chunk.requests;
            self.pace.add((ms / one.max(1e-6)).ln(), PACES);
        }
    }

    /// A job's answers were so much longer than was expected of them when it began.
    pub fn differed(&mut self, ratio: f64) {
        self.between.add(ratio.ln().clamp(-2.0, 2.0), JOBS);
    }

    /// What a forecast that was made at a mark came to, ms.
    pub fn came(&mut self, mark: usize, raw: &Raw, actual: f64) {
        let off = (actual / raw.ms).ln();
        self.band.add(mark, off / raw.doubt);
        self.lasts.resize(band::MARKS.len(), (0.0, 0.0));
        let (with, own) = &mut self.lasts[mark];
        *with = *with * LASTS_KEEP + raw.lately * (off + raw.lasting).clamp(-1.0, 1.0);
        *own = *own * LASTS_KEEP + raw.lately.powi(2);
        if mark == band::MIDDLE && raw.longest > 0.0 {
            self.ends.add(((actual - raw.plain) / raw.longest).clamp(-1.0, 4.0), ENDS);
        }
    }

    /// The part that lasted of what a token cost lately, to the end of jobs that were so far.
    pub fn lasts(&self, progress: f64) -> f64 {
        let (with, own) = self.lasts.get(band::mark(progress)).copied().unwrap_or_default();
        ((with + LASTS * LASTS_SEEN) / (own + LASTS_SEEN)).clamp(0.0, 1.0)
    }

    /// How many runs of the longest a job's last chunks take, and the variance.
    pub fn end(&self) -> (f64, f64) {
        let Ew { weight, mean, .. } = self.ends;
        ((mean * weight + END * ENDS_FEW) / (weight + ENDS_FEW), self.ends.var(END_VAR, ENDS_FEW))
    }

    pub fn between(&self) -> f64 {
        self.between.var(BETWEEN, 3.0) + self.between.mean.powi(2) * self.between.weight / (self.between.weight + 3.0)
    }

    /// How long a chunk runs, ms.
    pub fn run_ms(&self) -> f64 {
        if self.runs.weight > 0.0 { self.runs.mean.exp() } else { 0.0 }
    }

    /// How long one runs whose requests cost so much each, ms, and the variance of the logarithm.
    pub fn pace(&self, one: f64) -> (f64, f64) {
        match self.pace.weight > 0.0 {
            true => (self.pace.mean.exp() * one, self.pace.var(PACE_VAR, 4.0)),
            false => (self.run_ms(), PACE_VAR),
        }
    }

    /// Workers that the log heard of lately, at least one.
    pub fn workers(&self) -> u64 {
        let silent = (SILENT * self.speed.longest()).max(SILENT_MS);
        self.speed.workers(self.speed.until(), silent as u64).max(1)
    }
}
