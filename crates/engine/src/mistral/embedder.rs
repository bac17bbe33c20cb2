//! mistral.rs as an engine that makes embeddings.
//!
//! Each text is a sequence of its own, and each copy of the model runs one at a time. mistral.rs 0.8.1 batches texts of one
//! length, whose last bits then depend on the company (on a CPU about 2e-7). Its scheduler alone keeps other lengths out: the
//! batch would fill them up with token 0, and take the vector from there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::request::{Embed, Endpoint, Refusal};
use futures::{
    FutureExt,
    future::{BoxFuture, try_join_all},
};
use mistralrs::{NormalRequest, RequestMessage, Response, SamplingParams, core::Pipeline};
use tokenizers::Tokenizer;

use super::{
    Miss,
    lanes::Lanes,
    line::{Held, missed},
    patiently,
};
use crate::{About, Answer, Call, Engine, Fault, Usage, openai};

pub struct Embedder {
    pub(super) lanes: Lanes,
    pub(super) about: About,
    pub(super) texts: Texts,
    /// Numbers of a vector.
    pub(super) size: usize,
    pub(super) patience: Option<Duration>,
    /// Vectors made.
    pub(super) beats: AtomicU64,
}

/// With one token mistral.rs 0.8.1 panics: it makes no mask, and needs one.
const TOKENS_MIN: usize = 2;
/// A text to learn a model's size with.
const TRIAL: &str = "What is the capital of France?";

/// From texts to tokens.
pub struct Texts {
    tokenizer: Tokenizer,
    /// The most tokens of a text.
    pub context: usize,
}

impl Texts {
    /// What a pipeline knows beside its weights.
    pub fn of(pipeline: &dyn Pipeline) -> Result<Self, String> {
        let mut tokenizer = Arc::unwrap_or_clone(pipeline.tokenizer().ok_or("the model has no tokenizer")?);
        // A tokenizer's file may say that long texts are cut; here they are refused.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, context: pipeline.get_metadata().max_seq_len })
    }

    /// `allow`: special tokens in texts count.
    pub fn set(&mut self, allow: bool, context: Option<usize>) {
        self.tokenizer.set_encode_special_tokens(!allow);
        self.context = context.map_or(self.context, |context| context.min(self.context));
    }

    /// With what the tokenizer puts around every text.
    fn tokens(&self, text: &str, param: &str) -> Result<Vec<u32>, Refusal> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|error| Refusal::invalid(param, error))?;
        match encoding.get_ids() {
            tokens if tokens.len() > self.context => Err(Refusal::too_long(param, tokens.len(), self.context)),
            tokens if tokens.len() < TOKENS_MIN => {
                let why = format!("{} is too few tokens; the model takes {TOKENS_MIN} and more", tokens.len());
                Err(Refusal::invalid(param, why))
            }
            tokens => Ok(tokens.to_vec()),
        }
    }
}

impl Engine for Embedder {
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

impl Embedder {
    /// Makes a vector, so that a model that cannot is known before it takes work.
    pub(super) async fn measure(&self) -> Result<usize, String> {
        let tokens = self.texts.tokenizer.encode_fast(TRIAL, true).map_err(|error| error.to_string())?;
        match self.vector(tokens.get_ids().to_vec()).await {
            Ok(vector) => Ok(vector.len()),
            Err(Miss::Refused(refusal)) => Err(refusal.message),
            Err(Miss::Fault(fault)) => Err(fault.to_string()),
        }
    }

    async fn answer(&self, Call { endpoint, body, .. }: Call) -> Result<Answer, Miss> {
        if endpoint != Endpoint::Embeddings {
            return Err(Refusal::unsupported("model", "it makes embeddings; use /v1/embeddings").into());
        }
        let body = Embed::read(&body)?;
        let size = self.wanted(body.dimensions)?;
        let texts = body.texts.iter().enumerate().map(|(at, text)| self.texts.tokens(text, &body.param(at)));
        let texts: Vec<Vec<u32>> = texts.collect::<Result<_, _>>()?;
        let usage = Usage { prompt: texts.iter().map(|tokens| tokens.len() as u64).sum(), ..Usage::default() };
        let vectors = try_join_all(texts.into_iter().map(|tokens| self.vector(tokens))).await?;
        let vectors: Vec<Vec<f32>> = vectors.into_iter().map(|vector| unit(vector, size)).collect::<Result<_, _>>()?;
        let model = body.model.as_deref().unwrap_or(&self.about.model);
        Ok(openai::vectors(model, &vectors, body.encoding, usage))
    }

    fn wanted(&self, dimensions: Option<usize>) -> Result<usize, Refusal> {
        match dimensions {
            Some(wanted) if wanted > self.size => {
                let why = format!("{wanted} is more than the {} of the model", self.size);
                Err(Refusal::invalid("dimensions", why))
            }
            wanted => Ok(wanted.unwrap_or(self.size)),
        }
    }

    async fn vector(&self, tokens: Vec<u32>) -> Result<Vec<f32>, Miss> {
        let (sender, held) = Held::new();
        let message = RequestMessage::EmbeddingTokens { prompt: tokens };
        let request = NormalRequest::new_simple(message, SamplingParams::neutral(), sender, 0, None, None);
        let response = self.lanes.ask(request, held).await?;
        self.beats.fetch_add(1, Ordering::Relaxed);
        match response {
            Response::Embeddings { embeddings, .. } => Ok(embeddings),
            other => Err(missed(other, "input")),
        }
    }
}

/// The first `size` numbers, with the length 1. mistral.rs's mean is a sum, so the length is set in any case.
fn unit(mut vector: Vec<f32>, size: usize) -> Result<Vec<f32>, Fault> {
    vector.truncate(size);
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if !length.is_normal() {
        return Err(Fault::Internal { message: format!("a vector of the length {length}") });
    }
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_cut_and_has_the_length_1_anew() {
        assert_eq!(unit(vec![3.0, 4.0, 12.0], 2), Ok(vec![0.6, 0.8]));
        assert_eq!(unit(vec![2.0], 1), Ok(vec![1.0]));
        for vector in [vec![0.0, 0.0, 1.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            assert!(matches!(unit(vector, 2), Err(Fault::Internal { .. })));
        }
    }
}
