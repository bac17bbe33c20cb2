//! How many calls a server is given at once, where nobody says: more as long as that makes it faster, half as many when it
//! says that it is full. Pure: times and outcomes come in.
//!
//! A server with continuous batching gets faster with each call up to some number, and beyond it only lets calls wait. So
//! the limit doubles while that pays, then stays and is tried a step higher from time to time. What runs beside it makes a
//! server slower for a while: a doubling that did not pay is tried again before that is believed. Where the server
//! refused, the limit comes back in small steps.
use std::time::Duration;

/// Without a word on the server, so many at first.
const START: usize = 16;
/// A step that makes the server so much faster has paid.
const GAIN: f64 = 1.04;
/// One reading takes at least so many answers for each call at once, and so long.
const ROUNDS: usize = 3;
const ANSWERS_MIN: usize = 128;
const READING_MIN: Duration = Duration::from_millis(500);
/// Doublings in a row that did not pay, and then it rests.
const TRIES: u32 = 2;
/// So much of the places is taken while it lasts: a place that is free is taken again a moment later.
const FULL: f64 = 0.8;
/// After so long a reading counts, however few answers came.
const READING_MAX: Duration = Duration::from_secs(30);
/// Readings between two tries of a higher limit: doubled after each that did not pay.
const REST_MIN: u32 = 8;
const REST_MAX: u32 = 128;
/// Refusals so close together are one.
const REFUSALS_APART: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Limit {
    now: usize,
    most: usize,
    way: Way,
    reading: Reading,
    refused: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// It is as it is told.
    Fixed,
    /// `from` made `rate`, and this is tried in its place.
    Trying { from: usize, rate: f64, step: Step, rest: u32 },
    /// Until the next try.
    Resting { readings: u32, step: Step, rest: u32 },
    /// A refusal came: up again by small steps, to below where it came.
    Back { to: usize },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Twice as many, after so many tries that did not pay.
    Double(u32),
    Quarter,
}

/// What was done since `begun`, while most places were taken.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    begun: Option<Duration>,
    answers: usize,
    work: u64,
    /// Of all its answers, the calls that ran with each.
    busy: usize,
}

impl Limit {
    pub fn fixed(calls: usize) -> Self {
        Self::with(calls.max(1), calls.max(1), Way::Fixed)
    }

    /// Never more than `most`.
    pub fn auto(most: usize) -> Self {
        let most = most.max(1);
        let way = Way::Trying { from: 0, rate: 0.0, step: Step::Double(0), rest: REST_MIN };
        Self::with(START.min(most), most, way)
    }

    fn with(now: usize, most: usize, way: Way) -> Self {
        Self { now, most, way, reading: Reading::default(), refused: None }
    }

    pub const fn now(&self) -> usize {
        self.now
    }

    /// An answer came that cost `work` (tokens, or anything that adds up), while `busy` calls ran, this one among them.
    pub fn answered(&mut self, work: u64, busy: usize, at: Duration) {
        if self.way == Way::Fixed {
            return;
        }
        // What a server makes of far fewer calls says nothing of the limit.
        if busy < self.now / 2 {
            self.reading = Reading::default();
            return;
        }
        let begun = *self.reading.begun.get_or_insert(at);
        self.reading.answers += 1;
        self.reading.work += work;
        self.reading.busy += busy;
        let took = at.saturating_sub(begun);
        let is_enough = took >= READING_MIN && self.reading.answers >= (ROUNDS * self.now).max(ANSWERS_MIN);
        if is_enough || took >= READING_MAX {
            let Reading { work, busy, answers, .. } = std::mem::take(&mut self.reading);
            if busy as f64 >= FULL * (answers * self.now) as f64 {
                self.read(work as f64 / took.as_secs_f64().max(f64::EPSILON));
            }
        }
    }

