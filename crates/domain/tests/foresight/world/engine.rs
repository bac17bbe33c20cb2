//! A worker's engine: so many slots, and a speed that the busy ones share, as the echo engine's `token_ms` and `share`
//! have it. All answers that run get their tokens at one pace, so an answer's end is a place on the pace's own scale.
use super::chance::Chance;
use domain::{ChunkId, JobId};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

/// How an engine answers.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub slots: usize,
    /// Of an answer that runs alone.
    pub token_ms: f64,
    /// By so much each other one slows it.
    pub share: f64,
    /// A prompt token takes so much of an answer token.
    pub prefill: f64,
    /// How much its speed wanders, deviation of the logarithm.
    pub noise: f64,
}

/// A worker's speed is drawn anew after so long.
const WANDER_MS: u64 = 5_000;
/// How much of it stays.
const STAYS: f64 = 0.9;

#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub prompt: f64,
    pub answer: f64,
}

pub type Key = (JobId, ChunkId);

/// A chunk in an engine.
#[derive(Debug, Clone)]
pub struct Running {
    pub started: u64,
    pub delivered: u32,
    pub requests: u64,
    pub prompt: f64,
    pub answer: f64,
    left: usize,
}

#[derive(Debug)]
pub struct Engine {
    pub model: Model,
    /// Set from outside: 1 is as the model says.
    pub speed: f64,
    wander: f64,
    wandered: u64,
    now: f64,
    /// Tokens that an answer would have that runs since the beginning.
    pace: f64,
    busy: BinaryHeap<Reverse<(Order, Key)>>,
    waiting: VecDeque<(Key, Request)>,
    pub chunks: HashMap<Key, Running>,
    chance: Chance,
}

/// A number that has an order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Order(f64);

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Engine {
    pub fn new(model: Model, now: u64, chance: Chance) -> Self {
        let (busy, waiting, chunks) = (BinaryHeap::new(), VecDeque::new(), HashMap::new());
        Self {
            model,
            speed: 1.0,
            wander: 0.0,
            wandered: now,
            now: now as f64,
            pace: 0.0,
            busy,
            waiting,
            chunks,
            chance,
        }
    }

    /// It takes a chunk where a slot would stay free.
    pub fn is_hungry(&self) -> bool {
        self.waiting.is_empty() && self.busy.len() < self.model.slots
    }

    pub fn take(&mut self, key: Key, requests: &[Request], delivered: u32, now: u64) {
        let sum = |of: fn(&Request) -> f64| requests.iter().map(of).sum::<f64>();
        let (prompt, answer, count) = (sum(|r| r.prompt), sum(|r| r.answer), requests.len());
        let running = Running { started: now, delivered, requests: count as u64, prompt, answer, left: count };
        self.chunks.insert(key, running);
        self.waiting.extend(requests.iter().map(|request| (key, *request)));
        self.fill();
    }

    /// All of a job is left at once.
    pub fn leave(&mut self, job: JobId) {
        self.chunks.retain(|key, _| key.0 != job);
        self.waiting.retain(|(key, _)| key.0 != job);
        self.busy.retain(|Reverse((_, key))| key.0 != job);
        self.fill();
    }

    /// When it is next to be looked at.
    pub fn next(&self) -> Option<u64> {
        let Reverse((end, _)) = self.busy.peek()?;
        let end = self.now + (end.0 - self.pace).max(0.0) / self.rate();
        Some((end.ceil() as u64).min(self.wandered + WANDER_MS).max(self.now as u64))
    }

    /// Lets time pass; gives the chunks that are done.
    pub fn advance(&mut self, now: u64) -> Vec<(Key, Running)> {
        let mut done = Vec::new();
        self.pace += (now as f64 - self.now) * self.rate();
        self.now = now as f64;
        while let Some(Reverse((end, key))) = self.busy.peek().copied() {
            if end.0 > self.pace + 1e-9 {
                break;
            }
            self.busy.pop();
            self.answered(key, &mut done);
        }
        self.fill();
        if now >= self.wandered + WANDER_MS {
            self.wandered = now;
            let step = (1.0 - STAYS * STAYS).sqrt() * self.model.noise * self.chance.normal();
            self.wander = STAYS * self.wander + step;
        }
        done
    }

    fn answered(&mut self, key: Key, done: &mut Vec<(Key, Running)>) {
        let Some(chunk) = self.chunks.get_mut(&key) else { return };
        chunk.left -= 1;
        if chunk.left == 0 {
            done.extend(self.chunks.remove(&key).map(|chunk| (key, chunk)));
        }
    }

    /// Tokens for each answer, a ms.
    fn rate(&self) -> f64 {
        let others = self.busy.len().saturating_sub(1) as f64;
        self.speed * self.wander.exp() / (self.model.token_ms * (1.0 + self.model.share * others))
    }

    fn fill(&mut self) {
        while self.busy.len() < self.model.slots
            && let Some((key, request)) = self.waiting.pop_front()
        {
            let tokens = request.answer + self.model.prefill * request.prompt;
            self.busy.push(Reverse((Order(self.pace + tokens), key)));
        }
    }
}
