//! What a token costs a worker, from the time in which workers were busy and had more to take. A chunk's tokens count
//! where it ran, and not where it was done; time in which the last answers run alone does not count, and time of which
//! not all chunks are done yet neither.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Cells remembered; their length grows from the first to the last, so that two busy hours find room.
const CELLS_MAX: usize = 512;
const CELL_MS: u64 = 1_000;
const CELL_MS_MAX: u64 = 16_000;
/// Busy worker time after which a cell counts half.
const HALF_LIFE_MS: f64 = 30.0 * 60_000.0;
/// The same of what it was lately, for each worker.
const LATELY_MS: f64 = 15_000.0;
/// A prompt token costs so much of an answer token, as long as no more is known.
const PROMPT: f64 = 0.05;
/// How much that is believed against what is seen.
const BELIEF: f64 = 0.02;
/// Cells follow each other's lead: so many tell as much as one.
const ALIKE: f64 = 4.0;
const VAR_MIN: f64 = 9e-4;
/// Of a speed that is told by unfinished cells alone.
const VAR_YOUNG: f64 = 0.12;
/// A worker that was not heard of for so long has left.
const GONE_MS: u64 = 2 * 3_600_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    cell_ms: u64,
    cells: VecDeque<Cell>,
    /// When the last chunk began, and when the last was done.
    edge: Timestamp,
    until: Timestamp,
    /// How long a chunk takes at most, ms, lately.
    longest: f64,
    /// Until when each worker's time is counted.
    workers: BTreeMap<String, Timestamp>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Cell {
    at: u64,
    prompt: f64,
    answer: f64,
    /// Worker time, ms.
    busy: f64,
    /// There was nothing more to take.
    slack: bool,
}

/// A chunk that ran.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub worker: &'a str,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Tokens.
    pub prompt: f64,
    pub answer: f64,
}

/// Worker time for a token, ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub prompt: f64,
    pub answer: f64,
    /// The logarithm by which it was more lately.
    pub lately: f64,
    /// Variance of its logarithm: of what is known, and of one second's work of one worker.
    pub doubt: f64,
    pub noise: f64,
}

impl Default for Speed {
    fn default() -> Self {
        let (edge, until) = (Timestamp::default(), Timestamp::default());
        Self { cell_ms: CELL_MS, cells: VecDeque::new(), edge, until, longest: 0.0, workers: BTreeMap::new() }
    }
}

impl Speed {
    pub fn add(&mut self, run: &Run<'_>) {
        if run.to <= run.from {
            return;
        }
        if run.from > self.until {
            self.rest();
        }
        let covered = self.workers.get(run.worker).copied().unwrap_or_default().max(run.from);
        self.spread(run.from, run.to, |cell, part| {
            cell.prompt += part * run.prompt;
            cell.answer += part * run.answer;
        });
        let busy = run.to.since(covered) as f64;
        if busy > 0.0 {
            self.spread(covered, run.to, |cell, part| cell.busy += part * busy);
        }
        self.saw(run.worker, run.to.max(covered));
        self.edge = self.edge.max(run.from);
        self.until = self.until.max(run.to);
        self.longest = (self.longest * 0.98).max(run.to.since(run.from) as f64);
        self.bound();
    }

    /// When a chunk was done last.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Workers that were heard of in the last `ms`.
    pub fn workers(&self, now: Timestamp, ms: u64) -> u64 {
        self.workers.values().filter(|seen| now.since(**seen) <= ms).count() as u64
    }

    pub const fn longest(&self) -> f64 {
        self.longest
    }

    /// `run_ms`: how long a chunk runs. While some do, the last stretch is not all told.
    pub fn cost(&self, run_ms: f64) -> Option<Cost> {
        let told = self.until.get().saturating_sub(self.longest as u64);
        let full =
            |limit: u64| move |cell: &&Cell| !cell.slack && cell.busy > 0.0 && (cell.at + 1) * self.cell_ms <= limit;
        let limit = self.edge.get().min(told);
        let known: f64 = self.cells.iter().filter(full(limit)).map(|cell| cell.busy).sum();
        if known >= 3.0 * self.longest.max(self.cell_ms as f64) {
            return fit(self.cells.iter().filter(full(limit)), self.workers.len() as f64, 0.0);
        }
        let all: f64 = self.cells.iter().map(|cell| cell.busy).sum();
        let part = self.unseen(all, run_ms);
        let young = fit(self.cells.iter().filter(|cell| cell.busy > 0.0), 1.0, VAR_YOUNG + part.powi(2))?;
        Some(Cost { prompt: young.prompt * (1.0 - part), answer: young.answer * (1.0 - part), ..young })
    }

