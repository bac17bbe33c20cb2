//! Requests, each with its right answer, and output held against them.
use super::{MODEL, plan::is_echo, root};
use serde_json::{Value, json};
use std::collections::HashMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub id: String,
    pub question: String,
    pub answer: String,
}

impl Ask {
    /// One that the echo engine answers with itself.
    pub fn echo(id: impl Into<String>, question: impl Into<String>) -> Self {
        let question = question.into();
        Self { id: id.into(), answer: question.clone(), question }
    }

    /// The request as a batch file's line holds it.
    pub fn json(&self) -> Value {
        let messages = json!([{"role": "user", "content": self.question}]);
        let body = json!({"model": MODEL, "messages": messages, "max_tokens": 16, "temperature": 0});
        json!({"custom_id": self.id, "method": "POST", "url": "/v1/chat/completions", "body": body})
    }
}

/// So many that the echo engine answers.
pub fn echoes(count: usize) -> Vec<Ask> {
    (0..count).map(|n| Ask::echo(format!("r{n}"), format!("say {n}"))).collect()
}

/// So many of the bundled facts, over and over under new ids.
pub fn asks(count: usize) -> Vec<Ask> {
    let read = |name| std::fs::read_to_string(root().join("models").join(name)).unwrap();
    let answers: HashMap<String, String> = serde_json::from_str(&read("expected.json")).unwrap();
    let sample = lines(&read("sample.jsonl"));
    let facts = sample.iter().map(|line| {
        let (id, question) = (text(&line["custom_id"]), text(&line["body"]["messages"][0]["content"]));
        let answer = if is_echo() { question.clone() } else { answers[&id].clone() };
        Ask { id, question, answer }
    });
    let facts: Vec<Ask> = facts.collect();
    let named = |n: usize| {
        let fact = facts[n % facts.len()].clone();
        if n < facts.len() { fact } else { Ask { id: format!("{}-again-{n}", fact.id), ..fact } }
    };
    (0..count).map(named).collect()
}

/// A batch file.
pub fn jsonl(asks: &[Ask]) -> String {
    asks.iter().map(|ask| format!("{}\n", ask.json())).collect()
}

/// The lines of an output or error file.
pub fn lines(file: &str) -> Vec<Value> {
    assert!(file.is_empty() || file.ends_with('\n'), "the last line is torn: {:?}", file.lines().last());
    file.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The n-th line answers the n-th request, and both end together.
#[track_caller]
pub fn answers_in(output: &str, asks: &[Ask]) {
    let lines = lines(output);
    for (line, ask) in lines.iter().zip(asks) {
        assert_eq!(line["custom_id"], ask.id, "out of order: {line}");
        assert_answer(line, ask);
    }
    assert_eq!(lines.len(), asks.len(), "lines are lost or doubled");
}

/// Each request has one line in one of the files, both in input order; every error line has this code. Gives the number
/// of answers.
#[track_caller]
pub fn split_in(output: &str, errors: &str, asks: &[Ask], code: &str) -> usize {
    let (output, errors) = (lines(output), lines(errors));
    let (mut good, mut bad) = (output.iter().peekable(), errors.iter().peekable());
    for ask in asks {
        if let Some(line) = good.next_if(|line| line["custom_id"] == ask.id) {
            assert_answer(line, ask);
            continue;
        }
        let line = bad.next_if(|line| line["custom_id"] == ask.id);
        let line = line.unwrap_or_else(|| panic!("{} is missing or out of order", ask.id));
        assert_eq!(line["error"]["code"], code, "{line}");
        assert_eq!(line["response"], Value::Null, "{line}");
    }
    assert!(good.next().is_none() && bad.next().is_none(), "there are lines too many");
    output.len()
}

#[track_caller]
fn assert_answer(line: &Value, ask: &Ask) {
    let response = &line["response"];
    assert_eq!((&line["error"], &response["status_code"]), (&Value::Null, &json!(200)), "{line}");
    assert!(text(&line["id"]).starts_with("batch_req_"), "{line}");
    let body = &response["body"];
    assert_eq!(body["object"], "chat.completion", "{line}");
    assert_eq!(body["choices"][0]["message"]["content"], ask.answer, "{} was asked: {}", ask.id, ask.question);
    let usage = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|key| body["usage"][key].as_u64().unwrap());
    assert!(usage[0] > 0 && usage[1] > 0 && usage[2] == usage[0] + usage[1], "{line}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
