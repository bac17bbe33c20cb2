//! From mistral.rs's response to a choice, a refusal or a fault.

use std::f64::consts::LN_10;

use mistralrs::{Logprobs, Response, TopLogprob, core::ResponseLogprob};

use super::{Miss, request::Plan};
use crate::{
    Fault, Usage,
    openai::{Choice, Refusal, Token, Top},
};

/// What OpenAI writes for a token that had no chance.
const LOGPROB_MIN: f64 = -9999.0;

pub struct Reply {
    pub choice: Choice,
    pub usage: Usage,
}

impl Reply {
    pub fn read(response: Response, plan: &Plan) -> Result<Self, Miss> {
        let mut reply = read(response)?;
        match reply.choice.finish.as_str() {
            "stop" | "length" => cut(&mut reply.choice, plan.stops()),
            other => return Err(Fault::Internal { message: format!("the sequence ended with `{other}`") }.into()),
        }
        Ok(reply)
    }
}

fn read(response: Response) -> Result<Reply, Miss> {
    match response {
        Response::Done(mut done) => {
            let choice = done.choices.pop().ok_or_else(empty)?;
            let text = choice.message.content.unwrap_or_default();
            let reasoning = choice.message.reasoning_content;
            Ok(reply(text, reasoning, choice.finish_reason, choice.logprobs, &done.usage))
        }
        Response::CompletionDone(mut done) => {
            let choice = done.choices.pop().ok_or_else(empty)?;
            Ok(reply(choice.text, None, choice.finish_reason, choice.logprobs, &done.usage))
        }
        Response::ModelError(message, _) | Response::CompletionModelError(message, _) => Err(fault(&message).into()),
        Response::InternalError(error) => Err(failed(&error.to_string())),
        Response::ValidationError(error) => Err(refusal(&error.to_string()).into()),
        _ => Err(Fault::Internal { message: "a response of another kind".to_owned() }.into()),
    }
}

fn empty() -> Fault {
    Fault::Internal { message: "a response without a choice".to_owned() }
}

fn reply(
    text: String,
    reasoning: Option<String>,
    finish: String,
    logprobs: Option<Logprobs>,
    usage: &mistralrs::Usage,
) -> Reply {
    let logprobs = logprobs.and_then(|logprobs| logprobs.content).map(|all| all.into_iter().map(token).collect());
    let usage = Usage { prompt: usage.prompt_tokens as u64, completion: usage.completion_tokens as u64, cached: 0 };
    Reply { choice: Choice { text, reasoning, finish, logprobs }, usage }
}

fn token(token: ResponseLogprob) -> Token {
    Token {
        bytes: token.bytes.unwrap_or_else(|| token.token.clone().into_bytes()),
        token: token.token,
        logprob: natural(token.logprob),
        top_logprobs: token.top_logprobs.into_iter().map(top).collect(),
    }
}

fn top(top: TopLogprob) -> Top {
    let token = top.bytes.unwrap_or_default();
    Top { bytes: token.clone().into_bytes(), token, logprob: natural(top.logprob) }
}

/// mistral.rs takes logarithms to base 10.
fn natural(decimal: f32) -> f64 {
    (f64::from(decimal) * LN_10).max(LOGPROB_MIN)
}

/// Ends the text before the first stop string. mistral.rs looks for one a token late, and not at all where the text
/// ends with it.
fn cut(choice: &mut Choice, stops: &[String]) {
    let first = stops.iter().filter_map(|stop| choice.text.find(stop.as_str())).min();
    if let Some(end) = first {
        choice.text.truncate(end);
        "stop".clone_into(&mut choice.finish);
    }
    if choice.finish == "stop"
        && let Some(tokens) = &mut choice.logprobs
    {
        trim(tokens, &choice.text);
    }
}

