//! The calls that one engine process holds.
use super::stall::Stall;
use crate::{Answer, Fault};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time};

/// By the runtime's clock, which tests stop.
fn now() -> Instant {
    time::Instant::now().into_std()
}

type Outcome = Result<Answer, Fault>;

#[derive(Default)]
pub struct Calls(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    last: u64,
    /// Answers, and times that tokens came.
    beats: u64,
    stall: Stall,
    /// Why there can be no more.
    over: Option<Fault>,
}

impl Calls {
    pub fn open(&self) -> Result<(u64, oneshot::Receiver<Outcome>), Fault> {
        let mut inner = self.inner();
        if let Some(fault) = &inner.over {
            return Err(fault.clone());
        }
        let (tell, told) = oneshot::channel();
        inner.last += 1;
        let id = inner.last;
        inner.waiting.insert(id, tell);
        inner.stall.busy(now());
        Ok((id, told))
    }

    pub fn settle(&self, id: u64, outcome: Outcome) {
        let mut inner = self.inner();
        if !matches!(outcome, Err(Fault::Timeout { .. })) {
            inner.stall.heard(now());
        }
        inner.beats += u64::from(outcome.is_ok());
        if let Some(call) = inner.remove(id) {
            // A caller that went away in this moment needs no answer.
            let _ = call.send(outcome);
        }
    }

    /// The engine works, though no answer is whole yet.
    pub fn beat(&self) {
        let mut inner = self.inner();
        inner.stall.heard(now());
        inner.beats += 1;
    }

    pub fn beats(&self) -> u64 {
        self.inner().beats
    }

    /// Whether the call was still waiting.
    pub fn forget(&self, id: u64) -> bool {
        self.inner().remove(id).is_some()
    }

    /// Fails what waits, and what comes after.
    pub fn fail(&self, fault: &Fault) {
        let mut inner = self.inner();
        inner.over = Some(fault.clone());
        for (_, call) in inner.waiting.drain() {
            let _ = call.send(Err(fault.clone()));
        }
    }

    pub fn is_over(&self) -> bool {
        self.inner().over.is_some()
    }

    /// Resolves when calls wait and neither token nor answer came for `limit`.
    pub async fn stall(&self, limit: Duration) {
        loop {
            let left = self.left(limit);
            if left.is_zero() {
                return;
            }
            time::sleep(left).await;
        }
    }

    fn left(&self, limit: Duration) -> Duration {
        let inner = self.inner();
        if inner.stall.is_idle() { limit } else { limit.saturating_sub(inner.stall.length(now())) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, id: u64) -> Option<oneshot::Sender<Outcome>> {
        let call = self.waiting.remove(&id);
        if call.is_some() && self.waiting.is_empty() {
            self.stall.idle(now());
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn pass(seconds: u64) {
        time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_the_engine_gave_up_is_no_sign_of_life() {
        let calls = Calls::default();
        let (first, _told) = calls.open().unwrap();
        pass(5).await;
        calls.settle(first, Err(Fault::Timeout { seconds: 5 }));
        let _second = calls.open().unwrap();
        assert_eq!(calls.left(LIMIT), Duration::from_secs(55));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_the_time_since_the_last_sign_of_life() {
        let (calls, begun) = (Calls::default(), now());
        let _call = calls.open().unwrap();
        pass(59).await;
        calls.beat();
        calls.stall(LIMIT).await;
        // The timer counts in milliseconds.
        assert_eq!((now() - begun).as_secs(), 59 + 60);
    }

    #[test]
    fn after_the_end_there_are_no_calls() {
        let calls = Calls::default();
        let (id, mut told) = calls.open().unwrap();
        let fault = Fault::Died { message: "it ended".to_owned() };
        calls.fail(&fault);
        assert_eq!(told.try_recv().unwrap(), Err(fault.clone()));
        assert!(calls.is_over() && !calls.forget(id));
        assert_eq!(calls.open().err(), Some(fault));
    }
}
