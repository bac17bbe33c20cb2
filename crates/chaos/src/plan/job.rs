//! The jobs of a run: how large, by which door, and what becomes of them.
use super::{Seconds, Spec};
use crate::seed::{Seed, mix};
use std::fmt;

/// Requests of one job, at most.
const REQUESTS_MAX: u64 = 20_000;
/// What goes into one message, at most.
const INLINE_MAX: u32 = 800;
/// Bytes that a large request's text has beside its words: more than one message takes.
const LARGE_BYTES: usize = 450_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub number: u32,
    /// When it is submitted, after the start.
    pub at_ms: u64,
    pub requests: u32,
    pub door: Door,
    pub fate: Fate,
    /// It is submitted twice under its key.
    pub twice: bool,
    /// One request is larger than a message.
    pub large: bool,
    /// Some requests are refused by the engine.
    pub refused: bool,
    /// Some requests fail whenever they run.
    pub poison: bool,
    /// One request ends the process that runs it.
    pub deadly: bool,
    /// Of its texts.
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /jobs` with the lines as the body.
    Upload,
    /// `POST /jobs` with a JSON submission.
    Json,
    /// `jobs.submit` with the requests in the message.
    Nats,
    /// `jobs.submit` with a file's URL.
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Cancelled when so many thousandths of it are answered.
    Cancelled {
        permille: u32,
    },
    /// Its window is shorter than it may take.
    Expired {
        window_s: u64,
    },
    Paused {
        permille: u32,
        for_ms: u64,
    },
    /// One of its lines is no request.
    Rejected,
}

/// How one request behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Plain,
    Large,
    Refused,
    Poison,
    Deadly,
}

pub fn draw(spec: &Spec, lasts_ms: u64, seed: &mut Seed) -> Vec<Job> {
    let most = (spec.requests / 20).clamp(10, REQUESTS_MAX);
    let (mut jobs, mut drawn) = (Vec::new(), 0);
    while drawn < spec.requests {
        let requests = size(most, seed).min(spec.requests - drawn);
        let at_ms = lasts_ms * drawn / spec.requests;
        jobs.push(one(spec, jobs.len() as u32, at_ms, requests as u32, seed));
        drawn += requests;
    }
    jobs
}

/// As many small jobs as large ones, on a scale of powers.
fn size(most: u64, seed: &mut Seed) -> u64 {
    ((most as f64).powf(seed.share()).round() as u64).clamp(1, most)
}

fn one(spec: &Spec, number: u32, at_ms: u64, requests: u32, seed: &mut Seed) -> Job {
    // Each is drawn whether it is used or not, so that a switch changes what it names and nothing else.
    let (fate, door, own) = (fate(spec, seed), door(requests, seed), seed.draw());
    let [twice, large, refused, poison, deadly] = [120, 40, 200, 150, 80].map(|permille| seed.chance(permille));
    let large = large && matches!(door, Door::Upload | Door::File);
    Job {
        number,
        at_ms,
        requests,
        door,
        fate,
        twice,
        large: large && !spec.model,
        refused: refused && !spec.model,
        poison: poison && spec.poison && !spec.model,
        deadly: deadly && spec.deadly && !spec.model,
        seed: own,
    }
}

fn fate(spec: &Spec, seed: &mut Seed) -> Fate {
    let permille = seed.between(0, 900) as u32;
    let (window_s, for_ms) = (seed.between(2, 15), seed.between(1_000, 8_000));
    let weights = if spec.hasty { [20, 40, 40, 0, 0] } else { [70, 12, 8, 8, 4] };
    let fates = [
        Fate::Answered,
        Fate::Cancelled { permille },
        Fate::Expired { window_s },
        Fate::Paused { permille, for_ms },
        Fate::Rejected,
    ];
    let drawn = seed.weighed(&std::array::from_fn::<_, 5, _>(|n| (fates[n], weights[n])));
    if matches!(drawn, Fate::Paused { .. }) && !spec.pauses { Fate::Answered } else { drawn }
}

fn door(requests: u32, seed: &mut Seed) -> Door {
    let door = seed.weighed(&[(Door::Upload, 30), (Door::Json, 25), (Door::Nats, 25), (Door::File, 20)]);
    match door {
        Door::Json | Door::Nats if requests > INLINE_MAX => Door::Upload,
        door => door,
    }
}

impl Job {
    /// How request `n` behaves. The last line of a rejected job is none of these.
    pub fn manner(&self, n: u32) -> Manner {
        let special = |salt: u64| (mix(self.seed ^ salt) % u64::from(self.requests)) as u32;
        let some = |salt: u64| mix(self.seed ^ salt ^ (u64::from(n) << 20)).is_multiple_of(50);
        match () {
            () if self.deadly && n == special(1) => Manner::Deadly,
            () if self.poison && (n == special(2) || n == special(3)) => Manner::Poison,
            () if self.large && n == special(4) => Manner::Large,
            () if self.refused && some(5) => Manner::Refused,
            () => Manner::Plain,
        }
    }

    /// What fills a text up to its length: mostly little, now and then more than a message takes.
    pub fn padding(&self, n: u32) -> usize {
        if self.manner(n) == Manner::Large {
            return LARGE_BYTES;
        }
        (mix(self.seed ^ u64::from(n)) % 120) as usize
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, requests, door, fate, .. } = self;
        write!(f, "job {number} at {}: {requests} by {door:?}, {fate}", Seconds(self.at_ms))?;
        let marks = [
            (self.twice, "submitted twice"),
            (self.large, "one large"),
            (self.refused, "some refused"),
            (self.poison, "poison"),
            (self.deadly, "deadly"),
        ];
        marks.iter().filter(|(is, _)| *is).try_for_each(|(_, mark)| write!(f, ", {mark}"))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::Cancelled { permille } => write!(f, "cancelled at {permille}/1000"),
            Self::Expired { window_s } => write!(f, "window {window_s} s"),
            Self::Paused { permille, for_ms } => write!(f, "paused at {permille}/1000 for {}", Seconds(*for_ms)),
            Self::Rejected => f.write_str("not valid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, tests::spec};

    #[test]
    fn what_goes_into_a_message_is_small() {
        for job in Plan::draw(&Spec { requests: 500_000, ..spec(1) }).jobs {
            let is_inline = matches!(job.door, Door::Json | Door::Nats);
            assert!(!is_inline || (job.requests <= INLINE_MAX && !job.large), "{job}");
            assert!(u64::from(job.requests) <= REQUESTS_MAX, "{job}");
        }
    }

    #[test]
    fn a_job_has_the_requests_it_says() {
        let jobs = Plan::draw(&spec(2)).jobs;
        let has = |job: &Job, manner| (0..job.requests).any(|n| job.manner(n) == manner);
        assert!(jobs.iter().filter(|job| job.poison).all(|job| has(job, Manner::Poison)));
        assert!(jobs.iter().filter(|job| !job.refused).all(|job| !has(job, Manner::Refused)));
        assert!(jobs.iter().any(|job| has(job, Manner::Refused)));
    }
}
