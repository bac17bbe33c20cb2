//! Of an engine that makes embeddings: a text's vector is the same, whatever runs beside it.

use bytes::Bytes;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::{Error, Manner, PROMPTS, Report, ask::words, crowd, enough, fits, said::refused};
use crate::{Call, Endpoint, Engine, Key};

/// The least product of two vectors, of the length 1, of which one is the other but for rounding.
pub const LIKENESS_MIN: f64 = 0.999;

struct Vector {
    number: usize,
    values: Vec<f32>,
    tokens: usize,
}

#[derive(Deserialize)]
struct Body {
    data: [Data; 1],
    usage: Counts,
}

#[derive(Deserialize)]
struct Data {
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: usize,
}

pub async fn kept_apart(engine: &dyn Engine, manner: Manner) -> Result<Report, Error> {
    let mut alone = Vec::new();
    for number in 1..=PROMPTS {
        alone.extend(fits(put(engine, number).await)?);
    }
    let alone = enough(alone)?;
    let together =
        crowd(engine.about().slots, alone.iter().map(|vector| put(engine, vector.number).boxed()).collect()).await?;
    for (one, other) in alone.iter().zip(&together) {
        let is_same = match manner {
            Manner::Exact => one.values == other.values,
            Manner::Within(_) => likeness(one, other) >= LIKENESS_MIN,
        };
        if !is_same {
            return Err(Error::Apart { prompt: one.number, likeness: likeness(one, other) });
        }
    }
    Ok(Report { prompts: alone.len(), tokens: alone.iter().map(|vector| vector.tokens).sum() })
}

async fn put(engine: &dyn Engine, number: usize) -> Result<Vector, Error> {
    let body = Bytes::from(json!({"input": words(number)}).to_string());
    let call = Call { endpoint: Endpoint::Embeddings, body, key: Key::seeded(0) };
    let answer = engine.run(call).await.map_err(|source| Error::Fault { prompt: number, source })?;
    if !answer.is_good() {
        return Err(refused(number, &answer));
    }
    let strange = |source| Error::Strange { prompt: number, source };
    let Body { data: [data], usage } = serde_json::from_str(&answer.body).map_err(strange)?;
    Ok(Vector { number, values: data.embedding, tokens: usage.prompt_tokens })
}

/// 0 where they have not as many numbers.
fn likeness(one: &Vector, other: &Vector) -> f64 {
    let pairs = one.values.iter().zip(&other.values);
    match one.values.len() == other.values.len() {
        true => pairs.map(|(one, other)| f64::from(*one) * f64::from(*other)).sum(),
        false => 0.0,
    }
}
