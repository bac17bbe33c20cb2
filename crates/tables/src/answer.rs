//! A line of a job's output or error file, as the columns beside a row.
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What became of a row's request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The answer's text; of several choices a JSON list of them, of calls and vectors their JSON.
    pub response: Option<String>,
    pub error: Option<String>,
    pub finish_reason: Option<String>,
    pub prompt_tokens: Option<i64>,
    pub completion_tokens: Option<i64>,
    pub model: Option<String>,
    pub request_id: Option<String>,
    /// What was asked: `resume` says how it is made. None: no engine was asked, or it is not known what.
    pub request_hash: Option<String>,
}

/// A line of a job's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The request's number in the job.
    pub number: u64,
    pub custom_id: String,
    pub answer: Answer,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    custom_id: String,
    response: Option<Response>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Response {
    request_id: Option<String>,
    #[serde(default)]
    body: Body,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    choices: Vec<Choice>,
    data: Vec<Vector>,
    usage: Usage,
    error: Option<Failure>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    message: Option<Message>,
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    tool_calls: Option<Value>,
}

#[derive(Deserialize)]
struct Vector {
    embedding: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

impl Answer {
    /// A row's of which nothing is known.
    pub fn missing(why: &str) -> Self {
        Self { error: Some(why.to_owned()), ..Self::default() }
    }

    /// What a line says of which request.
    pub fn read(line: &[u8]) -> Result<Told, serde_json::Error> {
        let Line { id, custom_id, response, error } = serde_json::from_slice(line)?;
        let Response { request_id, body } = response.unwrap_or(Response { request_id: None, body: Body::default() });
        let failure = error.or(body.error).map(|failure| failure.message);
        let answer = Self {
            response: if failure.is_some() { None } else { said(&body.choices, &body.data) },
            error: failure,
            finish_reason: body.choices.iter().find_map(|choice| choice.finish_reason.clone()),
            prompt_tokens: body.usage.prompt_tokens,
            completion_tokens: body.usage.completion_tokens,
            model: body.model,
            request_id,
            request_hash: None,
        };
        // `batch_req_<job>_<number>`.
        let number = id.rsplit('_').next().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        Ok(Told { number, custom_id, answer })
    }
}

fn said(choices: &[Choice], data: &[Vector]) -> Option<String> {
    match (choices, data) {
        ([], []) => None,
        ([], [one]) => Some(one.embedding.to_string()),
        ([], many) => Some(Value::from_iter(many.iter().map(|one| one.embedding.clone())).to_string()),
        ([one], _) => one.said(),
        (many, _) => Some(Value::from_iter(many.iter().map(Choice::said)).to_string()),
    }
}

impl Choice {
    fn said(&self) -> Option<String> {
        let Some(message) = &self.message else { return self.text.clone() };
        let calls = || message.tool_calls.as_ref().map(Value::to_string);
        message.content.clone().or_else(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(line: Value) -> Told {
        Answer::read(line.to_string().as_bytes()).unwrap()
    }

    fn body(body: Value) -> Answer {
        read(json!({"id": "x", "custom_id": "a", "error": null,
            "response": {"status_code": 200, "request_id": "req_1", "body": body}}))
        .answer
    }

    #[test]
    fn a_chat_is_its_text() {
        let answer =
            body(json!({"model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}));
        let want = Answer {
            response: Some("hi".into()),
            finish_reason: Some("stop".into()),
            prompt_tokens: Some(3),
            completion_tokens: Some(2),
            model: Some("m".into()),
            request_id: Some("req_1".into()),
            request_hash: None,
            error: None,
        };
        assert_eq!(answer, want);
    }

    #[test]
    fn what_is_no_one_text_is_json() {
        let texts =
            json!({"choices": [{"text": "a", "finish_reason": "stop"}, {"text": "b", "finish_reason": "stop"}]});
        assert_eq!(body(texts).response.unwrap(), r#"["a","b"]"#);
        assert_eq!(body(json!({"data": [{"embedding": [0.5, 1.0]}]})).response.unwrap(), "[0.5,1.0]");
        let calls = json!({"choices": [{"message": {"content": null, "tool_calls": [{"id": "c"}]}}]});
        assert_eq!(body(calls).response.unwrap(), r#"[{"id":"c"}]"#);
    }

    #[test]
    fn a_failure_has_its_message() {
        let refused = body(json!({"error": {"message": "too long", "type": "t", "param": null, "code": null}}));
        assert_eq!((refused.error.as_deref(), refused.response), (Some("too long"), None));
        let expired = read(json!({"id": "batch_req_0a_12", "custom_id": "a", "response": null,
            "error": {"code": "batch_expired", "message": "late"}}));
        assert_eq!((expired.number, expired.custom_id.as_str()), (12, "a"));
        assert_eq!(expired.answer.error.as_deref(), Some("late"));
    }
}
