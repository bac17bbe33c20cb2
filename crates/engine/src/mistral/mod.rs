//! mistral.rs as an engine: it computes logits, and which token is taken is decided here (`generation`).

mod bare;
mod builder;
mod copies;
mod embedder;
mod hook;
mod kit;
mod lanes;
mod line;
mod load;
mod reply;
mod tokenizer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::request::{Body, Input, Refusal};
use futures::{FutureExt, future::BoxFuture, future::try_join_all};

use self::{
    kit::{Kit, Task},
    lanes::Lanes,
};
use crate::{
    About, Answer, Call, Engine, Fault, Usage,
    openai::{self, Choice},
};

pub use bare::Bare;
pub use load::{bare, embeddings, load, load_mixing};

pub struct Mistral {
    lanes: Lanes,
    about: About,
    kit: Arc<Kit>,
    patience: Option<Duration>,
    /// Tokens sampled.
    beats: Arc<AtomicU64>,
}

/// Why there is no reply.
enum Miss {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Refusal> for Miss {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Miss {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Engine for Mistral {
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        patiently(self.patience, self.answer(call)).boxed()
    }

    fn about(&self) -> About {
        self.about.clone()
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

/// An answer, for which `patience` is the longest wait.
async fn patiently(
    patience: Option<Duration>,
    answer: impl Future<Output = Result<Answer, Miss>>,
) -> Result<Answer, Fault> {
    let answer = match patience {
        None => answer.await,
        Some(patience) => tokio::time::timeout(patience, answer)
            .await
            .unwrap_or(Err(Fault::Timeout { seconds: patience.as_secs() }.into())),
    };
    match answer {
        Err(Miss::Refused(refusal)) => Ok(refusal.into()),
        Err(Miss::Fault(fault)) => Err(fault),
        Ok(answer) => Ok(answer),
    }
}

impl Mistral {
    async fn answer(&self, Call { endpoint, body, key }: Call) -> Result<Answer, Miss> {
        let body = Body::read(endpoint, &body)?;
        let n = body.n;
        let model = body.model.clone().unwrap_or_else(|| self.about.model.clone());
        let prompts = self.kit.prompts(&body)?;
        let task = Task::new(&self.kit, body, key).await?;
        let tokens = prompts.iter().map(|prompt| prompt.tokens.len() as u64).sum();
        let (kit, task) = (&*self.kit, &task);
        let rooms: Vec<usize> = prompts.iter().map(|prompt| kit.room(prompt, task)).collect::<Result<_, _>>()?;
        let each = prompts.iter().zip(rooms).enumerate().flat_map(|(at, (prompt, room))| {
            (0..n).map(move |choice| self.choice(task, prompt, room, at * n + choice))
        });
        let choices = try_join_all(each).await?;
        let usage = Usage { prompt: tokens, completion: choices.iter().map(|(_, tokens)| tokens).sum(), cached: 0 };
        let choices: Vec<Choice> = choices.into_iter().map(|(choice, _)| choice).collect();
        Ok(openai::write(endpoint, &model, &choices, usage))
    }

    /// One choice and its tokens. The engine's own `n` loses all of them when one fails.
    async fn choice(
        &self,
        task: &Task,
        prompt: &crate::prompt::Ready,
        room: usize,
        index: usize,
    ) -> Result<(Choice, u64), Miss> {
        let generation = task.generation(&self.kit, prompt, room, index)?;
        let done = self.generate(task, prompt.tokens.clone(), generation, room).await?;
        let tokens = done.taken.len() as u64;
        Ok((reply::choice(&self.kit, task, prompt, done, index), tokens))
    }
}

/// What the request's input is about, for errors.
const fn param(input: &Input) -> &'static str {
    match input {
        Input::Chat(_) => "messages",
        Input::Prompts(_) => "prompt",
    }
}

#[cfg(test)]
mod tests;