    /// The server refused a call for want of room.
    pub fn refused(&mut self, at: Duration) {
        let is_same = self.refused.is_some_and(|before| at.saturating_sub(before) < REFUSALS_APART);
        if self.way == Way::Fixed || is_same {
            return;
        }
        self.refused = Some(at);
        self.reading = Reading::default();
        self.way = Way::Back { to: (self.now * 9 / 10).max(1) };
        self.now = (self.now / 2).max(1);
    }

    fn read(&mut self, rate: f64) {
        match self.way {
            Way::Fixed => {}
            Way::Trying { from, rate: before, step, rest } if rate >= before * GAIN => match step {
                Step::Double(_) => self.attempt(Step::Double(0), rate, rest),
                // A step that paid asks for the next at once.
                Step::Quarter => self.attempt(step, rate, if from == 0 { rest } else { REST_MIN }),
            },
            Way::Trying { from, step, rest, .. } => {
                self.now = from.max(1);
                self.way = match step {
                    // What it makes of the old number now is read anew.
                    Step::Double(failed) if failed + 1 < TRIES => {
                        Way::Resting { readings: 0, step: Step::Double(failed + 1), rest }
                    }
                    _ => Way::Resting { readings: rest, step: Step::Quarter, rest: (rest * 2).min(REST_MAX) },
                };
            }
            Way::Resting { readings: 0, step, rest } => self.attempt(step, rate, rest),
            Way::Resting { readings, step, rest } => self.way = Way::Resting { readings: readings - 1, step, rest },
            Way::Back { to } if self.now < to => self.now = (self.now + self.now.div_ceil(8)).min(to),
            Way::Back { .. } => self.way = Way::Resting { readings: REST_MAX, step: Step::Quarter, rest: REST_MAX },
        }
    }

    fn attempt(&mut self, step: Step, rate: f64, rest: u32) {
        let next = match step {
            Step::Double(_) => self.now * 2,
            Step::Quarter => self.now + self.now.div_ceil(4),
        };
        let next = next.min(self.most);
        self.way = match next > self.now {
            true => Way::Trying { from: self.now, rate, step, rest },
            false => Way::Resting { readings: rest, step: Step::Quarter, rest },
        };
        self.now = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cmp::Reverse, collections::BinaryHeap};

    /// A server that runs `slots` calls at once, each token of all of them in `fixed` + `each` ms for each that runs; what
    /// is beyond waits, and beyond `room` is refused.
    struct Server {
        slots: usize,
        fixed_ms: f64,
        each_ms: f64,
        room: usize,
        /// How much slower and faster it is from one half second to the next.
        noise: f64,
    }

    impl Server {
        /// Seconds for one call of `tokens` while `busy` are there: an even share of the server.
        fn seconds(&self, tokens: u64, busy: usize) -> f64 {
            let running = busy.min(self.slots) as f64;
            let step = (self.fixed_ms + self.each_ms * running) / 1_000.0;
            tokens as f64 * step * (busy as f64 / running).max(1.0)
        }

        /// Tokens a second of `calls` calls of many lengths, over the last half; and the limit in the end.
        fn run(&self, limit: &mut Limit, calls: u64) -> (f64, usize) {
            let (mut out, mut busy, mut now) = (BinaryHeap::new(), 0, 0.0_f64);
            let (mut left, mut half) = (calls, (0.0, 0_u64));
            let mut work = 0;
            let mut chance = 7_u64;
            while left > 0 || busy > 0 {
                while left > 0 && busy < limit.now() {
                    if busy >= self.room {
                        limit.refused(Duration::from_secs_f64(now));
                        break;
                    }
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let tokens = 8 + (chance >> 33) % 120;
                    busy += 1;
                    left -= 1;
                    let weather = 1.0 + self.noise * ((now * 2.0).floor() * 12.9898).sin();
                    let end = now + self.seconds(tokens, busy) * weather;
                    out.push(Reverse(((end * 1e6) as u64, tokens)));
                }
                let Some(Reverse((end, tokens))) = out.pop() else { break };
                now = end as f64 / 1e6;
                limit.answered(tokens, busy, Duration::from_secs_f64(now));
                busy -= 1;
                work += tokens;
                if left == calls / 2 {
                    half = (now, work);
                }
            }
            ((work - half.1) as f64 / (now - half.0), limit.now())
        }

