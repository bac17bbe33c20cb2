//! The engines of jetbatch: mistral.rs, servers that speak OpenAI's HTTP, and an echo engine for load and fault tests.
//!
//! The only crate that depends on mistral.rs. Without the feature `mistralrs` only the echo engine is built.
//! An engine turns one request body into one OpenAI answer. It reads no stream, keeps no state between calls and
//! tries nothing twice: what is not an answer is a [`Fault`], and the caller tries the chunk again.

pub mod answer;
mod bare;
#[cfg(feature = "mistralrs")]
mod calls;
pub mod check;
pub mod control;
mod echo;
mod fault;
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code))]
mod generation;
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code))]
pub mod grammar;
mod key;
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code))]
mod limits;
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code))]
mod logprob;
#[cfg(feature = "mistralrs")]
mod mistral;
// The echo engine needs little of it; its tests run in every build.
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code, unused_imports))]
mod openai;
pub mod process;
#[cfg(feature = "mistralrs")]
mod prompt;
mod remote;
#[cfg_attr(not(feature = "mistralrs"), allow(dead_code))]
mod sampler;
mod spec;
mod stamp;
#[cfg(feature = "mistralrs")]
mod template;
#[cfg(feature = "mistralrs")]
mod vocabulary;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use answer::{Answer, Usage};
pub use domain::{
    health::Server,
    request::{Endpoint, UnknownEndpoint},
};
pub use fault::{Fault, LoadError};
pub use key::Key;
pub use spec::{
    Behaviour, Check, Device, Dtype, Echo, Kind, Misplaced, Mistralrs, Openai, PagedAttention, Slots, Source, Spec,
    SpecialTokens, Stream, Task,
};

/// One request: the JSON text of its `body`.
#[derive(Debug, Clone)]
pub struct Call {
    pub endpoint: Endpoint,
    pub body: Bytes,
    /// What chance follows from, where the request names no seed.
    pub key: Key,
}

/// What an engine is, for logs, answers and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub model: String,
    /// `mistralrs`, `openai` or `echo`.
    pub engine: &'static str,
    pub task: Task,
    /// Sequences that run together. Keep this many calls in flight, and a few more.
    pub slots: usize,
    /// `cpu`, or `cuda:0`.
    pub device: String,
}

pub trait Engine: Send + Sync {
    /// Answers one call. Safe to drop at any await: the engine ends the sequence with its next token, or, where it does
    /// not know how, finishes it for nobody.
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>>;

    fn about(&self) -> About;

    /// Resolves when a call would begin at once. It waits while an engine is started again.
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Signs of life: tokens sampled and vectors made so far, of all calls. Zero where the engine does not say.
    fn beats(&self) -> u64 {
        0
    }

    /// Starts it anew, where that is possible: what it holds fails, and it is [`Engine::ready`] when it is back. False: it
    /// goes on as it is.
    fn renew(&self) -> bool {
        false
    }

    /// Why there is no engine now, where the last try to start it again failed.
    fn broken(&self) -> Option<String> {
        None
    }

    /// Sequences that run together, where that changes while it runs.
    fn slots(&self) -> Option<watch::Receiver<usize>> {
        None
    }

    /// The servers behind it, where there are any.
    fn servers(&self) -> Vec<Server> {
        Vec::new()
    }

    /// How often it was started again.
    fn restarts(&self) -> u32 {
        0
    }
}

/// An engine and nothing around it, to measure against.
pub enum Bare {
    #[cfg(feature = "mistralrs")]
    Mistralrs(mistral::Bare),
    Servers(remote::Bare),
}

/// Loads the model that `spec` names. Takes from milliseconds to many minutes.
pub async fn load(spec: &Spec) -> Result<Arc<dyn Engine>, LoadError> {
    match spec {
        Spec::Echo(spec) => Ok(Arc::new(echo::Echo::new(spec))),
        Spec::Mistralrs(spec) => load_mistral(spec).await,
        Spec::Openai(spec) => Ok(Arc::new(remote::start(spec)?)),
    }
}

#[cfg(feature = "mistralrs")]
async fn load_mistral(spec: &Mistralrs) -> Result<Arc<dyn Engine>, LoadError> {
    match spec.task {
        Task::Chat => Ok(Arc::new(mistral::load(spec).await?)),
        Task::Embeddings => Ok(Arc::new(mistral::embeddings(spec).await?)),
    }
}

/// mistral.rs with one copy of the model for all slots, on a CPU, too, where it mixes them up: to prove that the
/// [`check`] finds it.
#[cfg(feature = "mistralrs")]
pub async fn load_mixing(spec: &Mistralrs) -> Result<Arc<dyn Engine>, LoadError> {
    Ok(Arc::new(mistral::load_mixing(spec).await?))
}

#[cfg(not(feature = "mistralrs"))]
async fn load_mistral(_: &Mistralrs) -> Result<Arc<dyn Engine>, LoadError> {
    Err(LoadError::NotBuilt { feature: "mistralrs" })
}
