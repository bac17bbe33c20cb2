//! Right answers: odd inputs after public bug reports, each with what is right for it (`table.json`), against the bundled
//! model at one slot and at two; and draws that are independent of each other.
//!
//! In `table.json`, by the name of a file in `cases/`:
//! - `state`: the job's at its end; `completed` where it is left out;
//! - `errors`: those of a job that failed, each with `line`, `code`, `param` and a part of its `message`;
//! - `warnings`: those of the status, as `[code, count, first line]`;
//! - `lines`: by `custom_id`, the answer's text, which is complete; or an object with `text` or `texts`, `finish`,
//!   `tokens` (the most), `prompt` (its tokens), `json` (it parses), `pattern` (`d` a digit), or with `param`, `code` and a part of `says` of the
//!   error that stands for an answer;
//! - `distinct`: every text of the job differs from the others; `same`: these lines have the same log probabilities.
use crate::support::{Need, Plan, Stand, is_echo, root, skip};
use serde_json::{Map, Value};
use std::path::PathBuf;

mod draws;
mod held;
mod logprobs;

fn folder() -> PathBuf {
    root().join("tests/answers")
}

fn table() -> Map<String, Value> {
    let text = std::fs::read_to_string(folder().join("table.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The bundled model in four guises: as it is, with two slots, with a chat template that refuses the system role, and
/// with a second token that ends an answer.
fn plan(slots: usize) -> Plan {
    let (tiny, strict) = (root().join("models/tiny"), folder().join("cases/strict.jinja"));
    let pool = |name: &str, model: &str, slots: usize| {
        format!("[pools.{name}.engine]\nkind = 'mistralrs'\ndevice = 'cpu'\nslots = {slots}\nmodel = {{ {model} }}\n")
    };
    let pools = [
        pool("tiny", &format!("folder = {tiny:?}"), slots),
        pool("pair", &format!("folder = {tiny:?}"), 2),
        pool("strict", &format!("folder = {tiny:?}, chat_template = {strict:?}"), slots),
        pool("both", "folder = 'both'", slots),
    ];
    Plan::pools(pools.concat()).env("JETBATCH__DEFAULT_POOL", "tiny")
}

/// A second end: the bundled model's `<|endoftext|>`.
fn two_ends(stand: &Stand) {
    let (from, to) = (root().join("models/tiny"), stand.path("both"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(to.join("generation_config.json"), r#"{"bos_token_id": 0, "eos_token_id": [0, 2]}"#).unwrap();
}

#[tokio::test]
async fn every_case_at_one_slot() {
    every_case(1).await;
}

#[tokio::test]
async fn every_case_at_two_slots() {
    every_case(2).await;
}

async fn every_case(slots: usize) {
    if is_echo() {
        return skip(Need::Model, "the cases", "the echo engine stands in for the bundled model");
    }
    let mut stand = plan(slots).workers(0).start().await;
    two_ends(&stand);
    stand.add_worker();
    let table = table();
    let mut wrong = Vec::new();
    for (name, expected) in &table {
        let file = std::fs::read(folder().join("cases").join(format!("{name}.jsonl"))).unwrap();
        let outcome = held::run(&stand, file).await;
        wrong.extend(held::compare(expected, &outcome).into_iter().map(|why| format!("{name}: {why}")));
    }
    assert!(wrong.is_empty(), "at {slots} slots:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_has_its_row() {
    let table = table();
    for entry in std::fs::read_dir(folder().join("cases")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(path.extension().is_some_and(|ext| ext == "jinja") || table.contains_key(&name), "{name}");
    }
}
