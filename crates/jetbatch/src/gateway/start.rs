//! `POST /start`: prompts and a few settings, for a job without a file.
use super::{
    app::App,
    body,
    error::{Answer, Rejection},
    submit::{self, Offer},
};
use api::{JSON, Start};
use axum::extract::Request;
use domain::{
    Endpoint,
    raw::RawRequest,
    request::{Body, Refusal},
    submission::Submission,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

pub async fn start(app: App, request: Request) -> Answer {
    let (parts, sent) = request.into_parts();
    let key = submit::key(&app, &parts.headers)?;
    let media = body::media(&parts.headers);
    if media != JSON {
        return Err(Rejection::media(&media, JSON));
    }
    let body::Json { value, fingerprint, place: _place } = body::json::<Start>(&app, &parts.headers, sent).await?;
    if value.prompts.is_empty() {
        return Err(Rejection::invalid("'prompts' is empty; give at least one prompt").param("prompts"));
    }
    let submission = submission(value).check()?;
    check(&submission)?;
    submit::place(&app, key, Offer { submission, fingerprint, upload: None }).await
}

/// The settings are the same for all prompts, so the first request tells whether an engine will take them.
fn check(submission: &Submission) -> Result<(), Rejection> {
    let Some(first) = submission.requests.as_ref().and_then(|requests| requests.first()) else { return Ok(()) };
    let body = serde_json::from_str::<Asked<'_>>(first.as_str()).map(|asked| asked.body.get()).unwrap_or_default();
    match Body::read(Endpoint::Chat, body.as_bytes()) {
        Ok(_) => Ok(()),
        Err(refusal) => {
            let Refusal { message, param, .. } = refusal;
            Err(Rejection { param, ..Rejection::invalid(message) })
        }
    }
}

fn submission(start: Start) -> Submission {
    let requests = start.prompts.iter().enumerate().map(|(n, prompt)| request(&start, n + 1, prompt)).collect();
    Submission {
        id: start.id,
        model: start.model,
        endpoint: Some(Endpoint::Chat.url().to_owned()),
        completion_window: start.completion_window,
        priority: start.priority,
        strict: start.strict,
        metadata: start.metadata,
        requests: Some(requests),
        webhook_url: start.webhook_url,
        ..Submission::default()
    }
}

/// One line, as a batch file would have it.
#[derive(Serialize)]
struct Line<'a> {
    custom_id: String,
    body: Chat<'a>,
}

#[derive(Serialize)]
struct Chat<'a> {
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Value::is_null")]
    max_tokens: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    temperature: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    top_p: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    seed: &'a Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    stop: &'a Value,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

fn request(start: &Start, number: usize, prompt: &str) -> RawRequest {
    let system = start.system.iter().map(|content| Message { role: "system", content });
    let messages = system.chain([Message { role: "user", content: prompt }]).collect();
    let Start { max_tokens, temperature, top_p, seed, stop, .. } = start;
    let body = Chat { messages, max_tokens, temperature, top_p, seed, stop };
    let line = Line { custom_id: format!("prompt-{number}"), body };
    RawRequest::of(&line).expect("a request is plain JSON")
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_become_chat_requests() {
        let start: Start = body::parse(br#"{"prompts":["a","b"],"system":"s","max_tokens":5,"model":"tiny"}"#).unwrap();
        let submission = submission(start);
        let submission = submission.check().unwrap();
        assert_eq!(submission.model.as_deref(), Some("tiny"));
        let messages = r#"[{"role":"system","content":"s"},{"role":"user","content":"b"}]"#;
        let wanted = format!(r#"{{"custom_id":"prompt-2","body":{{"messages":{messages},"max_tokens":5}}}}"#);
        assert_eq!(submission.requests.as_ref().unwrap()[1].as_str(), wanted);
    }

    #[test]
    fn settings_are_read_as_those_of_any_request() {
        let check = |settings: &str| {
            let start: Start = body::parse(format!(r#"{{"prompts":["a"],{settings}}}"#).as_bytes()).unwrap();
            check(&submission(start)).map_err(|refusal| refusal.param.unwrap_or_default())
        };
        assert_eq!(check(r#""max_tokens":16.0,"seed":18446744073709551615,"stop":["x"],"top_p":null"#), Ok(()));
        for (settings, param) in [
            (r#""max_tokens":0"#, "max_tokens"),
            (r#""temperature":"hot""#, "temperature"),
            (r#""temperature":3"#, "temperature"),
            (r#""stop":5"#, "stop"),
        ] {
            assert_eq!(check(settings), Err(param.to_owned()));
        }
    }

    #[test]
    fn what_start_does_not_know_it_refuses() {
        let refusal = body::parse::<Start>(br#"{"prompts":["a"],"max_token":5}"#).unwrap_err();
        assert!(refusal.message.contains("max_token"), "{}", refusal.message);
        let refusal = body::parse::<Start>(br#"{"prompts":["a", 7]}"#).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("prompts[1]"));
    }
}
