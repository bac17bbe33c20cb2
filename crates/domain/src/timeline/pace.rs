//! How fast a job ran, by the time, and where that fell: its average hides it. Bounded, whatever the number of chunks.
use super::spans::Spans;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// Stretches of time that are kept; where there are more, each becomes twice as long.
const CELLS_MAX: usize = 128;
const CELL_MS: u64 = 1_000;
/// A part of a run that is shorter, or has fewer cells, is no part of its own.
const PART_MIN: f64 = 0.08;
const PART_CELLS: usize = 3;
/// So much of how the rate varies is its fall, where it fell.
const STEP_MIN: f64 = 0.5;
/// A smaller fall is none; with few chunks it must be larger: by so many deviations, of which a chunk has so much.
const FALL_MIN: f64 = 0.25;
const SURE: f64 = 2.5;
const CHUNK_DEVIATION: f64 = 0.6;
/// A run is cut in two at most so many times in a row.
const CUTS_MAX: u32 = 3;

/// What a rate fell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RateFellOf))]
pub enum Of {
    /// Fewer of its chunks ran at once.
    FewerAtOnce,
    /// A token, or a request where none are counted, took longer.
    Slower,
    /// Its answers became longer.
    AnswersLonger,
}

/// A job's rate was another from then on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    pub at: Timestamp,
    /// Requests a second of the time in which it ran.
    pub before: f64,
    pub after: f64,
    pub of: Of,
}

#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When the first cell begins, and how long each is, milliseconds.
    from: u64,
    cell_ms: u64,
    cells: Vec<Part>,
    /// When the last run began, and when the last ended.
    edge: u64,
    until: u64,
    longest: u64,
}

/// What was done in some time.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    at: u64,
    /// Milliseconds in which any of it ran.
    ms: f64,
    chunks: f64,
    requests: f64,
    tokens: f64,
    /// Time of all chunks, milliseconds.
    busy: f64,
}

impl Fall {
    pub fn percent(&self) -> u32 {
        (100.0 * (1.0 - self.after / self.before)).round() as u32
    }
}

impl Part {
    fn add(&mut self, other: &Self, part: f64) {
        self.ms += part * other.ms;
        self.chunks += part * other.chunks;
        self.requests += part * other.requests;
        self.tokens += part * other.tokens;
        self.busy += part * other.busy;
    }

    fn sum(parts: &[Self]) -> Self {
        let at = parts.first().map_or(0, |first| first.at);
        parts.iter().fold(Self { at, ..Self::default() }, |mut sum, part| {
            sum.add(part, 1.0);
            sum
        })
    }

    fn rate(&self) -> f64 {
        self.requests / self.ms.max(1.0)
    }
}

impl Pace {
    /// A chunk ran, and so much came of it: it counts where it ran, and not where it was done.
    pub fn add(&mut self, from: Timestamp, until: Timestamp, requests: u64, tokens: u64) {
        let (begun, until) = (from.get(), until.get());
        if until <= begun || requests == 0 {
            return;
        }
        if self.cells.is_empty() {
            (self.from, self.cell_ms) = (begun, CELL_MS);
        }
        let from = begun.max(self.from);
        let ms = (until.max(from + 1) - from) as f64;
        let run = Part { chunks: 1.0, requests: requests as f64, tokens: tokens as f64, busy: ms, ..Part::default() };
        self.reach(until);
        let (first, last) = (self.place(from), self.place(until));
        for place in first..=last {
            let begin = self.from + place as u64 * self.cell_ms;
            let within = until.min(begin + self.cell_ms).saturating_sub(from.max(begin));
            self.cells[place].add(&run, within as f64 / ms);
        }
        (self.edge, self.until) = (self.edge.max(begun), self.until.max(until));
        self.longest = self.longest.max(until - begun);
    }

