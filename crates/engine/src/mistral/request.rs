//! From an ask to mistral.rs's request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use mistralrs::{
    Constraint, CustomLogitsProcessor, Device, MessageContent, NormalRequest, RequestMessage, Response, SamplingParams,
    StopTokens, Tensor,
};
use tokio::sync::mpsc::Sender;

use crate::openai::{Ask, Field, Format, Input, Message, Sampling};

/// Beside this no other token has a chance.
const NEVER: f32 = -1e30;

/// The largest below 1: mistral.rs skips `min_p` where `top_p` is 1 or more.
const TOP_P_ALL: f64 = 0.999_999_94;

/// What every prompt and choice of one ask shares.
pub struct Plan {
    sampling: Sampling,
    format: Format,
    logprobs: Option<usize>,
}

impl Plan {
    pub fn new(ask: &Ask) -> Self {
        Self { sampling: ask.sampling.clone(), format: ask.format.clone(), logprobs: ask.logprobs }
    }

    pub fn max_tokens(&self) -> Option<usize> {
        self.sampling.max_tokens
    }

    pub fn stops(&self) -> &[String] {
        &self.sampling.stop
    }

    /// A request for `prompt` that generates at most `tokens`.
    pub fn request(
        &self,
        prompt: RequestMessage,
        tokens: usize,
        watch: Watch,
        response: Sender<Response>,
    ) -> NormalRequest {
        let mut request = NormalRequest::new_simple(prompt, self.params(tokens), response, 0, None, None);
        request.constraint = constraint(&self.format);
        request.return_logprobs = self.logprobs.is_some();
        request.logits_processors = Some(self.processors(watch));
        request
    }

    fn params(&self, tokens: usize) -> SamplingParams {
        let Sampling { temperature, top_p, top_k, min_p, .. } = self.sampling;
        let mut params = SamplingParams::neutral();
        params.max_len = Some(tokens);
        params.top_n_logprobs = self.logprobs.unwrap_or(0);
        params.frequency_penalty = self.sampling.frequency_penalty;
        params.presence_penalty = self.sampling.presence_penalty;
        params.repetition_penalty = self.sampling.repetition_penalty;
        params.stop_toks = stop_tokens(&self.sampling.stop);
        // Zero takes the argmax. Absent would mean 1, and `deterministic()` sorts the vocabulary to draw from one.
        params.temperature = Some(0.0);
        if !self.sampling.greedy() {
            params.temperature = Some(temperature);
            params.top_k = top_k;
            params.min_p = min_p;
            params.top_p = top_p.map(|p| p.min(TOP_P_ALL)).or(min_p.map(|_| TOP_P_ALL));
        }
        params
    }

    /// In this order, after the penalties and before the temperature.
    fn processors(&self, watch: Watch) -> Vec<Arc<dyn CustomLogitsProcessor>> {
        let mut processors: Vec<Arc<dyn CustomLogitsProcessor>> = Vec::new();
        if !self.sampling.bias.is_empty() {
            // mistral.rs has a field for this and never reads it.
            let bias = self.sampling.bias.clone();
            processors.push(Arc::new(move |logits: &Tensor, _: &[u32]| biased(logits, &bias)));
        }
        if self.logprobs.is_some() && self.sampling.greedy() {
            // Its argmax takes the logarithm of whatever it is given: give it probabilities.
            processors.push(Arc::new(|logits: &Tensor, _: &[u32]| softmax(logits)));
        }
        processors.push(Arc::new(watch));
        processors
    }
}

/// Sees each token that a sequence samples: a sign of life, and the one place where mistral.rs lets a sequence be ended
/// that nobody waits for any more. (An error here would cost its neighbours a token, and streaming one message each.)
pub struct Watch {
    pub beats: Arc<AtomicU64>,
    pub left: Arc<AtomicBool>,
    /// A token that ends an answer.
    pub end: Option<usize>,
}

impl CustomLogitsProcessor for Watch {
    fn apply(&self, logits: &Tensor, _: &[u32]) -> mistralrs::Result<Tensor> {
        self.beats.fetch_add(1, Ordering::Relaxed);
        match self.end {
            Some(end) if self.left.load(Ordering::Relaxed) => only(logits, end),
            _ => Ok(logits.clone()),
        }
    }
}

fn only(logits: &Tensor, token: usize) -> mistralrs::Result<Tensor> {
    let mut values = vec![NEVER; logits.elem_count()];
    if let Some(value) = values.get_mut(token) {
        *value = 0.0;
    }
    row(values)
}

fn biased(logits: &Tensor, bias: &[(usize, f32)]) -> mistralrs::Result<Tensor> {
    let mut values: Vec<f32> = logits.to_vec1()?;
    for (token, add) in bias {
        if let Some(value) = values.get_mut(*token) {
            *value += add;
        }
    }
    row(values)
}

fn softmax(logits: &Tensor) -> mistralrs::Result<Tensor> {
    let mut values: Vec<f32> = logits.to_vec1()?;
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|value| *value = (*value - top).exp());
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|value| *value /= sum);
    row(values)
}

fn row(values: Vec<f32>) -> mistralrs::Result<Tensor> {
    let width = values.len();
    Tensor::from_vec(values, width, &Device::Cpu)
}

fn stop_tokens(stop: &[String]) -> Option<StopTokens> {
    (!stop.is_empty()).then(|| StopTokens::Seqs(stop.to_vec()))
}

fn constraint(format: &Format) -> Constraint {
    match format {
        Format::Free => Constraint::None,
        Format::Schema(schema) => Constraint::JsonSchema(schema.clone()),
        Format::Regex(regex) => Constraint::Regex(regex.clone()),
        Format::Lark(lark) => Constraint::Lark(lark.clone()),
    }
}

pub fn prompts(input: Input) -> Vec<RequestMessage> {
    match input {
        Input::Chat { messages, thinking } => vec![chat(messages, thinking)],
        Input::Text(texts) => texts.into_iter().map(text).collect(),
    }
}

/// The field of the body that a prompt came from.
pub fn param(prompt: &RequestMessage) -> &'static str {
    match prompt {
        RequestMessage::Completion { .. } => "prompt",
        _ => "messages",
    }
}

fn text(text: String) -> RequestMessage {
    RequestMessage::Completion { text, echo_prompt: false, best_of: None }
}

fn chat(messages: Vec<Message>, enable_thinking: Option<bool>) -> RequestMessage {
    let fields = |message: Message| message.into_iter().map(|(name, field)| (name, content(field))).collect();
    let messages = messages.into_iter().map(fields).collect();
    RequestMessage::Chat { messages, enable_thinking, reasoning_effort: None }
}

fn content(field: Field) -> MessageContent {
    match field {
        Field::Text(text) => MessageContent::Left(text),
        Field::List(list) => MessageContent::Right(list.into_iter().map(|map| map.into_iter().collect()).collect()),
    }
}
