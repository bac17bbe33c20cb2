//! `POST /start`: prompts and a few settings, for a job without a file.
use super::{
    body,
    desk::Desk,
    error::{Answer, Refusal},
    submit::{self, Offer},
};
use axum::extract::{Request, State};
use domain::{
    JobId,
    event::Priority,
    line::URLS,
    submission::{Submission, absent},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    prompts: Vec<String>,
    /// Said to the model before each prompt.
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    id: Option<JobId>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    completion_window: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default, deserialize_with = "absent")]
    strict: bool,
    #[serde(default, deserialize_with = "absent")]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

pub async fn start(State(desk): State<Arc<Desk>>, request: Request) -> Answer {
    let (parts, sent) = request.into_parts();
    let key = submit::key(&parts.headers)?;
    let media = body::media(&parts.headers);
    if media != "application/json" {
        return Err(Refusal::media(&media, "application/json"));
    }
    let body::Json { value, fingerprint, place: _place } = body::json::<Start>(&desk, &parts.headers, sent).await?;
    if value.prompts.is_empty() {
        return Err(Refusal::invalid("'prompts' is empty; give at least one prompt").param("prompts"));
    }
    submit::place(&desk, key, Offer { submission: value.submission(), fingerprint, upload: None }).await
}

impl Start {
    fn submission(self) -> Submission {
        let requests = self.prompts.iter().enumerate().map(|(n, prompt)| self.request(n + 1, prompt)).collect();
        Submission {
            id: self.id,
            model: self.model,
            endpoint: Some(URLS[0].to_owned()),
            completion_window: self.completion_window,
            priority: self.priority,
            strict: self.strict,
            metadata: self.metadata,
            requests: Some(requests),
            ..Submission::default()
        }
    }

    fn request(&self, number: usize, prompt: &str) -> Value {
        let system = self.system.iter().map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<Value> = system.chain([json!({"role": "user", "content": prompt})]).collect();
        let mut body = json!({
            "messages": messages,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": self.stop,
        });
        if let Value::Object(fields) = &mut body {
            fields.retain(|_, value| !value.is_null());
        }
        json!({"custom_id": format!("prompt-{number}"), "body": body})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_become_chat_requests() {
        let start: Start = body::parse(br#"{"prompts":["a","b"],"system":"s","max_tokens":5,"model":"tiny"}"#).unwrap();
        let submission = start.submission();
        assert!(submission.check().is_ok());
        assert_eq!(submission.model.as_deref(), Some("tiny"));
        let wanted = json!({"custom_id": "prompt-2", "body": {"max_tokens": 5, "messages": [
            {"role": "system", "content": "s"}, {"role": "user", "content": "b"}]}});
        assert_eq!(submission.requests.unwrap()[1], wanted);
    }

    #[test]
    fn what_start_does_not_know_it_refuses() {
        let refusal = body::parse::<Start>(br#"{"prompts":["a"],"max_token":5}"#).unwrap_err();
        assert!(refusal.message.contains("max_token"), "{}", refusal.message);
        let refusal = body::parse::<Start>(br#"{"prompts":["a", 7]}"#).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("prompts[1]"));
    }
}
