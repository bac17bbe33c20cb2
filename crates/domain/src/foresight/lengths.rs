//! How long a pool's answers are, by kind of request: in tokens, and as a part of what they may be. Which of the two a
//! forecast goes by, their spread decides: answers that always fill their caps are foreseen by the caps.
use super::{
    due::Sum,
    histogram::{Histogram, Summary},
};
use crate::load::{Kind, Load};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds remembered by a pool; the one that was not seen for longest gives way.
const KINDS_MAX: usize = 512;
/// So many chunks of the pool count as much as what its kinds tell, and so many of the prior as the pool.
const POOL_CHUNKS: f64 = 2.0;
const PRIOR_CHUNKS: f64 = 2.0;
/// Before anything is known: answers fill so much of their caps, or have so many tokens.
const SHARE: f64 = 0.4;
const TOKENS: f64 = 200.0;
/// The variance of the logarithm of that guess, of what kinds differ by while few are known, and of a chunk's mean.
const PRIOR_VAR: f64 = 0.64;
const KIND_VAR: f64 = 2.0;
const CHUNK_VAR: f64 = 0.05;
const VAR_MIN: f64 = 1e-4;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    all: Pair,
    kinds: BTreeMap<Kind, Aged>,
    templates: usize,
    clock: u64,
    /// Prompt tokens, and the bytes that they were.
    tokens: f64,
    bytes: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Aged {
    pair: Pair,
    seen: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Pair {
    tokens: Histogram,
    /// Of the cap.
    share: Histogram,
}

/// What is expected of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// Answer tokens.
    pub mean: f64,
    /// Variance of the logarithm of one chunk's mean, around that.
    pub spread: f64,
    /// Variance of the logarithm of the mean itself: what is not known of it.
    pub doubt: f64,
}

/// A chunk that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub load: Load,
    /// Those that were answered.
    pub requests: f64,
    pub prompt: f64,
    pub answer: f64,
    /// All of its requests were answered, so that their caps count.
    pub is_whole: bool,
}

impl Lengths {
    pub fn add(&mut self, chunk: &Answered) {
        if chunk.requests < 1.0 {
            return;
        }
        self.clock += 1;
        self.learn_tokens(chunk);
        let mean = (chunk.answer / chunk.requests).max(0.5);
        let caps = chunk.load.caps as f64;
        let share = (caps > 0.0 && chunk.is_whole).then(|| chunk.answer.max(0.5) / caps);
        let clock = self.clock;
        let is_new = !self.kinds.contains_key(&chunk.load.kind);
        let kind = self.kinds.entry(chunk.load.kind).or_default();
        kind.seen = clock;
        kind.pair.add(mean, share);
        self.all.add(mean, share);
        if is_new {
            self.bound();
        }
    }

    /// Prompt tokens for each byte of a prompt.
    pub fn per_byte(&self) -> f64 {
        (self.tokens + 250.0) / (self.bytes + 1_000.0)
    }

    pub fn guess(&self, kind: Kind, sum: &Sum) -> Guess {
        let requests = sum.requests.max(1) as f64;
        let cap = (sum.uncapped == 0 && sum.caps > 0).then(|| sum.caps as f64 / requests);
        let kin = self.kin(kind);
        let prior = cap.map_or(TOKENS, |cap| SHARE * cap);
        // A new kind may be like no other as long as few are known.
        let (count, chunks) = (self.templates as f64, self.all.tokens.weight());
        let known = count / (count + 2.0) * chunks / (chunks + PRIOR_CHUNKS);
        let tokens = guess(&kin, &self.all, |pair| &pair.tokens, (prior, known, KIND_VAR));
        let Some(cap) = cap else { return tokens };
        // But not where all have filled their caps.
        let chunks = self.all.share.weight();
        let known = chunks / (chunks + PRIOR_CHUNKS);
        let strange = KIND_VAR * (1.0 - self.all.share.summary().mean).clamp(0.05, 1.0);
        mixed(tokens, scaled(guess(&kin, &self.all, |pair| &pair.share, (SHARE, known, strange)), cap))
    }

    /// Its own, and what else there is of its template, each with how much it counts.
    fn kin(&self, kind: Kind) -> Vec<(f64, &Pair)> {
        let (first, last) = kind.template();
        let kin = self.kinds.range(first..=last);
        kin.map(|(other, aged)| (0.25_f64.powi(kind.distance(*other) as i32), &aged.pair)).collect()
    }

    fn learn_tokens(&mut self, chunk: &Answered) {
        const MEMORY: f64 = 1e7;
        let keep = if self.bytes > MEMORY { 0.99 } else { 1.0 };
        if chunk.is_whole && chunk.prompt > 0.0 {
            self.tokens = self.tokens * keep + chunk.prompt;
            self.bytes = self.bytes * keep + chunk.load.prompt_bytes as f64;
        }
    }

    fn bound(&mut self) {
        if self.kinds.len() > KINDS_MAX {
            let oldest = self.kinds.iter().min_by_key(|(_, aged)| aged.seen).map(|(kind, _)| *kind);
            oldest.map(|kind| self.kinds.remove(&kind));
        }
        let mut templates: Vec<Kind> = self.kinds.keys().map(|kind| kind.template().0).collect();
        templates.dedup();
        self.templates = templates.len();
    }
}

