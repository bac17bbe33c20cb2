//! What the worker says of itself, every few seconds, in the bucket `workers`.
use super::chunk::Runner;
use crate::clock;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use wire::{Heartbeat, bucket};

/// A third of the bucket's time to live, at most.
const EVERY: Duration = Duration::from_secs(5);

pub async fn run(runner: Arc<Runner>, stop: CancellationToken) {
    let key = format!("{}.{}", runner.pool, runner.name);
    let bucket = runner.shared.bus.bucket(bucket::WORKERS);
    let mut rates = Rates::default();
    loop {
        let beat = serde_json::to_vec(&heartbeat(&runner, &mut rates)).unwrap_or_default();
        if let Err(error) = bucket.put(&key, beat).await {
            tracing::warn!(%error, "the heartbeat was not stored");
        }
        runner.shared.metrics.worker(&runner.pool, runner.slots.count(), runner.slots.busy());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    if let Err(error) = bucket.delete(&key).await {
        tracing::debug!(%error, "the heartbeat was not withdrawn; it ages out");
    }
}

/// What was counted at the last beat.
#[derive(Default)]
struct Rates(Option<(Instant, u64, u64)>);

impl Rates {
    /// Requests and tokens a second since the last time.
    fn since(&mut self, now: Instant, requests: u64, tokens: u64) -> (f64, f64) {
        let Some((then, requests_then, tokens_then)) = self.0.replace((now, requests, tokens)) else {
            return (0.0, 0.0);
        };
        let seconds = now.duration_since(then).as_secs_f64().max(f64::EPSILON);
        ((requests - requests_then) as f64 / seconds, (tokens - tokens_then) as f64 / seconds)
    }
}

fn heartbeat(runner: &Runner, rates: &mut Rates) -> Heartbeat {
    let about = runner.engine.about();
    let (requests, tokens) = (runner.requests.load(Ordering::Relaxed), runner.tokens.load(Ordering::Relaxed));
    let (request_rate, token_rate) = rates.since(Instant::now(), requests, tokens);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Heartbeat {
        worker: runner.name.clone(),
        pool: runner.pool.clone(),
        model: about.model,
        engine: about.engine.to_owned(),
        device: about.device,
        slots: count(runner.slots.count()),
        busy: count(runner.slots.busy()),
        at: clock::now(),
        started: runner.started,
        requests,
        completion_tokens: tokens,
        request_rate,
        token_rate,
        draining: runner.draining.load(Ordering::Relaxed),
        restarts: runner.engine.restarts(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_two_beats() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        assert_eq!(rates.since(start, 7, 70), (0.0, 0.0));
        assert_eq!(rates.since(after(5), 17, 270), (2.0, 40.0));
        assert_eq!(rates.since(after(10), 17, 270), (0.0, 0.0));
    }
}
