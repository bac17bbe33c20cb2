//! How to choose tokens.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Refusal, field};
use crate::limits;

/// OpenAI's defaults: temperature 1, and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    pub temperature: f64,
    pub top_p: Option<f64>,
    pub top_k: Option<usize>,
    pub min_p: Option<f64>,
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub frequency_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub bias: Vec<(usize, f32)>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: None,
            top_k: None,
            min_p: None,
            max_tokens: None,
            stop: Vec::new(),
            frequency_penalty: None,
            presence_penalty: None,
            repetition_penalty: None,
            bias: Vec::new(),
        }
    }
}

impl Sampling {
    /// Only one token can be chosen at each step, so chance has no part.
    pub fn greedy(&self) -> bool {
        self.temperature < 1e-6 || self.top_k == Some(1) || self.top_p == Some(0.0)
    }

    /// Reads the field if it is about sampling.
    pub fn take(&mut self, name: &str, raw: &RawValue) -> Result<bool, Refusal> {
        match name {
            "temperature" => self.temperature = field::number(name, raw, 0.0..=2.0)?,
            "top_p" => self.top_p = Some(field::number(name, raw, 0.0..=1.0)?),
            "top_k" => self.top_k = top_k(raw)?,
            "min_p" => self.min_p = Some(field::number(name, raw, 0.0..=1.0)?),
            "stop" => self.stop = stop(raw)?,
            "frequency_penalty" => self.frequency_penalty = Some(penalty(name, raw)?),
            "presence_penalty" => self.presence_penalty = Some(penalty(name, raw)?),
            "repetition_penalty" => self.repetition_penalty = Some(field::number(name, raw, 0.01..=10.0)? as f32),
            "logit_bias" => self.bias = bias(raw)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `max_tokens` and `max_completion_tokens` are two names of one thing.
    pub fn cap(&mut self, name: &str, raw: &RawValue) -> Result<(), Refusal> {
        let tokens = field::count(name, raw, 1..=u64::from(u32::MAX))?;
        match self.max_tokens.replace(tokens) {
            Some(other) if other != tokens => {
                Err(Refusal::invalid(name, "max_tokens and max_completion_tokens differ"))
            }
            _ => Ok(()),
        }
    }
}

fn penalty(name: &str, raw: &RawValue) -> Result<f32, Refusal> {
    field::number(name, raw, -2.0..=2.0).map(|value| value as f32)
}

/// Other servers write "off" as 0 or -1.
fn top_k(raw: &RawValue) -> Result<Option<usize>, Refusal> {
    let k: i64 = field::read("top_k", raw)?;
    match k {
        -1 | 0 => Ok(None),
        k => usize::try_from(k).map(Some).map_err(|_| Refusal::invalid("top_k", format!("{k} is negative"))),
    }
}

fn stop(raw: &RawValue) -> Result<Vec<String>, Refusal> {
    let stops = if raw.get().starts_with('"') {
        vec![field::read("stop", raw)?]
    } else {
        field::read::<Vec<String>>("stop", raw)?
    };
    if stops.len() > limits::STOPS_MAX {
        return Err(Refusal::invalid("stop", format!("more than {} strings", limits::STOPS_MAX)));
    }
    match stops.iter().find(|stop| stop.is_empty() || stop.len() > limits::STOP_BYTES_MAX) {
        Some(_) => Err(Refusal::invalid("stop", format!("a string of 1 to {} bytes", limits::STOP_BYTES_MAX))),
        None => Ok(stops),
    }
}

fn bias(raw: &RawValue) -> Result<Vec<(usize, f32)>, Refusal> {
    let bias: HashMap<u32, f32> = field::read("logit_bias", raw)?;
    if bias.len() > limits::BIAS_ENTRIES_MAX {
        return Err(Refusal::invalid("logit_bias", format!("more than {} tokens", limits::BIAS_ENTRIES_MAX)));
    }
    if bias.values().any(|value| !(-100.0..=100.0).contains(value)) {
        return Err(Refusal::invalid("logit_bias", "a value is not in -100..=100"));
    }
    Ok(bias.into_iter().map(|(token, value)| (token as usize, value)).collect())
}
