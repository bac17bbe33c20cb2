//! OpenAI's answer to a request for embeddings.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::request::Encoding;
use serde::Serialize;

use crate::{Answer, Usage};

#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    data: Vec<Vector<'a>>,
    model: &'a str,
    usage: Counts,
}

#[derive(Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Counts {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Writes the answer object with its vectors in their order. Each number is finite.
pub fn vectors(model: &str, vectors: &[Vec<f32>], encoding: Encoding, usage: Usage) -> Answer {
    let numbered = vectors.iter().enumerate();
    let data = numbered
        .map(|(index, vector)| Vector { object: "embedding", index, embedding: numbers(vector, encoding) })
        .collect();
    let usage_written = Counts { prompt_tokens: usage.prompt, total_tokens: usage.prompt };
    let body = Body { object: "list", data, model, usage: usage_written };
    Answer::good(serde_json::to_string(&body).expect("strings and finite numbers are JSON"), usage)
}

fn numbers(vector: &[f32], encoding: Encoding) -> Numbers<'_> {
    match encoding {
        Encoding::Float => Numbers::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Numbers::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn vectors_are_as_openai_writes_them() {
        let usage = Usage { prompt: 5, ..Usage::default() };
        let written = |encoding| {
            let answer = vectors("m", &[vec![0.1, -1.0], vec![0.5, 0.0]], encoding, usage);
            assert_eq!(answer.usage, usage);
            serde_json::from_str::<Value>(&answer.body).expect("JSON")
        };
        let data = |one: Value, two: Value| {
            json!({"object": "list", "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}, "data": [
                {"object": "embedding", "index": 0, "embedding": one},
                {"object": "embedding", "index": 1, "embedding": two}]})
        };
        assert_eq!(written(Encoding::Float), data(json!([0.1, -1.0]), json!([0.5, 0.0])));
        assert_eq!(written(Encoding::Base64), data(json!("zczMPQAAgL8="), json!("AAAAPwAAAAA=")));
    }
}