    /// The fall that cost it most, if it fell. `ran`: when any of it ran; `is_over`: no chunk runs any more.
    pub fn fall(&self, ran: &Spans, is_over: bool) -> Option<Fall> {
        let parts = self.parts(ran, is_over);
        let mut cuts = Vec::new();
        cut(&parts, CUTS_MAX, &mut cuts);
        let ends = cuts.iter().copied().skip(1).chain([parts.len()]);
        let begins = [0].into_iter().chain(cuts.iter().copied());
        let falls = begins.zip(&cuts).zip(ends).filter_map(|((begin, at), end)| {
            let (before, after) = (Part::sum(&parts[begin..*at]), Part::sum(&parts[*at..end]));
            Some((fell(&before, &after)?, (before.rate() - after.rate()) * after.ms))
        });
        falls.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(fall, _)| fall)
    }

    fn place(&self, at: u64) -> usize {
        (at.saturating_sub(self.from) / self.cell_ms.max(1)) as usize
    }

    fn reach(&mut self, until: u64) {
        while self.place(until) >= CELLS_MAX {
            self.cells = self.cells.chunks(2).map(Part::sum).collect();
            self.cell_ms *= 2;
        }
        self.cells.resize(self.cells.len().max(self.place(until) + 1), Part::default());
    }

    /// The cells in which it ran. Of the time in which its last chunks ran alone, or in which not all that ran is done,
    /// nothing is to be learned.
    fn parts(&self, ran: &Spans, is_over: bool) -> Vec<Part> {
        let end = if is_over { self.edge } else { self.edge.min(self.until.saturating_sub(self.longest)) };
        let cells = (self.from..).step_by(self.cell_ms.max(1) as usize).zip(&self.cells);
        let whole = cells.take_while(|(at, _)| at + self.cell_ms <= end);
        let parts = whole.map(|(at, part)| Part { at, ms: ran.overlap(at, at + self.cell_ms) as f64, ..*part });
        parts.filter(|part| part.ms > 0.0).collect()
    }
}

/// Where the rate changed, in order: each part in two where they differ most, as long as that says more than chance.
fn cut(parts: &[Part], depth: u32, cuts: &mut Vec<usize>) {
    let Some(at) = step(parts).filter(|_| depth > 0) else { return };
    cut(&parts[..at], depth - 1, cuts);
    cuts.push(at);
    let mut later = Vec::new();
    cut(&parts[at..], depth - 1, &mut later);
    cuts.extend(later.into_iter().map(|cut| cut + at));
}

fn step(parts: &[Part]) -> Option<usize> {
    let all = Part::sum(parts);
    let off = |rate: f64, ms: f64| ms * (rate - all.rate()).powi(2);
    let total: f64 = parts.iter().map(|part| off(part.rate(), part.ms)).sum();
    let between = |at: &usize| {
        let (before, after) = (Part::sum(&parts[..*at]), Part::sum(&parts[*at..]));
        let is_part = before.ms.min(after.ms) >= PART_MIN * all.ms && differs(&before, &after);
        if is_part { off(before.rate(), before.ms) + off(after.rate(), after.ms) } else { 0.0 }
    };
    let places = PART_CELLS..(parts.len() + 1).saturating_sub(PART_CELLS);
    let (at, most) = places.map(|at| (at, between(&at))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (most > 0.0 && most >= STEP_MIN * total).then_some(at)
}

/// Whether two rates differ by more than chance would have it.
fn differs(before: &Part, after: &Part) -> bool {
    let chance = CHUNK_DEVIATION * (1.0 / before.chunks.max(0.1) + 1.0 / after.chunks.max(0.1)).sqrt();
    (before.rate() / after.rate().max(1e-12)).ln().abs() >= SURE * chance
}

fn fell(before: &Part, after: &Part) -> Option<Fall> {
    let (was, is) = (before.rate(), after.rate());
    if !differs(before, after) || is > was * (1.0 - FALL_MIN) {
        return None;
    }
    let more = |of: fn(&Part) -> f64| (of(after).max(1e-9) / of(before).max(1e-9)).ln();
    let longer = if before.tokens > 0.0 { more(|part| part.tokens / part.requests.max(1e-9)) } else { 0.0 };
    let fewer = -more(|part| part.busy / part.ms.max(1.0));
    // What is left of the fall: a token takes more of a chunk's time.
    let slower = more(|part| part.busy / part.requests.max(1e-9)) - longer;
    let causes = [(Of::AnswersLonger, longer), (Of::FewerAtOnce, fewer), (Of::Slower, slower)];
    let (of, _) = causes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Fall { at: Timestamp::new(after.at), before: was * 1_000.0, after: is * 1_000.0, of })
}
