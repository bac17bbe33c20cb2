//! OpenAI's answer objects.

use serde::Serialize;

use crate::{Answer, Endpoint, Usage, stamp};

/// One answer to one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub text: String,
    pub reasoning: Option<String>,
    pub finish: String,
    pub logprobs: Option<Vec<Token>>,
}

/// A chosen token. Log probabilities are natural and finite, as JSON has no infinity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Token {
    pub token: String,
    pub logprob: f64,
    pub bytes: Vec<u8>,
    pub top_logprobs: Vec<Top>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    pub token: String,
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
    content: &'a str,
    refusal: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
}

#[derive(Serialize)]
struct ChatLogprobs<'a> {
    content: &'a [Token],
    refusal: Option<&'static str>,
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
        Endpoint::Completions => body("cmpl-", "text_completion", model, numbered.map(text).collect(), usage),
    };
    Answer { status: 200, body, usage }
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
    let message = ChatMessage {
        role: "assistant",
        content: &choice.text,
        refusal: None,
        reasoning_content: choice.reasoning.as_deref(),
    };
    let logprobs = choice.logprobs.as_deref().map(|content| ChatLogprobs { content, refusal: None });
    ChatChoice { index, message, logprobs, finish_reason: &choice.finish }
}

fn text((index, choice): (usize, &Choice)) -> TextChoice<'_> {
    let logprobs = choice.logprobs.as_deref().map(columns);
    TextChoice { index, text: &choice.text, logprobs, finish_reason: &choice.finish }
}

/// The legacy endpoint lists columns, not tokens.
fn columns(tokens: &[Token]) -> TextLogprobs<'_> {
    let offsets = tokens.iter().scan(0, |end, token| {
        let start = *end;
        *end += token.token.chars().count();
        Some(start)
    });
    TextLogprobs {
        tokens: tokens.iter().map(|token| token.token.as_str()).collect(),
        token_logprobs: tokens.iter().map(|token| token.logprob).collect(),
        top_logprobs: tokens.iter().map(tops).collect(),
        text_offset: offsets.collect(),
    }
}

fn tops(token: &Token) -> serde_json::Map<String, serde_json::Value> {
    token.top_logprobs.iter().map(|top| (top.token.clone(), top.logprob.into())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn choice() -> Choice {
        let top = Top { token: "b".to_owned(), logprob: -1.5, bytes: vec![98] };
        let token =
            |t: &str| Token { token: t.to_owned(), logprob: -0.5, bytes: t.into(), top_logprobs: vec![top.clone()] };
        Choice {
            text: "ab".to_owned(),
            reasoning: None,
            finish: "stop".to_owned(),
            logprobs: Some(vec![token("a"), token("b")]),
        }
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
            json!({"index": 1, "message": {"role": "assistant", "content": "ab", "refusal": null},
                "logprobs": {"refusal": null, "content": [
                    {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}]},
                    {"token": "b", "logprob": -0.5, "bytes": [98], "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}]}]},
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
            json!({"index": 0, "text": "ab", "finish_reason": "stop", "logprobs": {"tokens": ["a", "b"],
                "token_logprobs": [-0.5, -0.5], "top_logprobs": [{"b": -1.5}, {"b": -1.5}], "text_offset": [0, 1]}})
        );
    }
}
