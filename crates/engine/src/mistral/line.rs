//! The line to mistral.rs's thread: one request out, one response back, and what its silence means.
//!
//! A receiver that is dropped early kills that thread: with nobody listening it panics (`send(..).await.unwrap()` in
//! its error path), and everything in flight dies with it. So a receiver here outlives its call, until the engine has
//! let go of the other end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use either::Either;
use mistralrs::{Request, RequestMessage, Response, core::TokenizationRequest};
use tokio::{
    runtime::Handle,
    sync::mpsc::{Receiver, Sender, channel, error::SendError},
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    Miss, Mistral,
    lanes::Turn,
    request::{self, Plan, Watch},
    response,
};
use crate::{
    Fault,
    openai::{Field, Input},
};

/// A dying thread drops the sequences a moment before it drops its queue.
const DEATH_WAIT: Duration = Duration::from_millis(250);
const RESTART_WAIT: Duration = Duration::from_millis(20);
const RESTART_TRIES_MAX: u32 = 100;
/// Tokenizing needs no turn, and any copy can do it.
const FIRST: usize = 0;

impl Mistral {
    pub(super) async fn generate(&self, plan: &Plan, prompt: RequestMessage, tokens: usize) -> Result<Response, Miss> {
        let (sender, mut held) = Held::new();
        let watch = Watch { beats: self.beats.clone(), left: held.left.clone(), end: self.end };
        let request = plan.request(prompt, tokens, watch, sender);
        let turn = self.lanes.turn().await;
        let lane = turn.lane;
        held.turn = Some(turn);
        let queue = self.send(lane, Request::Normal(Box::new(request))).await?;
        let response = held.receiver.recv().await;
        drop(held);
        // Whoever has the next turn goes first: the engine idles until then, and this answer can wait.
        yield_now().await;
        match response {
            Some(response) => Ok(response),
            None => Err(silence(&queue).await.into()),
        }
    }

    /// How many tokens a prompt takes, with its template.
    pub(super) async fn tokens(&self, prompt: &RequestMessage) -> Result<usize, Miss> {
        let (sender, mut held) = Held::new();
        let (text, enable_thinking) = match prompt {
            RequestMessage::Chat { messages, enable_thinking, .. } => {
                (Either::Left(messages.clone()), *enable_thinking)
            }
            RequestMessage::Completion { text, .. } => (Either::Right(text.clone()), None),
            _ => return Ok(0),
        };
        let request = TokenizationRequest {
            text,
            tools: None,
            add_generation_prompt: true,
            add_special_tokens: true,
            enable_thinking,
            reasoning_effort: None,
            response: sender,
        };
        let queue = self.send(FIRST, Request::Tokenize(request)).await?;
        match held.receiver.recv().await {
            Some(Ok(tokens)) => Ok(tokens.len()),
            Some(Err(error)) => Err(response::failed(&error.to_string())),
            None => Err(silence(&queue).await.into()),
        }
    }

    /// Learns what the chat template adds. A model without one refuses every chat, so it adds nothing.
    pub(super) async fn measure(&mut self) {
        let field = |name: &str, text: &str| (name.to_owned(), Field::Text(text.to_owned()));
        let messages = vec![vec![field("role", "user"), field("content", "")]];
        for prompt in request::prompts(Input::Chat { messages, thinking: None }) {
            self.template = self.tokens(&prompt).await.unwrap_or(0);
        }
    }

    /// A dead thread is replaced here, by `get_sender`, once it has wholly ended. Until then its queue is closed.
    async fn send(&self, lane: usize, mut request: Request) -> Result<Sender<Request>, Fault> {
        let engine = self.lanes.model(lane).inner();
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
struct Held<T: Send + 'static> {
    receiver: Receiver<T>,
    turn: Option<Turn>,
    /// Nobody waits any more.
    left: Arc<AtomicBool>,
    runtime: Handle,
}

impl<T: Send + 'static> Held<T> {
    fn new() -> (Sender<T>, Self) {
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
