//! What came of an input, held against what is right for it.
use crate::support::{LONG, Stand, lines};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Instant};

/// A job at its end, and its output and error lines by `custom_id`.
pub struct Outcome {
    pub status: Value,
    pub lines: BTreeMap<String, Value>,
}

pub async fn run(stand: &Stand, file: Vec<u8>) -> Outcome {
    let id = stand.http.submit("", file).await;
    let begun = Instant::now();
    let is_over = |status: &Value| ["completed", "failed"].contains(&status["state"].as_str().unwrap_or_default());
    let status = stand.until(id, "the end of a case", is_over).await;
    assert!(begun.elapsed() < LONG);
    let mut found = BTreeMap::new();
    if status["state"] == "completed" {
        for kind in ["results", "errors"] {
            for line in lines(&stand.http.text(&format!("/jobs/{id}/{kind}")).await) {
                let id = line["custom_id"].as_str().unwrap().to_owned();
                assert!(found.insert(id, line).is_none(), "a request has two lines");
            }
        }
    }
    Outcome { status, lines: found }
}

/// What is not as it should be.
pub fn compare(expected: &Value, outcome: &Outcome) -> Vec<String> {
    let status = &outcome.status;
    let state = expected["state"].as_str().unwrap_or("completed");
    if status["state"] != state {
        return vec![format!("it is {}, not {state}: {}", status["state"], status["errors"])];
    }
    let mut wrong = Vec::new();
    if status["retries"] != 0 {
        wrong.push(format!("{} retries", status["retries"]));
    }
    wrong.extend(errors(&expected["errors"], &status["errors"]));
    wrong.extend(warnings(&expected["warnings"], &status["warnings"]));
    let rows = expected["lines"].as_object().cloned().unwrap_or_default();
    wrong.extend(answers(&rows, outcome, expected["distinct"] == true));
    wrong.extend(alike(&expected["same"], outcome));
    wrong
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn errors(expected: &Value, found: &Value) -> Option<String> {
    let (expected, found) = (list(expected), list(found));
    let fits = |(want, error): (&Value, &Value)| {
        let field = |name: &str| want[name] == error[name];
        let says = want["message"].as_str().unwrap_or_default();
        field("line") && field("code") && field("param") && error["message"].as_str().unwrap_or_default().contains(says)
    };
    let is_right = expected.len() == found.len() && expected.iter().zip(found).all(fits);
    (!is_right).then(|| format!("its errors are {found:?}, not {expected:?}"))
}

fn warnings(expected: &Value, found: &Value) -> Option<String> {
    let found: Vec<Value> = list(found)
        .iter()
        .map(|warning| Value::Array(vec![warning["code"].clone(), warning["count"].clone(), warning["line"].clone()]))
        .collect();
    (list(expected) != found).then(|| format!("its warnings are {found:?}, not {expected}"))
}

fn answers(rows: &Map<String, Value>, outcome: &Outcome, are_distinct: bool) -> Vec<String> {
    let mut wrong: Vec<String> = rows
        .iter()
        .filter_map(|(id, row)| match outcome.lines.get(id) {
            None => Some(format!("{id} has no line")),
            Some(line) => answer(row, &line["response"]).map(|why| format!("{id}: {why}")),
        })
        .collect();
    if !are_distinct && rows.len() != outcome.lines.len() {
        wrong.push(format!("{} lines, not {}", outcome.lines.len(), rows.len()));
    }
    let mut texts: Vec<String> = outcome.lines.values().flat_map(|line| texts(&line["response"]["body"])).collect();
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    if are_distinct && texts.len() != count {
        wrong.push(format!("{} texts of {count} are distinct", texts.len()));
    }
    wrong
}

pub fn texts(body: &Value) -> Vec<String> {
    let text =
        |choice: &Value| choice["message"]["content"].as_str().or(choice["text"].as_str()).unwrap_or("").to_owned();
    list(&body["choices"]).iter().map(text).collect()
}

fn answer(row: &Value, response: &Value) -> Option<String> {
    let body = &response["body"];
    let (status, error) = (&response["status_code"], &body["error"]);
    let is_refused = row.get("param").is_some();
    if (*status != 200) != is_refused {
        return Some(format!("status {status}: {body}"));
    }
    if is_refused {
        let says = error["message"].as_str().unwrap_or_default().contains(row["says"].as_str().unwrap_or_default());
        let is_right = *status == 400 && error["param"] == row["param"] && error["code"] == row["code"] && says;
        return (!is_right).then(|| format!("the error is {error}"));
    }
    let (texts, finish) = (texts(body), &body["choices"][0]["finish_reason"]);
    let fits = match row {
        Value::String(text) => texts == [text.as_str()] && finish == "stop",
        _ => fits(row, &texts, finish, body),
    };
    (!fits).then(|| format!("{texts:?} {finish} {}", body["usage"]))
}

fn fits(row: &Value, texts: &[String], finish: &Value, body: &Value) -> bool {
    let wanted = |name: &str, test: &dyn Fn(&Value) -> bool| row.get(name).is_none_or(test);
    wanted("text", &|text| texts == [text.as_str().unwrap_or_default()])
        && wanted("texts", &|all| list(all).iter().eq(texts.iter()))
        && wanted("finish", &|end| end == finish)
        && wanted("tokens", &|most| body["usage"]["completion_tokens"].as_u64() <= most.as_u64())
        && wanted("json", &|_| texts.iter().all(|text| serde_json::from_str::<Value>(text).is_ok()))
        && wanted("pattern", &|shape| texts.iter().all(|text| is_shaped(text, shape.as_str().unwrap_or_default())))
        && wanted("prompt", &|tokens| body["usage"]["prompt_tokens"] == *tokens)
}

fn is_shaped(text: &str, shape: &str) -> bool {
    let fits = |(found, wanted): (char, char)| if wanted == 'd' { found.is_ascii_digit() } else { found == wanted };
    text.chars().count() == shape.len() && text.chars().zip(shape.chars()).all(fits)
}

fn alike(same: &Value, outcome: &Outcome) -> Option<String> {
    let logprobs = |id: &Value| {
        let body = &outcome.lines.get(id.as_str()?)?["response"]["body"];
        Some(&body["choices"][0]["logprobs"]["content"])
    };
    let all: Vec<_> = list(same).iter().map(logprobs).collect();
    let is_right = all.iter().all(|content| content.is_some_and(|content| content.is_array()) && *content == all[0]);
    (!is_right).then(|| format!("the log probabilities of {same} differ: {all:?}"))
}
