//! What the worker says of itself, every few seconds, in the bucket `workers`.
use super::{chunk::Runner, life::Tenure};
use crate::{chain::chain, clock, shared::Shared};
use domain::{Pool, Timestamp, health::Word};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use wire::{Heartbeat, bucket};

/// A third of the bucket's time to live, at most.
const EVERY: Duration = Duration::from_secs(5);
/// A model that is loaded sooner is not told of.
const SHORT: Duration = Duration::from_secs(1);
/// Neither a start nor an end waits longer to say so.
const SAID_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(runner: Arc<Runner>, stop: CancellationToken) {
    let key = Heartbeat::key(&runner.pool, &runner.name);
    let bucket = runner.shared.bus.bucket(bucket::WORKERS);
    let mut rates = Rates::default();
    let mut changes = runner.health.states();
    loop {
        changes.borrow_and_update();
        let beat = serde_json::to_vec(&heartbeat(&runner, &mut rates)).unwrap_or_default();
        if let Err(error) = bucket.put(&key, beat).await {
            tracing::warn!(%error, "the heartbeat was not stored");
        }
        runner.shared.metrics.worker(&runner.pool, runner.slots.count(), runner.slots.busy());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
            // What changed is known at once.
            _ = changes.changed() => {}
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

/// As it is now, without rates.
pub fn now(runner: &Runner) -> Heartbeat {
    heartbeat(runner, &mut Rates::default())
}

fn heartbeat(runner: &Runner, rates: &mut Rates) -> Heartbeat {
    let about = runner.engine.about();
    let (requests, tokens) = (runner.requests.load(Ordering::Relaxed), runner.tokens.load(Ordering::Relaxed));
    let (request_rate, token_rate) = rates.since(Instant::now(), requests, tokens);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let (draining, state) = (runner.draining.load(Ordering::Relaxed), runner.health.state());
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
        beats: runner.engine.beats(),
        draining: draining || state.word == Word::Draining,
        restarts: runner.engine.restarts(),
        state: if draining { Word::Draining } else { state.word },
        since: state.since,
        why: state.why,
        servers: runner.engine.servers(),
    }
}

/// A worker that has no engine yet.
pub struct Starting<'a> {
    pub shared: &'a Shared,
    pub pool: &'a Pool,
    pub tenure: &'a Tenure,
    pub engine: &'static str,
}

impl Starting<'_> {
    /// Says that a model is being loaded while it is, and why it cannot be.
    pub async fn load<T, E: std::error::Error>(&self, load: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let loaded = tokio::select! {
            loaded = load => loaded,
            () = self.say_loading() => unreachable!("it says so for ever"),
        };
        if let Err(error) = &loaded {
            let (since, why) = (clock::now(), chain(error));
            self.say(Word::NoEngine, since, Some(why.clone())).await;
            self.tenure.unloadable(since, why).await;
        }
        loaded
    }

    async fn say_loading(&self) {
        let since = clock::now();
        let mut pause = SHORT;
        loop {
            tokio::time::sleep(pause).await;
            self.say(Word::Loading, since, None).await;
            pause = EVERY;
        }
    }

    /// It was told to stop before.
    pub async fn leave(&self) {
        let bucket = self.shared.bus.bucket(bucket::WORKERS);
        let _ = tokio::time::timeout(SAID_WITHIN, bucket.delete(&Heartbeat::key(self.pool, &self.tenure.name))).await;
        self.tenure.ended().await;
    }

    async fn say(&self, state: Word, since: Timestamp, why: Option<String>) {
        let beat = Heartbeat {
            worker: self.tenure.name.clone(),
            pool: self.pool.clone(),
            model: self.pool.to_string(),
            engine: self.engine.to_owned(),
            device: String::new(),
            slots: 0,
            busy: 0,
            at: clock::now(),
            started: since,
            requests: 0,
            completion_tokens: 0,
            request_rate: 0.0,
            token_rate: 0.0,
            beats: 0,
            draining: false,
            restarts: 0,
            state,
            since,
            why,
            servers: Vec::new(),
        };
        let (bucket, key) = (self.shared.bus.bucket(bucket::WORKERS), Heartbeat::key(self.pool, &self.tenure.name));
        let put = bucket.put(&key, serde_json::to_vec(&beat).unwrap_or_default());
        if !matches!(tokio::time::timeout(SAID_WITHIN, put).await, Ok(Ok(_))) {
            tracing::warn!(pool = %self.pool, state = state.as_str(), "the heartbeat was not stored");
        }
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