    /// The part of the busy time in which chunks ran that are not done: half of one in each worker, on average.
    fn unseen(&self, busy: f64, run_ms: f64) -> f64 {
        (run_ms / 2.0 * self.workers.len() as f64 / busy.max(1.0)).min(0.6)
    }

    /// All was done, and what comes is a new beginning: the end of the last was no full work.
    fn rest(&mut self) {
        let (edge, cell_ms) = (self.edge.get(), self.cell_ms);
        let late = self.cells.iter_mut().rev().take_while(|cell| (cell.at + 1) * cell_ms > edge);
        late.for_each(|cell| cell.slack = true);
    }

    fn saw(&mut self, worker: &str, until: Timestamp) {
        match self.workers.get_mut(worker) {
            Some(seen) => *seen = until,
            None => drop(self.workers.insert(worker.to_owned(), until)),
        }
        let newest = self.until.max(until);
        self.workers.retain(|_, seen| newest.since(*seen) <= GONE_MS);
    }

    /// Gives each cell from `from` to `to` its part.
    fn spread(&mut self, from: Timestamp, to: Timestamp, put: impl Fn(&mut Cell, f64)) {
        let (from, to, cell_ms) = (from.get(), to.get(), self.cell_ms);
        // What is older than all that is remembered is not worth a cell.
        let first = (from / cell_ms).max((to / cell_ms).saturating_sub(CELLS_MAX as u64));
        for at in first..=to.saturating_sub(1) / cell_ms {
            let within = to.min((at + 1) * cell_ms) - from.max(at * cell_ms);
            put(self.cell(at), within as f64 / (to - from) as f64);
        }
    }

    fn cell(&mut self, at: u64) -> &mut Cell {
        let place = self.cells.iter().rposition(|cell| cell.at <= at).map_or(0, |place| place + 1);
        if place > 0 && self.cells[place - 1].at == at {
            return &mut self.cells[place - 1];
        }
        self.cells.insert(place, Cell { at, prompt: 0.0, answer: 0.0, busy: 0.0, slack: false });
        &mut self.cells[place]
    }

    fn bound(&mut self) {
        if self.cells.len() > CELLS_MAX && self.cell_ms < CELL_MS_MAX {
            self.cell_ms *= 2;
            let cells = std::mem::take(&mut self.cells);
            cells.into_iter().for_each(|cell| self.merge(cell));
        }
        while self.cells.len() > CELLS_MAX {
            self.cells.pop_front();
        }
    }

    fn merge(&mut self, cell: Cell) {
        let at = cell.at / 2;
        match self.cells.back_mut().filter(|last| last.at == at) {
            Some(last) => {
                (last.prompt, last.answer) = (last.prompt + cell.prompt, last.answer + cell.answer);
                (last.busy, last.slack) = (last.busy + cell.busy, last.slack || cell.slack);
            }
            None => self.cells.push_back(Cell { at, ..cell }),
        }
    }
}

/// Least squares of the worker time on the tokens, with a leaning towards what a prompt token usually costs.
fn fit<'a>(cells: impl DoubleEndedIterator<Item = &'a Cell> + Clone, workers: f64, young: f64) -> Option<Cost> {
    let mut age = 0.0;
    let weighed: Vec<(f64, &Cell)> = cells
        .rev()
        .map(|cell| {
            let weight = 0.5_f64.powf(age / HALF_LIFE_MS);
            age += cell.busy;
            (weight, cell)
        })
        .collect();
    let sums = weighed.iter().fold([0.0; 5], |sums, (weight, cell)| {
        let (weight, lead) = (weight / cell.busy, cell.answer + PROMPT * cell.prompt);
        let add =
            [lead * lead, lead * cell.prompt, cell.prompt * cell.prompt, lead * cell.busy, cell.prompt * cell.busy];
        std::array::from_fn(|n| sums[n] + weight * add[n])
    });
    let (prompt, answer) = solve(sums)?;
    let (doubt, noise) = variance(&weighed, prompt, answer);
    let lately = if young > 0.0 { 0.0 } else { lately(&weighed, prompt, answer, workers) };
    Some(Cost { prompt, answer, lately, doubt: doubt + young, noise })
}

fn solve([aa, ap, pp, ab, pb]: [f64; 5]) -> Option<(f64, f64)> {
    if aa <= 0.0 {
        return None;
    }
    let held = pp * (1.0 + BELIEF);
    let determinant = aa * held - ap * ap;
    let plain = (PROMPT * ab / aa, ab / aa);
    if determinant <= 1e-12 * aa * held {
        return Some(plain);
    }
    let (lead, more) = ((ab * held - pb * ap) / determinant, (aa * pb - ap * ab) / determinant);
    let prompt = PROMPT * lead + more;
    Some(if lead > 0.0 && prompt >= 0.0 { (prompt, lead) } else { plain })
}

