//! How fast a pool answers, measured only while it has work.
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// One window of measurement.
const WINDOW_MS: u64 = 1_000;
/// Windows remembered: with one a second, the last half minute of work.
const WINDOWS_MAX: usize = 30;
/// Of which so many are late.
const WINDOWS_LATE: usize = 5;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Rate {
    windows: VecDeque<Window>,
    open: Option<Window>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Window {
    from: Timestamp,
    to: Timestamp,
    count: u64,
}

/// Answers a second and how much that varies from window to window (standard deviation over mean).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    pub mean: f64,
    pub variation: f64,
    pub windows: usize,
}

impl Rate {
    /// The pool took up work at `at`, after it had none.
    pub fn wake(&mut self, at: Timestamp) {
        if self.open.is_none() {
            self.open = Some(Window { from: at, to: at, count: 0 });
        }
    }

    /// The pool has no work left: the time until it wakes does not count.
    pub fn sleep(&mut self) {
        if let Some(window) = self.open.take().filter(|w| w.count > 0 && w.to > w.from) {
            self.keep(window);
        }
    }

    /// `count` requests were answered at `at`.
    pub fn add(&mut self, at: Timestamp, count: u64) {
        let mut window = self.open.take().unwrap_or(Window { from: at, to: at, count: 0 });
        window.count += count;
        window.to = window.to.max(at);
        if window.to.since(window.from) < WINDOW_MS {
            self.open = Some(window);
            return;
        }
        self.open = Some(Window { from: window.to, to: window.to, count: 0 });
        self.keep(window);
    }

    /// The fastest of the last windows: what the pool can do, where something else kept it slow before.
    pub fn fastest(&self) -> Option<f64> {
        let rate = |window: &Window| window.count as f64 * 1_000.0 / window.to.since(window.from).max(1) as f64;
        self.windows.iter().rev().take(WINDOWS_LATE).map(rate).reduce(f64::max)
    }

    /// Nothing until the first answers are in.
    pub fn speed(&self) -> Option<Speed> {
        let open = self.open.filter(|w| w.count > 0 && w.to > w.from);
        let open = open.filter(|w| self.windows.is_empty() || w.to.since(w.from) * 2 > WINDOW_MS);
        let windows: Vec<_> = self.windows.iter().chain(open.as_ref()).collect();
        let millis: u64 = windows.iter().map(|w| w.to.since(w.from)).sum();
        let count: u64 = windows.iter().map(|w| w.count).sum();
        if millis == 0 || count == 0 {
            return None;
        }
        let mean = count as f64 * 1_000.0 / millis as f64;
        Some(Speed { mean, variation: variation(&windows, mean), windows: windows.len() })
    }

    fn keep(&mut self, window: Window) {
        self.windows.push_back(window);
        if self.windows.len() > WINDOWS_MAX {
            self.windows.pop_front();
        }
    }
}

/// Each window's weight is its length.
fn variation(windows: &[&Window], mean: f64) -> f64 {
    let weighed = windows.iter().map(|w| {
        let millis = w.to.since(w.from) as f64;
        (millis, millis * (w.count as f64 * 1_000.0 / millis - mean).powi(2))
    });
    let (millis, square) = weighed.fold((0.0, 0.0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
    (square / millis).sqrt() / mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(rate: &mut Rate, from: u64, to: u64) {
        (from..to).step_by(100).for_each(|ms| rate.add(Timestamp::new(ms), 10));
    }

    #[test]
    fn a_steady_pool_has_its_rate_and_little_variation() {
        let mut rate = Rate::default();
        rate.wake(Timestamp::new(0));
        steady(&mut rate, 100, 20_100);
        let speed = rate.speed().unwrap();
        assert!((speed.mean - 100.0).abs() < 1.0, "{speed:?}");
        assert!(speed.variation < 0.05, "{speed:?}");
    }

    #[test]
    fn idle_time_does_not_count() {
        let mut rate = Rate::default();
        rate.wake(Timestamp::new(0));
        steady(&mut rate, 100, 5_100);
        rate.sleep();
        rate.wake(Timestamp::new(1_000_000));
        steady(&mut rate, 1_000_100, 1_005_100);
        let speed = rate.speed().unwrap();
        assert!((speed.mean - 100.0).abs() < 2.0, "{speed:?}");
    }

    #[test]
    fn nothing_is_claimed_before_the_first_answer() {
        let mut rate = Rate::default();
        rate.wake(Timestamp::new(0));
        assert_eq!(rate.speed(), None);
    }
}
