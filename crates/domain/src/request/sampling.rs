//! How tokens are chosen, and where an answer ends.
use super::{Refusal, cut::Object, field};
use crate::limits::{BIAS_ENTRIES_MAX, STOP_BYTES_MAX, STOPS_MAX};
use serde_json::value::RawValue;

/// OpenAI's defaults: temperature 1, and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    pub temperature: f64,
    pub top_p: Option<f64>,
    /// None is off, which clients also write as 0 or -1.
    pub top_k: Option<usize>,
    pub min_p: Option<f64>,
    /// What every draw follows from. None: it follows from the job, the line and the choice.
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub min_tokens: usize,
    /// Ends of the model's are not drawn.
    pub ignore_eos: bool,
    pub stop: Vec<String>,
    pub stop_token_ids: Vec<u32>,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub repetition_penalty: f32,
    /// By token, in the order of tokens.
    pub bias: Vec<(u32, f32)>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: None,
            top_k: None,
            min_p: None,
            seed: None,
            max_tokens: None,
            min_tokens: 0,
            ignore_eos: false,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            repetition_penalty: 1.0,
            bias: Vec::new(),
        }
    }
}

impl Sampling {
    /// Only one token can be chosen at each step, so chance has no part.
    pub fn greedy(&self) -> bool {
        self.temperature < 1e-6 || self.top_k == Some(1) || self.top_p == Some(0.0) || self.min_p == Some(1.0)
    }

    /// Reads the field if it is about sampling.
    pub(super) fn take(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "temperature" => self.temperature = field::number(&name, raw, 0.0..=2.0)?,
            "top_p" => self.top_p = Some(field::number(&name, raw, 0.0..=1.0)?),
            "top_k" => self.top_k = top_k(raw)?,
            "min_p" => self.min_p = Some(field::number(&name, raw, 0.0..=1.0)?),
            "seed" => self.seed = Some(seed(raw)?),
            "min_tokens" => self.min_tokens = field::count(&name, raw, 0..=u64::from(u32::MAX))?,
            "ignore_eos" => self.ignore_eos = field::flag(&name, raw)?,
            "stop" => self.stop = stop(raw)?,
            "stop_token_ids" => self.stop_token_ids = stop_tokens(raw)?,
            "frequency_penalty" => self.frequency_penalty = field::number(&name, raw, -2.0..=2.0)? as f32,
            "presence_penalty" => self.presence_penalty = field::number(&name, raw, -2.0..=2.0)? as f32,
            "repetition_penalty" => self.repetition_penalty = field::number(&name, raw, 0.01..=10.0)? as f32,
            "logit_bias" => self.bias = bias(raw)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `max_tokens` and `max_completion_tokens` are two names of one thing.
    pub(super) fn cap(&mut self, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        let tokens = field::count(&name, raw, 1..=u64::from(u32::MAX))?;
        match self.max_tokens.replace(tokens) {
            Some(other) if other != tokens => {
                Err(Refusal::invalid("max_completion_tokens", "it differs from max_tokens"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.max_tokens.is_some_and(|most| self.min_tokens > most) {
            true => Err(Refusal::invalid("min_tokens", "more than max_tokens")),
            false => Ok(()),
        }
    }
}

fn top_k(raw: &RawValue) -> Result<Option<usize>, Refusal> {
    match field::whole(&"top_k", raw)? {
        -1 | 0 => Ok(None),
        k => usize::try_from(k).map(Some).map_err(|_| Refusal::invalid("top_k", format!("{k} is negative"))),
    }
}

/// Any integer of 64 bits, with a sign or without.
fn seed(raw: &RawValue) -> Result<u64, Refusal> {
    let seed = field::whole(&"seed", raw)?;
    let signed = || i64::try_from(seed).map(i64::cast_unsigned);
    u64::try_from(seed).or_else(|_| signed()).map_err(|_| Refusal::invalid("seed", "an integer of 64 bits is needed"))
}

fn stop(raw: &RawValue) -> Result<Vec<String>, Refusal> {
    const EXPECTED: &str = "a string or a list of strings";
    let stops = match raw.get().starts_with('"') {
        true => vec![field::text(&"stop", raw)?],
        false => field::typed::<Vec<String>>(&"stop", raw, EXPECTED)?,
    };
    if stops.len() > STOPS_MAX {
        return Err(Refusal::invalid("stop", format!("more than {STOPS_MAX} strings")));
    }
    match stops.iter().find(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
        Some(_) => Err(Refusal::invalid("stop", format!("a string has 1 to {STOP_BYTES_MAX} bytes"))),
        None => Ok(stops),
    }
}

fn stop_tokens(raw: &RawValue) -> Result<Vec<u32>, Refusal> {
    const NAME: &str = "stop_token_ids";
    let tokens = field::tokens(&NAME, raw)?;
    match tokens.len() > BIAS_ENTRIES_MAX {
        true => Err(Refusal::invalid(NAME, format!("more than {BIAS_ENTRIES_MAX} tokens"))),
        false => Ok(tokens),
    }
}

fn bias(raw: &RawValue) -> Result<Vec<(u32, f32)>, Refusal> {
    const NAME: &str = "logit_bias";
    let Object(bias) = field::object(&NAME, raw)?;
    if bias.len() > BIAS_ENTRIES_MAX {
        return Err(Refusal::invalid(NAME, format!("more than {BIAS_ENTRIES_MAX} tokens")));
    }
    let mut tokens = Vec::with_capacity(bias.len());
    for (token, raw) in bias {
        let name = format!("{NAME}.{token}");
        let value = field::number(&name, raw, -100.0..=100.0)? as f32;
        // In one spelling: two of one token would count twice.
        let id = token.parse().ok().filter(|id: &u32| id.to_string() == token);
        let id = id.ok_or_else(|| Refusal::invalid(name, "the key is not the id of a token"))?;
        tokens.push((id, value));
    }
    tokens.sort_unstable_by_key(|(token, _)| *token);
    Ok(tokens)
}