        fn best(&self) -> f64 {
            let sweep = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256];
            sweep.iter().map(|calls| self.run(&mut Limit::fixed(*calls), 4_000).0).fold(0.0, f64::max)
        }
    }

    #[test]
    fn the_limit_finds_what_a_server_can_do() {
        for (slots, fixed_ms, each_ms) in
            [(1, 1.0, 1.0), (8, 4.0, 0.2), (32, 4.0, 0.2), (128, 8.0, 0.02), (256, 1.0, 0.0)]
        {
            let server = Server { slots, fixed_ms, each_ms, room: 1_000, noise: 0.0 };
            let (rate, limit) = server.run(&mut Limit::auto(256), 40_000);
            let best = server.best();
            assert!(rate >= 0.95 * best, "{slots} slots: {rate:.0} of {best:.0} tokens/s with {limit}");
            assert!(limit <= 4 * slots.max(START), "{slots} slots: {limit} calls would drown it");
        }
    }

    #[test]
    fn it_is_found_while_other_things_make_the_server_slower_and_faster() {
        for (slots, fixed_ms, each_ms) in [(8, 4.0, 0.2), (32, 4.0, 0.6), (64, 8.0, 0.05)] {
            let server = Server { slots, fixed_ms, each_ms, room: 1_000, noise: 0.15 };
            let (rate, limit) = server.run(&mut Limit::auto(256), 60_000);
            let best = server.best();
            assert!(rate >= 0.95 * best, "{slots} slots: {rate:.0} of {best:.0} tokens/s with {limit}");
        }
    }

    #[test]
    fn a_server_that_refuses_is_given_less_and_never_more_than_the_cap() {
        let narrow = Server { slots: 64, fixed_ms: 4.0, each_ms: 0.1, room: 24, noise: 0.0 };
        let (rate, limit) = narrow.run(&mut Limit::auto(256), 40_000);
        assert!(limit <= 24 && rate >= 0.8 * narrow.run(&mut Limit::fixed(23), 4_000).0, "{limit}: {rate}");
        let wide = Server { slots: 256, fixed_ms: 4.0, each_ms: 0.0, room: 1_000, noise: 0.0 };
        assert_eq!(wide.run(&mut Limit::auto(40), 40_000).1, 40);
    }

    #[test]
    fn refusals_that_come_together_halve_it_once() {
        let mut limit = Limit::auto(256);
        let at = Duration::from_millis;
        [10, 20, 900].into_iter().for_each(|ms| limit.refused(at(ms)));
        assert_eq!(limit.now(), START / 2);
        (0..10).for_each(|n| limit.refused(at(10_000 * (n + 1))));
        assert_eq!(limit.now(), 1);
        let mut fixed = Limit::fixed(7);
        fixed.refused(at(1));
        assert_eq!(fixed.now(), 7);
    }

    /// Who sends takes a place again a moment after it was given up.
    #[test]
    fn places_that_are_free_for_a_moment_do_not_stop_it() {
        let (mut limit, mut at) = (Limit::auto(256), 0.0);
        for n in 0..40_000 {
            at += 0.1 / limit.now().min(64) as f64;
            limit.answered(10, limit.now() - n % 3, Duration::from_secs_f64(at));
        }
        assert!((64..=128).contains(&limit.now()), "{}", limit.now());
    }

    #[test]
    fn an_idle_server_tells_nothing() {
        let mut limit = Limit::auto(256);
        (0..10_000).for_each(|n| limit.answered(10, 3, Duration::from_millis(n)));
        assert_eq!(limit.now(), START);
    }
}