/// The last busy time against what the fit says of it, the logarithm.
fn lately(cells: &[(f64, &Cell)], prompt: f64, answer: f64, workers: f64) -> f64 {
    let (mut age, mut busy, mut told) = (0.0, 0.0, 0.0);
    for (_, cell) in cells {
        let weight = 0.5_f64.powf(age / (LATELY_MS * workers.max(1.0)));
        age += cell.busy;
        busy += weight * cell.busy;
        told += weight * (prompt * cell.prompt + answer * cell.answer);
    }
    (busy / told.max(1e-9)).ln().clamp(-1.5, 1.5)
}

/// Of the logarithm of what was told by the fit against what was.
fn variance(cells: &[(f64, &Cell)], prompt: f64, answer: f64) -> (f64, f64) {
    let (mut weight, mut squares, mut busy) = (0.0, 0.0, 0.0);
    for (w, cell) in cells {
        let off = ((prompt * cell.prompt + answer * cell.answer) / cell.busy).max(0.05).ln();
        (weight, squares, busy) = (weight + w, squares + w * off * off, busy + w * cell.busy);
    }
    let one = squares / weight.max(1e-9);
    let mean_s = busy / weight.max(1e-9) / 1_000.0;
    (VAR_MIN + one * ALIKE / weight.max(1.0), one * ALIKE * mean_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers with two chunks each, one after the other.
    fn work(speed: &mut Speed, from: u64, chunks: u64, ms: u64, prompt: f64, answer: f64) {
        for n in 0..chunks {
            for (worker, shift) in [("a", 0), ("b", ms / 4), ("a", ms / 2), ("b", 3 * ms / 4)] {
                let start = from + n * ms + shift;
                let (from, to) = (Timestamp::new(start), Timestamp::new(start + ms));
                speed.add(&Run { worker, from, to, prompt, answer });
            }
        }
    }

    #[test]
    fn a_token_costs_what_it_took() {
        let mut speed = Speed::default();
        // Two chunks at a time in each worker: 1,000 tokens in 5 s of it.
        work(&mut speed, 1_000_000, 60, 10_000, 0.0, 1_000.0);
        let cost = speed.cost(10_000.0).unwrap();
        assert!((cost.answer - 5.0).abs() < 0.2, "{cost:?}");
        assert!(cost.doubt < 0.02, "{cost:?}");
        assert_eq!(speed.workers(Timestamp::new(1_600_000), 20_000), 2);
    }

    #[test]
    fn prompt_and_answer_tokens_are_told_apart_where_their_mix_changes() {
        let mut speed = Speed::default();
        for n in 0..40 {
            // Answers cost 5 ms, prompts 1 ms.
            let prompt = if n % 2 == 0 { 0.0 } else { 3_000.0 };
            let ms = (2.0 * (5.0 * 1_000.0 + prompt)) as u64;
            work(&mut speed, 1_000_000 + n * 1_000_000, 10, ms, prompt, 1_000.0);
        }
        let cost = speed.cost(10_000.0).unwrap();
        assert!((cost.answer - 5.0).abs() < 0.5 && (cost.prompt - 1.0).abs() < 0.25, "{cost:?}");
    }

    /// A job's last answer runs alone for as long as all before it.
    #[test]
    fn the_end_of_a_job_does_not_slow_the_pool() {
        let mut speed = Speed::default();
        for n in 0..5 {
            let from = 1_000_000 + n * 1_000_000;
            work(&mut speed, from, 10, 10_000, 0.0, 1_000.0);
            let (from, to) = (Timestamp::new(from + 100_000), Timestamp::new(from + 200_000));
            speed.add(&Run { worker: "a", from, to, prompt: 0.0, answer: 100.0 });
        }
        work(&mut speed, 9_000_000, 1, 10_000, 0.0, 1_000.0);
        let cost = speed.cost(10_000.0).unwrap();
        assert!((cost.answer - 5.0).abs() < 0.6, "{cost:?}");
    }

    #[test]
    fn idle_time_does_not_count_and_nothing_is_claimed_before_the_first_answer() {
        let mut speed = Speed::default();
        assert_eq!(speed.cost(10_000.0), None);
        work(&mut speed, 1_000_000, 30, 10_000, 0.0, 1_000.0);
        work(&mut speed, 90_000_000, 30, 10_000, 0.0, 1_000.0);
        assert!((speed.cost(10_000.0).unwrap().answer - 5.0).abs() < 0.3);
    }

    #[test]
    fn two_hours_find_room() {
        let mut speed = Speed::default();
        work(&mut speed, 1_000_000, 1_000, 10_000, 0.0, 1_000.0);
        assert!(speed.cells.len() <= CELLS_MAX);
        assert_eq!(speed.cell_ms, CELL_MS_MAX);
        assert!((speed.cost(10_000.0).unwrap().answer - 5.0).abs() < 0.2);
    }
}
