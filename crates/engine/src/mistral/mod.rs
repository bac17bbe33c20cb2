//! mistral.rs as an engine: one model, and many calls at once.

mod bare;
mod end;
mod lanes;
mod line;
mod load;
mod request;
mod response;
mod tokenizer;

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, future::try_join_all};
use mistralrs::RequestMessage;

use self::{lanes::Lanes, request::Plan, response::Reply};
use crate::{
    About, Answer, Call, Endpoint, Engine, Fault, Usage, limits,
    openai::{self, Ask, Choice, Refusal},
};

pub use bare::Bare;
pub use load::{bare, load};

pub struct Mistral {
    lanes: Lanes,
    about: About,
    /// Tokens of prompt and answer together.
    context: usize,
    /// Tokens that the chat template adds to the shortest conversation.
    template: usize,
    patience: Option<Duration>,
    /// Tokens sampled.
    beats: Arc<AtomicU64>,
    /// A token that ends an answer, where one is known.
    end: Option<usize>,
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
        async move {
            match self.patiently(call).await {
                Err(Miss::Refused(refusal)) => Ok(refusal.into()),
                Err(Miss::Fault(fault)) => Err(fault),
                Ok(answer) => Ok(answer),
            }
        }
        .boxed()
    }

    fn about(&self) -> About {
        self.about.clone()
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

impl Mistral {
    async fn patiently(&self, call: Call) -> Result<Answer, Miss> {
        let Some(patience) = self.patience else {
            return self.answer(call).await;
        };
        let late = |_| Fault::Timeout { seconds: patience.as_secs() };
        tokio::time::timeout(patience, self.answer(call)).await.map_err(late)?
    }

    async fn answer(&self, Call { endpoint, body }: Call) -> Result<Answer, Miss> {
        let ask = Ask::read(endpoint, &body)?;
        drop(body);
        let bounds = ask.input.bounds();
        let plan = Plan::new(&ask);
        let prompts = request::prompts(ask.input).into_iter().zip(bounds);
        let each = prompts.map(|(prompt, bound)| self.choices(prompt, bound, ask.n, &plan));
        let replies = try_join_all(each).await?;
        let model = ask.model.as_deref().unwrap_or(&self.about.model);
        Ok(write(endpoint, model, replies))
    }

    /// The engine's own `n` counts the tokens of one choice only, and loses all of them when one fails.
    async fn choices(&self, prompt: RequestMessage, bound: usize, n: usize, plan: &Plan) -> Result<Vec<Reply>, Miss> {
        let tokens = self.room(&prompt, bound, plan.max_tokens()).await?;
        let each = iter::repeat_n(prompt, n).map(|prompt| self.generate(plan, prompt, tokens));
        let replies = try_join_all(each).await?;
        replies.into_iter().map(|response| Reply::read(response, plan)).collect()
    }

    /// How many tokens may be generated. mistral.rs counts only those against its limit, not the prompt, and a
    /// sequence that outgrows the model fails every sequence that runs beside it.
    async fn room(&self, prompt: &RequestMessage, bound: usize, wanted: Option<usize>) -> Result<usize, Miss> {
        let bound = bound.saturating_add(self.template + limits::TEMPLATE_SLACK_TOKENS);
        if let Some(wanted) = wanted
            && bound.saturating_add(wanted) <= self.context
        {
            return Ok(wanted);
        }
        let tokens = self.tokens(prompt).await?;
        if tokens >= self.context {
            return Err(Refusal::too_long(request::param(prompt), tokens, self.context).into());
        }
        let room = self.context - tokens;
        Ok(wanted.map_or(room, |wanted| wanted.min(room)))
    }
}

/// A prompt counts once, however many choices it has.
fn write(endpoint: Endpoint, model: &str, prompts: Vec<Vec<Reply>>) -> Answer {
    let prompt = prompts.iter().filter_map(|replies| replies.first()).map(|reply| reply.usage.prompt).sum();
    let completion = prompts.iter().flatten().map(|reply| reply.usage.completion).sum();
    let choices: Vec<Choice> = prompts.into_iter().flatten().map(|reply| reply.choice).collect();
    openai::write(endpoint, model, &choices, Usage { prompt, completion, cached: 0 })
}

#[cfg(test)]
mod tests;
