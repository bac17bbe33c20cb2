//! The line to mistral.rs's thread: one request out, one response back, and what its silence means.
//!
//! A receiver that is dropped early kills that thread: with nobody listening it panics (`send(..).await.unwrap()` in
//! its error path), and everything in flight dies with it. So a receiver here outlives its call, until the engine has
//! let go of the other end.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mistralrs::{NormalRequest, Request, RequestMessage, Response, SamplingParams};
use tokio::{
    runtime::Handle,
    sync::mpsc::{Receiver, Sender, channel, error::SendError},
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    Miss, Mistral,
    hook::{Draft, Hook, lock},
    kit::Task,
    lanes::{Lanes, Turn},
};
use crate::{
    Fault,
    generation::{Broken, Done, Generation},
};
use domain::request::Refusal;

/// A dying thread drops the sequences a moment before it drops its queue.
const DEATH_WAIT: Duration = Duration::from_millis(250);
const RESTART_WAIT: Duration = Duration::from_millis(20);
const RESTART_TRIES_MAX: u32 = 100;

impl Mistral {
    pub(super) async fn generate(
        &self,
        task: &Task,
        prompt: Vec<u32>,
        generation: Generation,
        cap: usize,
    ) -> Result<Done, Miss> {
        let (sender, held) = Held::new();
        let draft = Arc::new(Mutex::new(Draft { generation, broken: None, strayed: false }));
        let hook = self.hook(&draft, prompt.len(), held.left.clone());
        let response = self.lanes.ask(request(prompt, cap, hook, sender), held).await?;
        ended(response).and_then(|()| finished(&draft, task))
    }

    fn hook(&self, draft: &Arc<Mutex<Draft>>, prompt: usize, left: Arc<AtomicBool>) -> Hook {
        Hook { kit: self.kit.clone(), draft: draft.clone(), prompt, beats: self.beats.clone(), left }
    }
}

impl Lanes {
    /// One request in its turn, and the one response to it.
    pub(super) async fn ask(&self, request: NormalRequest, mut held: Held<Response>) -> Result<Response, Fault> {
        let turn = self.turn().await;
        let lane = turn.lane;
        held.turn = Some(turn);
        let queue = self.send(lane, Request::Normal(Box::new(request))).await?;
        let response = held.receiver.recv().await;
        drop(held);
        // Whoever has the next turn goes first: the engine idles until then, and this answer can wait.
        yield_now().await;
        match response {
            Some(response) => Ok(response),
            None => Err(silence(&queue).await),
        }
    }

    /// A dead thread is replaced here, by `get_sender`, once it has wholly ended. Until then its queue is closed.
    async fn send(&self, lane: usize, mut request: Request) -> Result<Sender<Request>, Fault> {
        let engine = self.model(lane).inner();
        for _ in 0..RESTART_TRIES_MAX {
            let queue = engine.get_sender(None).map_err(|error| died(&error.to_string()))?;
            match queue.send(request).await {
                Ok(()) => return Ok(queue),
                Err(SendError(back)) => request = back,
            }
            sleep(RESTART_WAIT).await;
        }
        Err(died("its thread takes no requests"))
    }
}

/// mistral.rs is to take the largest of what the hook gives it, and to end at the cap.
fn request(prompt: Vec<u32>, cap: usize, hook: Hook, sender: Sender<Response>) -> NormalRequest {
    let mut params = SamplingParams::neutral();
    params.max_len = Some(cap);
    // Zero takes the argmax. Absent would mean 1, and `deterministic()` sorts the vocabulary to draw from one.
    params.temperature = Some(0.0);
    let mut request =
        NormalRequest::new_simple(RequestMessage::CompletionTokens(prompt), params, sender, 0, None, None);
    request.logits_processors = Some(vec![Arc::new(hook)]);
    request
}

/// Whether the sequence ran to an end of its own.
fn ended(response: Response) -> Result<(), Miss> {
    match response {
        Response::Done(_) | Response::CompletionDone(_) => Ok(()),
        other => Err(missed(other, "messages")),
    }
}

/// Why there is no answer. `param` is what the request is about.
pub(super) fn missed(response: Response, param: &str) -> Miss {
    match response {
        Response::ModelError(message, _) | Response::CompletionModelError(message, _) => fault(&message).into(),
        Response::InternalError(error) => fault(&error.to_string()).into(),
        Response::ValidationError(error) => Refusal::invalid(param, error).into(),
        _ => Fault::Internal { message: "a response of another kind".to_owned() }.into(),
    }
}

/// The answer, which does not lie in mistral.rs's response.
fn finished(draft: &Mutex<Draft>, task: &Task) -> Result<Done, Miss> {
    let mut draft = lock(draft);
    match draft.broken.take() {
        _ if draft.strayed => {
            let message = "it did not go on with the token that it was given".to_owned();
            Err(Fault::Internal { message }.into())
        }
        Some(Broken::Grammar(why)) => Err(Refusal::invalid(task.constrained_by(), crate::grammar::short(&why)).into()),
        Some(broken) => Err(Fault::Internal { message: broken.to_string() }.into()),
        None => Ok(draft.generation.done()),
    }
}

/// An error of the device or of the forward pass.
fn fault(message: &str) -> Fault {
    let lower = message.to_lowercase();
    let message = message.to_owned();
    if lower.contains("out of memory") || lower.contains("out_of_memory") {
        Fault::OutOfMemory { message }
    } else if ["cuda_error", "cublas_status", "channel closed"].iter().any(|mark| lower.contains(mark)) {
        // After any other error a CUDA context fails every call. A closed channel is the last word of a thread that is
        // about to panic.
        Fault::Died { message }
    } else {
        Fault::Internal { message }
    }
}

fn died(message: &str) -> Fault {
    Fault::Died { message: message.to_owned() }
}

/// The engine let go of a request without a word: it died, or it had no room.
async fn silence(queue: &Sender<Request>) -> Fault {
    match timeout(DEATH_WAIT, queue.closed()).await {
        Ok(()) => died("its thread ended"),
        Err(_) => Fault::Overloaded,
    }
}

/// A receiver, and the turn of its sequence, held until the engine is done with them.
pub(super) struct Held<T: Send + 'static> {
    receiver: Receiver<T>,
    turn: Option<Turn>,
    /// Nobody waits any more.
    left: Arc<AtomicBool>,
    runtime: Handle,
}

impl<T: Send + 'static> Held<T> {
    pub(super) fn new() -> (Sender<T>, Self) {
        // Room for an error after the answer: the engine waits for room, and everything waits for the engine.
        let (sender, receiver) = channel(2);
        (sender, Self { receiver, turn: None, left: Arc::default(), runtime: Handle::current() })
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if self.receiver.sender_strong_count() == 0 {
            return;
        }
        self.left.store(true, Ordering::Relaxed);
        let (_, nothing) = channel(1);
        let mut receiver = std::mem::replace(&mut self.receiver, nothing);
        let turn = self.turn.take();
        self.runtime.spawn(async move {
            while receiver.recv().await.is_some() {}
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_classes() {
        assert!(matches!(fault("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), Fault::OutOfMemory { .. }));
        assert!(matches!(fault("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)"), Fault::Died { .. }));
        assert!(matches!(fault("channel closed"), Fault::Died { .. }));
        assert!(matches!(fault("shape mismatch"), Fault::Internal { .. }));
    }
}
