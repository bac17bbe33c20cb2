//! What is asked of a world, and what befalls it.
use super::{
    chance::Chance,
    engine::Model,
    head::{Line, Spec},
};
use domain::event::Priority;

pub const MODEL: Model = Model { slots: 32, token_ms: 20.0, share: 0.05, prefill: 0.02, noise: 0.07 };
const WINDOW_MS: u64 = 24 * 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Workload {
    Steady,
    Short,
    HeavyTail,
    Sorted,
    Bimodal,
    Bursts,
    Urgent,
    Pauses,
    /// Not to be foreseen: nobody knows who will die.
    Workers,
    /// Not to be foreseen: the speed ahead is not the speed behind.
    Drift,
    /// Not to be foreseen: what was learned is of another model.
    ModelChange,
}

impl Workload {
    pub const ALL: [Self; 11] = [
        Self::Steady,
        Self::Short,
        Self::HeavyTail,
        Self::Sorted,
        Self::Bimodal,
        Self::Bursts,
        Self::Urgent,
        Self::Pauses,
        Self::Workers,
        Self::Drift,
        Self::ModelChange,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Short => "all short",
            Self::HeavyTail => "heavy tail",
            Self::Sorted => "sorted short to long",
            Self::Bimodal => "bimodal",
            Self::Bursts => "bursts of jobs",
            Self::Urgent => "urgent jobs cut in",
            Self::Pauses => "pauses",
            Self::Workers => "workers join and die",
            Self::Drift => "drift in speed",
            Self::ModelChange => "model change",
        }
    }

    pub const fn is_foreseeable(self) -> bool {
        !matches!(self, Self::Workers | Self::Drift | Self::ModelChange)
    }

    /// Workers at the beginning.
    pub const fn workers(self) -> usize {
        match self {
            Self::Workers => 4,
            _ => 2,
        }
    }

    /// Jobs that are submitted together, and how long after the last end, ms.
    pub fn burst(self, chance: &mut Chance) -> (usize, u64) {
        let gap = chance.between(1_000.0, 60_000.0) as u64;
        match self {
            Self::Bursts => (2 + (chance.next() % 4) as usize, gap),
            _ => (1, gap),
        }
    }

    pub fn job(self, chance: &mut Chance, state: &State) -> Spec {
        let count = chance.between(600.0, 2_400.0) as usize;
        // No two jobs are of one mean.
        let scale = chance.lognormal(state.lengths, 0.08);
        let mut lines: Vec<Line> = match self {
            Self::Short => (0..4 * count).map(|_| short(chance)).collect(),
            Self::HeavyTail => (0..count).map(|_| answer(chance, 90.0 * scale, 1.1, 4_096)).collect(),
            Self::Sorted => (0..count).map(|_| forced(chance)).collect(),
            Self::Bimodal => bimodal(chance, count, scale),
            _ => (0..count).map(|_| answer(chance, 120.0 * scale, 0.5, 1_024)).collect(),
        };
        if self == Self::Sorted {
            lines.sort_by_key(|line| line.answer);
        }
        Spec { lines, priority: Priority::Normal, window_ms: WINDOW_MS }
    }

    pub fn urgent(self, chance: &mut Chance) -> Spec {
        let count = chance.between(100.0, 500.0) as usize;
        let lines = (0..count).map(|_| answer(chance, 120.0, 0.5, 1_024)).collect();
        Spec { lines, priority: Priority::High, window_ms: WINDOW_MS }
    }
}

/// What changes in a world as jobs go by.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// Answers are so much longer than at the beginning.
    pub lengths: f64,
}

impl Default for State {
    fn default() -> Self {
        Self { lengths: 1.0 }
    }
}

fn answer(chance: &mut Chance, median: f64, deviation: f64, cap: u32) -> Line {
    let answer = (chance.lognormal(median, deviation).round() as u32).clamp(1, cap);
    let prompt_bytes = chance.lognormal(800.0, 0.6) as u32;
    Line { prompt_bytes, cap: Some(cap), template: 0x1100, answer }
}

fn short(chance: &mut Chance) -> Line {
    let answer = 2 + (chance.next() % 7) as u32;
    Line { prompt_bytes: chance.lognormal(200.0, 0.3) as u32, cap: Some(16), template: 0x2200, answer }
}

/// A grammar forces the length, and the cap is the length.
fn forced(chance: &mut Chance) -> Line {
    let answer = (chance.lognormal(60.0, 1.0).round() as u32).clamp(2, 800);
    Line { prompt_bytes: chance.lognormal(300.0, 0.2) as u32, cap: Some(answer), template: 0x3300, answer }
}

/// A word each, and then summaries, or the other way round; of no cap.
fn bimodal(chance: &mut Chance, count: usize, scale: f64) -> Vec<Line> {
    let words = (count as f64 * chance.between(0.3, 0.8)) as usize;
    let word = |chance: &mut Chance| Line {
        prompt_bytes: chance.lognormal(300.0, 0.3) as u32,
        cap: None,
        template: 0x4400,
        answer: 1 + (chance.next() % 6) as u32,
    };
    let summary = |chance: &mut Chance| {
        let answer = chance.lognormal(300.0 * scale, 0.4).round().max(1.0) as u32;
        Line { prompt_bytes: chance.lognormal(4_000.0, 0.3) as u32, cap: None, template: 0x5500, answer }
    };
    let mut lines: Vec<Line> = (0..count).map(|n| if n < words { word(chance) } else { summary(chance) }).collect();
    if chance.happens(0.5) {
        lines.reverse();
    }
    lines
}
