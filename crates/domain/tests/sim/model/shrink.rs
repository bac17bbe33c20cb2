//! A failure's choices, less and less of them, as long as the same invariant breaks.
use super::{
    choices::Step,
    world::{Report, Setup, replay},
};

/// Replays, at most.
const REPLAYS_MAX: usize = 1_500;

struct Shrinker {
    setup: Setup,
    what: &'static str,
    steps: Vec<Step>,
    left: usize,
}

/// The few steps that still fail, and their story.
pub fn shrink(setup: Setup, failed: &Report) -> (Vec<Step>, Report) {
    let what = failed.wrong.as_ref().map_or("", |wrong| wrong.what);
    let mut shrinker = Shrinker { setup, what, steps: failed.choices.clone(), left: REPLAYS_MAX };
    loop {
        let before = shrinker.steps.clone();
        shrinker.leave_out();
        shrinker.lower();
        if shrinker.steps == before || shrinker.left == 0 {
            break;
        }
    }
    let report = replay(setup, shrinker.steps.clone(), true);
    (shrinker.steps, report)
}

impl Shrinker {
    /// Keeps `steps` if they fail alike.
    fn attempt(&mut self, steps: Vec<Step>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let report = replay(self.setup, steps.clone(), false);
        let fails = report.wrong.is_some_and(|wrong| wrong.what == self.what);
        if fails {
            self.steps = steps;
        }
        fails
    }

    /// Half of the steps, then quarters, down to single ones.
    fn leave_out(&mut self) {
        let mut size = self.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = self.steps.len();
            while at > 0 {
                let from = at.saturating_sub(size);
                let steps = [&self.steps[..from], &self.steps[at..]].concat();
                self.attempt(steps);
                at = from.min(self.steps.len());
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// The numbers of each step: none, then one by one to zero, or to half.
    fn lower(&mut self) {
        for step in 0..self.steps.len() {
            for keep in 0..self.steps[step].len() {
                if self.with(step, |numbers| numbers.truncate(keep)) {
                    break;
                }
            }
            for at in 0..self.steps[step].len() {
                let number = self.steps[step][at];
                if number > 0 && !self.with(step, |numbers| numbers[at] = 0) && number > 1 {
                    self.with(step, |numbers| numbers[at] = number / 2);
                }
            }
        }
    }

    fn with(&mut self, step: usize, change: impl FnOnce(&mut Step)) -> bool {
        let mut steps = self.steps.clone();
        change(&mut steps[step]);
        self.attempt(steps)
    }
}
