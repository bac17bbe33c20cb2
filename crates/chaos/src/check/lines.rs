//! The lines of a job's two files, one after the other: each request exactly one, the right answer, in input order.
use super::Complaints;
use crate::{
    oracle::{Oracle, number},
    plan::{Fate, Job, Manner},
};
use domain::status::State;
use serde::Deserialize;
use std::borrow::Cow;

/// The codes that jetbatch gives requests which were not run to an answer.
const EXPIRED: &str = "batch_expired";
const CANCELLED: &str = "batch_cancelled";
const FAILED: &str = "engine_failed";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: u64,
    /// By the engine, with an HTTP status of its own.
    pub refused: u64,
    /// Given up after failing too often.
    pub failed: u64,
    pub unanswered: u64,
    pub lost: u64,
    pub doubled: u64,
    pub wrong: u64,
    pub complaints: Complaints,
}

impl Tally {
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.wrong == 0
    }

    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.wrong += other.wrong;
        self.complaints.take(other.complaints);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    Output,
    Errors,
}

/// What has been read of one job. It keeps a bit a request.
pub struct Lines<'a> {
    job: &'a Job,
    oracle: &'a Oracle,
    state: State,
    /// The job closed before it was planned: it has no requests to answer for.
    is_void: bool,
    seen: Vec<u64>,
    last: [Option<u32>; 2],
    tally: Tally,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
    #[serde(borrow)]
    error: Option<Reason<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: Body<'a>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reason<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

impl<'a> Lines<'a> {
    /// `total` is the number of requests that the job's status tells.
    pub fn new(job: &'a Job, oracle: &'a Oracle, state: State, total: u64) -> Self {
        let is_void = total == 0 && matches!(state, State::Cancelled | State::Expired) || state == State::Failed;
        let seen = vec![0; (job.requests as usize).div_ceil(64)];
        Self { job, oracle, state, is_void, seen, last: [None; 2], tally: Tally::default() }
    }

    pub fn output(&mut self, line: &[u8]) {
        self.line(File::Output, line);
    }

    pub fn error(&mut self, line: &[u8]) {
        self.line(File::Errors, line);
    }

    /// What is missing once both files are read.
    pub fn end(mut self) -> Tally {
        if self.is_void {
            return self.tally;
        }
        for n in 0..self.job.requests {
            if self.seen[n as usize / 64] & (1 << (n % 64)) == 0 {
                self.tally.lost += 1;
                let job = self.job.number;
                self.tally.complaints.add(|| format!("job {job}: request {n} has no line"));
            }
        }
        self.tally
    }

    fn line(&mut self, file: File, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else {
            return self.wrong(|| format!("a line of {file:?} is not in the form: {}", clipped(line)));
        };
        let Some(n) = number(&line.custom_id).filter(|n| *n < self.job.requests && !self.is_void) else {
            return self.wrong(|| format!("{file:?} has a line for '{}', which was not asked", line.custom_id));
        };
        if !self.is_first(n) {
            self.tally.doubled += 1;
            let job = self.job.number;
            return self.tally.complaints.add(|| format!("job {job}: request {n} has another line in {file:?}"));
        }
        let last = &mut self.last[file as usize];
        let is_late = last.is_some_and(|last| n < last);
        *last = Some(n);
        if is_late {
            self.wrong(|| format!("request {n} is out of order in {file:?}"));
        }
        match file {
            File::Output => self.answer(n, &line),
            File::Errors => self.failure(n, &line),
        }
    }

    fn is_first(&mut self, n: u32) -> bool {
        let (word, bit) = (&mut self.seen[n as usize / 64], 1 << (n % 64));
        let is_first = *word & bit == 0;
        *word |= bit;
        is_first
    }

    fn answer(&mut self, n: u32, line: &Line<'_>) {
        self.tally.answered += 1;
        let manner = self.job.manner(n);
        if !matches!(manner, Manner::Plain | Manner::Large) {
            return self.wrong(|| format!("request {n} is {manner:?} and was answered"));
        }
        let (Some(response), None) = (&line.response, &line.error) else {
            return self.wrong(|| format!("request {n} has an error in the output"));
        };
        let said = response.body.choices.first().map(|choice| &*choice.message.content);
        if response.status_code != 200 || said != Some(&*self.oracle.answer(self.job, n)) {
            let said = clipped(said.unwrap_or_default().as_bytes());
            self.wrong(|| format!("request {n} has another's answer: {said}"));
        }
    }

    fn failure(&mut self, n: u32, line: &Line<'_>) {
        let manner = self.job.manner(n);
        let code = line.error.as_ref().map(|error| &*error.code);
        let status = line.response.as_ref().map(|response| response.status_code);
        let right = match (code, status) {
            (Some(EXPIRED), None) => self.unanswered(State::Expired),
            (Some(CANCELLED), None) => self.unanswered(State::Cancelled),
            (Some(FAILED), None) => {
                self.tally.failed += 1;
                matches!(manner, Manner::Poison | Manner::Deadly) || self.is_short_of_time()
            }
            (None, Some(400)) => {
                self.tally.refused += 1;
                manner == Manner::Refused
            }
            _ => false,
        };
        if !right {
            let state = self.state.as_str();
            self.wrong(|| format!("request {n} ({manner:?}) of a {state} job has the error {code:?} {status:?}"));
        }
    }

    /// Where the deadline is near, a chunk that fails is not tried again: all of it is given up, and not only the
    /// request that is to blame.
    fn is_short_of_time(&self) -> bool {
        matches!(self.job.fate, Fate::Expired { .. }) && (self.job.poison || self.job.deadly)
    }

    fn unanswered(&mut self, state: State) -> bool {
        self.tally.unanswered += 1;
        self.state == state
    }

    fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.tally.wrong += 1;
        let job = self.job.number;
        self.tally.complaints.add(|| format!("job {job}: {}", what()));
    }
}

fn clipped(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests;
