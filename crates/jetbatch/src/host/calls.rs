//! The calls that one engine process holds.
use super::quiet::Quiet;
use engine::{Answer, Fault};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

type Outcome = Result<Answer, Fault>;

#[derive(Default)]
pub struct Calls(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    last: u64,
    quiet: Quiet,
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
        inner.quiet.busy(Instant::now());
        Ok((id, told))
    }

    pub fn settle(&self, id: u64, outcome: Outcome) {
        let mut inner = self.inner();
        if !matches!(outcome, Err(Fault::Timeout { .. })) {
            inner.quiet.heard(Instant::now());
        }
        if let Some(call) = inner.remove(id) {
            // A caller that went away in this moment needs no answer.
            let _ = call.send(outcome);
        }
    }

    /// The engine works, though no answer is whole yet.
    pub fn beat(&self) {
        self.inner().quiet.heard(Instant::now());
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
            tokio::time::sleep(left).await;
        }
    }

    fn left(&self, limit: Duration) -> Duration {
        let inner = self.inner();
        if inner.quiet.is_idle() { limit } else { limit.saturating_sub(inner.quiet.length(Instant::now())) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, id: u64) -> Option<oneshot::Sender<Outcome>> {
        let call = self.waiting.remove(&id);
        if call.is_some() && self.waiting.is_empty() {
            self.quiet.idle(Instant::now());
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_the_engine_gave_up_is_no_sign_of_life() {
        let (calls, limit) = (Calls::default(), Duration::from_secs(3_600));
        let (first, _told) = calls.open().unwrap();
        while calls.left(limit) > limit - Duration::from_millis(5) {}
        calls.settle(first, Err(Fault::Timeout { seconds: 1 }));
        let _second = calls.open().unwrap();
        assert!(calls.left(limit) <= limit - Duration::from_millis(5));
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