impl Pair {
    fn add(&mut self, mean: f64, share: Option<f64>) {
        self.tokens.add(mean);
        if let Some(share) = share {
            self.share.add(share);
        }
    }
}

/// Of a kind's kin, shrunk towards the pool's, which is shrunk towards a prior mean: `known` says how far the pool tells of
/// kinds that it has not seen, and `strange` how much such a one may differ.
fn guess(
    kin: &[(f64, &Pair)],
    all: &Pair,
    which: impl Fn(&Pair) -> &Histogram,
    (prior, known, strange): (f64, f64, f64),
) -> Guess {
    let prior = Summary { weight: 0.0, mean: prior, var: CHUNK_VAR };
    let all = which(all).summary();
    let mean = if all.weight > 0.0 { all.mean.powf(known) * prior.mean.powf(1.0 - known) } else { prior.mean };
    let pool = Summary { mean, ..all.shrunk(prior, PRIOR_CHUNKS) };
    let own = kin.iter().fold(Summary::default(), |sum, (part, pair)| sum.joined(which(pair).summary(), *part));
    let kind = own.shrunk(pool, POOL_CHUNKS);
    let not_own = POOL_CHUNKS / (own.weight + POOL_CHUNKS);
    let other = PRIOR_VAR * (1.0 - known).powi(2) + known.powi(2) * all.var + strange * (1.0 - known);
    Guess {
        mean: kind.mean,
        spread: kind.var.max(VAR_MIN),
        doubt: not_own.powi(2) * other + kind.var / (own.weight + 1.0),
    }
}

fn scaled(guess: Guess, by: f64) -> Guess {
    Guess { mean: guess.mean * by, ..guess }
}

/// Each counts by how little it spreads.
fn mixed(a: Guess, b: Guess) -> Guess {
    let trust = |guess: &Guess| (guess.spread + guess.doubt).max(VAR_MIN).powi(-2);
    let part = trust(&a) / (trust(&a) + trust(&b));
    let mix = |a: f64, b: f64| part * a + (1.0 - part) * b;
    Guess { mean: mix(a.mean, b.mean), spread: mix(a.spread, b.spread), doubt: mix(a.doubt, b.doubt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: u32, caps: u64, answer: f64) -> Answered {
        let load = Load { prompt_bytes: 4_000, caps, kind: Kind::new(kind << 8, 400) };
        Answered { load, requests: 10.0, prompt: 1_000.0, answer, is_whole: true }
    }

    fn sum(caps: u64) -> Sum {
        Sum { chunks: 1, requests: 10, prompt_bytes: 4_000, caps, uncapped: u64::from(caps == 0) }
    }

    fn guess(lengths: &Lengths, kind: u32, caps: u64) -> Guess {
        lengths.guess(Kind::new(kind << 8, 400), &sum(caps))
    }

    #[test]
    fn before_anything_is_known_the_caps_are_all_there_is() {
        let none = Lengths::default();
        assert_eq!(guess(&none, 1, 1_000).mean, SHARE * 100.0);
        assert_eq!(guess(&none, 1, 0).mean, TOKENS);
        assert!(guess(&none, 1, 0).doubt >= PRIOR_VAR);
    }

    #[test]
    fn a_kind_tells_its_own_and_a_new_one_is_taken_for_the_pool_s() {
        let mut lengths = Lengths::default();
        for n in 0..200 {
            lengths.add(&chunk(1 + n % 2, 0, if n % 2 == 0 { 1_000.0 } else { 100.0 }));
        }
        let (long, short, new) = (guess(&lengths, 1, 0), guess(&lengths, 2, 0), guess(&lengths, 3, 0));
        assert!((long.mean - 100.0).abs() < 5.0 && (short.mean - 10.0).abs() < 5.0, "{long:?} {short:?}");
        assert!((55.0..TOKENS).contains(&new.mean) && new.doubt > 10.0 * long.doubt, "{new:?}");
    }

    /// Caps that force the length, of one kind: a file sorted by them is seen coming.
    #[test]
    fn answers_that_fill_their_caps_are_foreseen_by_the_caps() {
        let mut lengths = Lengths::default();
        for n in 0..60 {
            let caps = 100 * (1 + n % 20);
            lengths.add(&chunk(1, caps, caps as f64));
        }
        for caps in [100, 1_000, 3_000] {
            let mean = guess(&lengths, 1, caps).mean;
            assert!((mean / (caps as f64 / 10.0) - 1.0).abs() < 0.1, "{caps}: {mean}");
        }
    }

    #[test]
    fn answers_that_mind_no_cap_are_foreseen_by_their_length() {
        let mut lengths = Lengths::default();
        for n in 0..60 {
            lengths.add(&chunk(1, 1_000 << (n % 6), 500.0));
        }
        assert!((guess(&lengths, 1, 50_000).mean - 50.0).abs() < 5.0);
    }

    #[test]
    fn a_pool_remembers_so_many_kinds() {
        let mut lengths = Lengths::default();
        (0..2_000).for_each(|kind| lengths.add(&chunk(kind, 0, 100.0)));
        assert_eq!(lengths.kinds.len(), KINDS_MAX);
    }
}
