//! How fast each pool answers, from the facts of the log.
use domain::{
    Millis, Pool,
    forecast::Owed,
    rate::{Rate, Speed},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pool that answered nothing for so long, until a chunk began to run, had no worker: that time does not count.
const GAP_MS: u64 = 5_000;

#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Pools(BTreeMap<Pool, View>);

#[derive(Default, Clone, Serialize, Deserialize)]
struct View {
    rate: Rate,
    /// Over all running jobs.
    owed: u64,
    /// When it last answered, or took up work.
    last: Millis,
}

impl Pools {
    /// What is owed changed from `before` to `after`.
    pub fn moved(&mut self, before: &Owed, after: &Owed, at: Millis) {
        for (pool, count) in after.iter() {
            self.view(pool).more(count, at);
        }
        for (pool, count) in before.iter() {
            self.view(pool).less(count);
        }
    }

    /// A chunk that began to run at `started` was answered at `at`.
    pub fn answered(&mut self, pool: &Pool, requests: u64, started: Millis, at: Millis) {
        self.view(pool).answered(requests, started, at);
    }

    pub fn speeds(&self) -> BTreeMap<Pool, Speed> {
        self.0.iter().filter_map(|(pool, view)| Some((pool.clone(), view.rate.speed()?))).collect()
    }

    fn view(&mut self, pool: &Pool) -> &mut View {
        if !self.0.contains_key(pool) {
            self.0.insert(pool.clone(), View::default());
        }
        self.0.get_mut(pool).expect("it was put there if it was missing")
    }
}

impl View {
    fn more(&mut self, count: u64, at: Millis) {
        if self.owed == 0 && count > 0 {
            self.rate.wake(at);
            self.last = at;
        }
        self.owed += count;
    }

    fn less(&mut self, count: u64) {
        self.owed = self.owed.saturating_sub(count);
        if self.owed == 0 {
            self.rate.sleep();
        }
    }

    fn answered(&mut self, requests: u64, started: Millis, at: Millis) {
        if started.since(self.last) > GAP_MS && started <= at {
            self.rate.sleep();
            self.rate.wake(started);
        }
        self.rate.add(at, requests);
        self.last = self.last.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_worker_does_not_slow_a_pool() {
        let (pool, mut view) = ("a".parse::<Pool>().unwrap(), View::default());
        let mut clock = 1_000;
        view.more(1_000_000, Millis::new(clock));
        for round in 0..2 {
            for _ in 0..50 {
                let started = Millis::new(clock);
                clock += 100;
                view.answered(10, started, Millis::new(clock));
            }
            clock += if round == 0 { 8 * 3_600_000 } else { 0 };
        }
        let mut pools = Pools::default();
        pools.0.insert(pool.clone(), view);
        let speed = pools.speeds()[&pool];
        assert!((speed.mean - 100.0).abs() < 5.0, "{speed:?}");
    }
}
