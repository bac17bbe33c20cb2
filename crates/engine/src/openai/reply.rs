//! OpenAI's answer objects.

use serde::Serialize;

use crate::{Answer, Endpoint, Usage, stamp};

/// One answer to one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub text: String,
    pub reasoning: Option<String>,
    pub calls: Vec<ToolCall>,
    /// `stop`, `length` or `tool_calls`.
    pub finish: &'static str,
    pub logprobs: Option<Vec<Token>>,
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text of an object.
    pub arguments: String,
}

/// A token of the answer. Log probabilities are natural.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub text: String,
    pub bytes: Vec<u8>,
    pub logprob: f64,
    /// Characters of the answer before it.
    pub offset: usize,
    pub tops: Vec<Top>,
}

/// One of the likeliest tokens in a place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    #[serde(rename = "token")]
    pub text: String,
    pub logprob: f64,
    pub bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Body<'a, C> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<C>,
    usage: Counts,
}

#[derive(Serialize)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Cached,
}

#[derive(Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct ChatChoice<'a> {
    index: usize,
    message: ChatMessage<'a>,
    logprobs: Option<ChatLogprobs<'a>>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ChatCall<'a>>,
}

#[derive(Serialize)]
struct ChatCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: ChatFunction<'a>,
}

#[derive(Serialize)]
struct ChatFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ChatLogprobs<'a> {
    content: Vec<ChatToken<'a>>,
    refusal: Option<&'static str>,
}

#[derive(Serialize)]
struct ChatToken<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
    top_logprobs: &'a [Top],
}

#[derive(Serialize)]
struct TextChoice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<TextLogprobs<'a>>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct TextLogprobs<'a> {
    tokens: Vec<&'a str>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<serde_json::Map<String, serde_json::Value>>,
    text_offset: Vec<usize>,
}

/// Writes the answer object with its choices in their order.
pub fn write(endpoint: Endpoint, model: &str, choices: &[Choice], usage: Usage) -> Answer {
    let numbered = choices.iter().enumerate();
    let body = match endpoint {
        Endpoint::Chat => body("chatcmpl-", "chat.completion", model, numbered.map(chat).collect(), usage),
        Endpoint::Completions | Endpoint::Embeddings => {
            body("cmpl-", "text_completion", model, numbered.map(text).collect(), usage)
        }
    };
    Answer::good(body, usage)
}

fn body<C: Serialize>(id: &str, object: &'static str, model: &str, choices: Vec<C>, usage: Usage) -> String {
    let body = Body {
        id: format!("{id}{}", stamp::id()),
        object,
        created: stamp::now(),
        model,
        choices,
        usage: counts(usage),
    };
    serde_json::to_string(&body).expect("strings and finite numbers are JSON")
}

fn counts(usage: Usage) -> Counts {
    Counts {
        prompt_tokens: usage.prompt,
        completion_tokens: usage.completion,
        total_tokens: usage.prompt + usage.completion,
        prompt_tokens_details: Cached { cached_tokens: usage.cached },
    }
}

fn chat((index, choice): (usize, &Choice)) -> ChatChoice<'_> {
    let is_call = !choice.calls.is_empty();
    let message = ChatMessage {
        role: "assistant",
        content: Some(choice.text.as_str()).filter(|text| !is_call || !text.is_empty()),
        refusal: None,
        reasoning_content: choice.reasoning.as_deref(),
        tool_calls: choice.calls.iter().map(call).collect(),
    };
    let tokens = choice.logprobs.as_deref();
    let logprobs = tokens.map(|tokens| ChatLogprobs { content: tokens.iter().map(token).collect(), refusal: None });
    ChatChoice { index, message, logprobs, finish_reason: choice.finish }
}

fn call(call: &ToolCall) -> ChatCall<'_> {
    let function = ChatFunction { name: &call.name, arguments: &call.arguments };
    ChatCall { id: &call.id, r#type: "function", function }
}

fn token(token: &Token) -> ChatToken<'_> {
    ChatToken { token: &token.text, logprob: token.logprob, bytes: &token.bytes, top_logprobs: &token.tops }
}

fn text((index, choice): (usize, &Choice)) -> TextChoice<'_> {
    let logprobs = choice.logprobs.as_deref().map(columns);
    TextChoice { index, text: &choice.text, logprobs, finish_reason: choice.finish }
}

/// The legacy endpoint lists columns, not tokens.
fn columns(tokens: &[Token]) -> TextLogprobs<'_> {
    TextLogprobs {
        tokens: tokens.iter().map(|token| token.text.as_str()).collect(),
        token_logprobs: tokens.iter().map(|token| token.logprob).collect(),
        top_logprobs: tokens.iter().map(tops).collect(),
        text_offset: tokens.iter().map(|token| token.offset).collect(),
    }
}

/// With the token itself, as the legacy endpoint has it.
fn tops(token: &Token) -> serde_json::Map<String, serde_json::Value> {
    let tops = token.tops.iter().map(|top| (top.text.clone(), top.logprob.into()));
    let own = (token.text.clone(), token.logprob.into());
    tops.chain((!token.tops.is_empty()).then_some(own)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn choice() -> Choice {
        let top = Top { text: "b".to_owned(), logprob: -1.5, bytes: vec![98] };
        let token = |text: &str, offset| Token {
            text: text.to_owned(),
            logprob: -0.5,
            bytes: text.into(),
            offset,
            tops: vec![top.clone()],
        };
        let logprobs = Some(vec![token("a", 0), token("c", 1)]);
        Choice { text: "ac".to_owned(), reasoning: None, calls: Vec::new(), finish: "stop", logprobs }
    }

    fn written(endpoint: Endpoint) -> Value {
        let usage = Usage { prompt: 3, completion: 2, cached: 0 };
        let answer = write(endpoint, "m", &[choice(), choice()], usage);
        let mut body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert!(body["id"].take().is_string() && body["created"].take().is_u64());
        body
    }

    #[test]
    fn chat_is_as_openai_writes_it() {
        let body = written(Endpoint::Chat);
        assert_eq!(body["object"], "chat.completion");
        assert_eq!(
            body["choices"][1],
            json!({"index": 1, "message": {"role": "assistant", "content": "ac", "refusal": null},
                "logprobs": {"refusal": null, "content": [
                    {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}]},
                    {"token": "c", "logprob": -0.5, "bytes": [99], "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}]}]},
                "finish_reason": "stop"})
        );
        assert_eq!(
            body["usage"],
            json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0}})
        );
    }

    #[test]
    fn text_is_as_openai_writes_it() {
        let body = written(Endpoint::Completions);
        assert_eq!(body["object"], "text_completion");
        assert_eq!(
            body["choices"][0],
            json!({"index": 0, "text": "ac", "finish_reason": "stop", "logprobs": {"tokens": ["a", "c"],
                "token_logprobs": [-0.5, -0.5], "top_logprobs": [{"b": -1.5, "a": -0.5}, {"b": -1.5, "c": -0.5}],
                "text_offset": [0, 1]}})
        );
    }

    #[test]
    fn calls_are_as_openai_writes_them() {
        let call = ToolCall { id: "call_1".to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
        let choice =
            Choice { text: String::new(), calls: vec![call], finish: "tool_calls", logprobs: None, ..choice() };
        let answer = write(Endpoint::Chat, "m", &[choice], Usage::default());
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(
            body["choices"][0],
            json!({"index": 0, "message": {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                "logprobs": null, "finish_reason": "tool_calls"})
        );
    }
}
