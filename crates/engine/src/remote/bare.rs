//! Servers as a plain client calls them: so many at once, one after the other, whole answers.
use super::{base, client, headers, key};
use crate::{LoadError, Openai, spec::Slots};
use reqwest::Client;
use serde_json::Value;

/// Of a plain client that was told nothing.
const IN_FLIGHT: usize = 32;

pub struct Bare {
    urls: Vec<String>,
    model: Option<String>,
    client: Client,
    in_flight: usize,
}

pub fn load(spec: &Openai) -> Result<Bare, LoadError> {
    let wrong = |field| move |why| LoadError::Spec { field, why };
    let chat = |url: &String| Ok(format!("{}/chat/completions", base(url)?));
    let urls: Result<Vec<String>, String> = spec.base_urls.iter().map(chat).collect();
    let key = spec.api_key_env.as_deref().map(key).transpose().map_err(wrong("api_key_env"))?;
    let headers = headers(spec, key.as_deref())?;
    let each = match spec.slots {
        Slots::Fixed(slots) => slots,
        Slots::Auto => IN_FLIGHT,
    };
    let in_flight = each * spec.base_urls.len();
    let (urls, client) = (urls.map_err(wrong("base_urls"))?, client(spec, &headers, usize::MAX)?);
    Ok(Bare { urls, model: spec.model.clone(), client, in_flight })
}

impl Bare {
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// As often as a connection that was kept turns out to be closed.
    pub async fn chat(&self, lane: usize, body: &[u8]) -> Result<u64, String> {
        let mut body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if let Some(model) = &self.model {
            body["model"] = model.clone().into();
        }
        let ask = || self.client.post(&self.urls[lane % self.urls.len()]).json(&body).send();
        let response = match ask().await {
            Ok(response) => response,
            Err(_) => ask().await.map_err(|error| error.to_string())?,
        };
        let answer: Value = response.json().await.map_err(|error| error.to_string())?;
        answer["usage"]["completion_tokens"].as_u64().ok_or_else(|| format!("no answer: {answer}"))
    }
}