/// Drops the tokens after the text: the end of sequence, or those of a stop string.
fn trim(tokens: &mut Vec<Token>, text: &str) {
    let mut whole: String = tokens.iter().map(|token| token.token.as_str()).collect();
    while let Some(last) = tokens.last() {
        whole.truncate(whole.len() - last.token.len());
        if !whole.trim_start().starts_with(text) {
            return;
        }
        tokens.pop();
    }
}

/// An error of the device or of the forward pass.
fn fault(message: &str) -> Fault {
    let lower = message.to_lowercase();
    let message = message.to_owned();
    if lower.contains("out of memory") || lower.contains("out_of_memory") {
        Fault::OutOfMemory { message }
    } else if ["cuda_error", "cublas_status", "channel closed"].iter().any(|mark| lower.contains(mark)) {
        // After any other error a CUDA context fails every call. A closed channel is the last word of a thread that is
        // about to panic.
        Fault::Died { message }
    } else {
        Fault::Internal { message }
    }
}

/// An error before or beside the forward pass. A chat template that raises (roles out of turn, say) is among these,
/// with only its text to tell it by: mistral.rs names every template `chat_template`.
pub fn failed(message: &str) -> Miss {
    if message.contains("(in chat_template:") {
        return Refusal::invalid("messages", format!("the model's chat template: {message}")).into();
    }
    fault(message).into()
}

fn refusal(message: &str) -> Refusal {
    if message.starts_with("Invalid grammar") {
        return Refusal::invalid("response_format", message);
    }
    Refusal::invalid("messages", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: &str, finish: &str, tokens: &[&str]) -> Choice {
        let token = |t: &&str| Token {
            token: (*t).to_owned(),
            logprob: 0.0,
            bytes: t.as_bytes().to_vec(),
            top_logprobs: Vec::new(),
        };
        Choice {
            text: text.to_owned(),
            reasoning: None,
            finish: finish.to_owned(),
            logprobs: Some(tokens.iter().map(token).collect()),
        }
    }

    fn cuts(mut choice: Choice, stops: &[&str]) -> (String, String, usize) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        cut(&mut choice, &stops);
        (choice.text, choice.finish, choice.logprobs.map_or(0, |tokens| tokens.len()))
    }

    #[test]
    fn text_ends_before_the_first_stop() {
        let case = |text, finish, tokens: &[&str], stops: &[&str]| cuts(choice(text, finish, tokens), stops);
        let expect = |text: &str, finish: &str, tokens| (text.to_owned(), finish.to_owned(), tokens);
        assert_eq!(case("a b", "stop", &["a", " b", "<end>"], &[]), expect("a b", "stop", 2));
        assert_eq!(case("a b", "length", &["a", " b"], &[]), expect("a b", "length", 2));
        assert_eq!(case("a b c", "length", &["a", " b", " c"], &["c", " b"]), expect("a", "stop", 1));
        assert_eq!(case("a\n", "stop", &["a", "\n", "<end>"], &["\n"]), expect("a", "stop", 1));
        assert_eq!(case("", "stop", &["<end>"], &[]), expect("", "stop", 0));
        assert_eq!(case("a", "stop", &[" a", "<end>"], &[]), expect("a", "stop", 1));
    }

    #[test]
    fn faults_have_classes() {
        assert_eq!(fault("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")").class(), "out_of_memory");
        assert_eq!(fault("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)").class(), "died");
        assert_eq!(fault("channel closed").class(), "died");
        assert_eq!(fault("shape mismatch").class(), "internal");
        let raised = "invalid operation: roles must alternate (in chat_template:3)";
        assert!(matches!(failed(raised), Miss::Refused(_)));
    }

    #[test]
    fn logprobs_are_natural_and_finite() {
        assert!((natural(-1.0) + LN_10).abs() < 1e-9);
        assert_eq!(natural(f32::NEG_INFINITY), LOGPROB_MIN);
        assert_eq!(natural(f32::NAN), LOGPROB_MIN);
    }
}
