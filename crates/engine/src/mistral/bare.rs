//! mistral.rs as its own users call it, to measure against. Nothing is checked and nothing of jetbatch takes part.

use mistralrs::{Model, RequestBuilder, TextMessageRole};
use serde_json::Value;

pub struct Bare {
    /// Never empty.
    pub(super) copies: Vec<Model>,
    pub(super) in_flight: usize,
}

impl Bare {
    /// Calls to keep in flight for its best speed with right answers: on a CPU one for each copy (see `lanes.rs`).
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Answers a chat of plain texts, one of those in flight. Gives the completion tokens.
    pub async fn chat(&self, lane: usize, body: &[u8]) -> Result<u64, String> {
        let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let response = self.copies[lane % self.copies.len()].send_chat_request(request(&body)).await;
        response.map(|answer| answer.usage.completion_tokens as u64).map_err(|error| format!("{error:#}"))
    }
}

fn request(body: &Value) -> RequestBuilder {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut request = messages.iter().fold(RequestBuilder::new(), |request, message| {
        request.add_message(role(message), message["content"].as_str().unwrap_or_default())
    });
    request = request.set_sampler_temperature(body["temperature"].as_f64().unwrap_or(1.0));
    match body["max_tokens"].as_u64() {
        Some(tokens) => request.set_sampler_max_len(tokens as usize),
        None => request,
    }
}

fn role(message: &Value) -> TextMessageRole {
    match message["role"].as_str() {
        Some("system") => TextMessageRole::System,
        Some("assistant") => TextMessageRole::Assistant,
        _ => TextMessageRole::User,
    }
}
