//! The bundled model through the real engine.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use engine::{Answer, Call, Endpoint, Engine, Key, LoadError, Mistralrs, Source, Spec};
use futures::future::join_all;
use serde_json::{Value, json};

const PARIS: &str = "What is the capital of France?";

fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

async fn tiny(slots: usize) -> Arc<dyn Engine> {
    let folder = models().join("tiny").to_string_lossy().into_owned();
    let spec = Mistralrs { slots: Some(slots), name: Some("tiny".to_owned()), ..Mistralrs::folder(folder) }.into();
    engine::load(&spec).await.expect("the bundled model loads")
}

fn question(text: &str, extra: Value) -> Call {
    let mut body = json!({"messages": [{"role": "user", "content": text}], "max_tokens": 16, "temperature": 0});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    Call { endpoint: Endpoint::Chat, body: Bytes::from(body.to_string()), key: Key::seeded(0) }
}

async fn run(engine: &Arc<dyn Engine>, call: Call) -> (Answer, Value) {
    let answer = engine.run(call).await.expect("an answer");
    let body = serde_json::from_str(&answer.body).expect("JSON");
    (answer, body)
}

async fn ask(engine: &Arc<dyn Engine>, text: &str, extra: Value) -> Value {
    run(engine, question(text, extra)).await.1
}

fn content(body: &Value) -> &str {
    body["choices"][0]["message"]["content"].as_str().expect("content")
}

/// Every sixteenth known question: its id, its body and its answer.
fn known() -> Vec<(String, Bytes, String)> {
    let read = |file: &str| std::fs::read_to_string(models().join(file)).expect("a bundled file");
    let answers: BTreeMap<String, String> = serde_json::from_str(&read("expected.json")).expect("JSON");
    let sample = read("sample.jsonl");
    let lines = sample.lines().step_by(16).map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .map(|line| {
            let id = line["custom_id"].as_str().expect("an id").to_owned();
            let answer = answers[&id].clone();
            (id, Bytes::from(line["body"].to_string()), answer)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_known_questions_at_once() {
    let engine = tiny(2).await;
    let known = known();
    assert!(known.len() > 40);
    let calls = known.iter().map(|(id, body, expected)| {
        let engine = engine.clone();
        async move {
            let (answer, body) =
                run(&engine, Call { endpoint: Endpoint::Chat, body: body.clone(), key: Key::seeded(0) }).await;
            assert_eq!((answer.status, content(&body)), (200, expected.as_str()), "{id}");
            assert_eq!(body["choices"][0]["finish_reason"], "stop", "{id}");
            assert!(answer.usage.prompt > 0 && answer.usage.completion > 0, "{id}");
        }
    });
    join_all(calls).await;
    assert_eq!(engine.about().engine, "mistralrs");
    assert_eq!(engine.about().device, if cfg!(feature = "cuda") { "cuda:0" } else { "cpu" });
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_where_told() {
    let engine = tiny(2).await;
    let body = ask(&engine, PARIS, json!({})).await;
    assert_eq!((content(&body), &body["model"]), ("Paris", &json!("tiny")));
    for (stop, expected) in [(json!("ris"), "Pa"), (json!(["zz", "s"]), "Pari"), (json!("Paris"), "")] {
        let body = ask(&engine, PARIS, json!({"stop": stop, "logprobs": true, "model": "m"})).await;
        assert_eq!((content(&body), &body["choices"][0]["finish_reason"]), (expected, &json!("stop")));
        assert_eq!(body["model"], "m");
    }
    // Token 0, which ends no answer of this model by itself.
    let other = json!({"stop": "<|endoftext|>", "logit_bias": {"0": 100, "2": -100}});
    assert_eq!(ask(&engine, PARIS, other).await["choices"][0]["finish_reason"], "stop");
    let body = ask(&engine, PARIS, json!({"max_tokens": 1})).await;
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_to_a_schema() {
    let engine = tiny(2).await;
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
        "additionalProperties": false, "x-guidance": {"whitespace_flexible": false}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let body = ask(&engine, PARIS, json!({"response_format": format, "max_tokens": 64})).await;
    let value: Value = serde_json::from_str(content(&body)).expect("JSON");
    assert!(value["ok"].is_boolean(), "{value}");
    let grammar = json!({"type": "regex", "value": "[0-9]{3}"});
    let body = ask(&engine, PARIS, json!({"grammar": grammar})).await;
    assert!(content(&body).len() == 3 && content(&body).chars().all(|c| c.is_ascii_digit()), "{body}");
    let broken = json!({"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}});
    let (answer, body) = run(&engine, question(PARIS, json!({"response_format": broken}))).await;
    assert_eq!((answer.status, &body["error"]["param"]), (400, &json!("response_format")));
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_choices_and_counts_them() {
    let engine = tiny(2).await;
    let one = ask(&engine, PARIS, json!({})).await;
    let two = ask(&engine, PARIS, json!({"n": 2})).await;
    assert_eq!(two["choices"].as_array().expect("choices").len(), 2);
    assert_eq!(two["choices"][1]["index"], 1);
    assert_eq!(two["choices"][1]["message"], one["choices"][0]["message"]);
    assert_eq!(two["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"]);
    let completion = |body: &Value| body["usage"]["completion_tokens"].as_u64().expect("a count");
    assert_eq!(completion(&two), 2 * completion(&one));
}

#[tokio::test(flavor = "multi_thread")]
async fn completes_text() {
    let engine = tiny(2).await;
    let prompt = |question: &str| format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
    let body = json!({"prompt": [prompt(PARIS), prompt("What is the capital of Germany?")], "temperature": 0,
        "logprobs": 1});
    let (_, body) =
        run(&engine, Call { endpoint: Endpoint::Completions, body: body.to_string().into(), key: Key::seeded(0) })
            .await;
    assert_eq!((&body["choices"][0]["text"], &body["choices"][1]["text"]), (&json!("Paris"), &json!("Berlin")));
    assert_eq!(body["object"], "text_completion");
    let columns = &body["choices"][0]["logprobs"];
    assert_eq!(columns["tokens"].as_array().map(Vec::len), columns["text_offset"].as_array().map(Vec::len));
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_log_probabilities() {
    let engine = tiny(2).await;
    for temperature in [0, 1] {
        let extra = json!({"logprobs": true, "top_logprobs": 3, "temperature": temperature});
        let body = ask(&engine, PARIS, extra).await;
        let tokens = body["choices"][0]["logprobs"]["content"].as_array().expect("tokens");
        let text: String = tokens.iter().filter_map(|token| token["token"].as_str()).collect();
        assert_eq!(text.trim_start(), content(&body));
        let logprob = |value: &Value| value["logprob"].as_f64().expect("a number");
        for token in tokens {
            let tops = token["top_logprobs"].as_array().expect("tops");
            let mass: f64 = tops.iter().map(|top| logprob(top).exp()).sum();
            assert!(tops.len() == 3 && logprob(&tops[0]) >= logprob(&tops[2]) && mass < 1.001, "{token}");
            assert!(logprob(token) <= 0.0 && (temperature == 1 || logprob(token) == logprob(&tops[0])), "{token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weighs_tokens_as_told() {
    let engine = tiny(2).await;
    // Token 2 ends the sequence.
    let body = ask(&engine, PARIS, json!({"logit_bias": {"2": 100}})).await;
    assert_eq!(content(&body), "");
    let sampling = json!({"temperature": 1.5, "top_k": 1, "min_p": 0.5, "seed": 3, "frequency_penalty": 0});
    assert_eq!(content(&ask(&engine, PARIS, sampling).await), "Paris");
    let sampling = json!({"temperature": 1.5, "min_p": 0.99, "presence_penalty": 0});
    assert_eq!(content(&ask(&engine, PARIS, sampling).await), "Paris");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_it_cannot_do() {
    let engine = tiny(2).await;
    let long = "word ".repeat(2000);
    let cases = [
        (question(PARIS, json!({"logit_bias": {"99999": 1}})), "logit_bias", "invalid_value"),
        (question(PARIS, json!({"stop_token_ids": [640]})), "stop_token_ids", "invalid_value"),
        (question(PARIS, json!({"reasoning_effort": "low"})), "reasoning_effort", "unsupported_parameter"),
        (question(PARIS, json!({"stream": true})), "stream", "unsupported_parameter"),
        (question(PARIS, json!({"temperature": []})), "temperature", "invalid_type"),
        (question(&long, json!({})), "messages", "context_length_exceeded"),
        (
            Call {
                endpoint: Endpoint::Completions,
                body: json!({"prompt": long}).to_string().into(),
                key: Key::seeded(0),
            },
            "prompt",
            "context_length_exceeded",
        ),
    ];
    for (call, param, code) in cases {
        let (answer, body) = run(&engine, call).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!((&body["error"]["param"], &body["error"]["code"]), (&json!(param), &json!(code)));
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
}

/// Beyond the model's length mistral.rs would fail everything that runs beside the sequence.
#[tokio::test(flavor = "multi_thread")]
async fn fills_the_context_and_no_more() {
    let engine = tiny(2).await;
    let endless = json!({"max_tokens": null, "logit_bias": {"2": -100}});
    let (body, beside) = tokio::join!(ask(&engine, PARIS, endless), ask(&engine, PARIS, json!({})));
    assert_eq!(body["usage"]["total_tokens"], 512);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(content(&beside), "Paris");
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_callers_that_leave() {
    let engine = tiny(1).await;
    let endless = json!({"max_tokens": 200, "logit_bias": {"2": -100}});
    for _ in 0..8 {
        let call = engine.run(question(PARIS, endless.clone()));
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    }
    assert_eq!(content(&ask(&engine, PARIS, json!({})).await), "Paris");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_is_wrong_with_a_spec() {
    let empty = tempfile::tempdir().expect("a folder");
    let empty = empty.path().to_string_lossy().into_owned();
    let message = |error: Option<LoadError>| error.map(|error| error.to_string()).unwrap_or_default();
    let cases = [
        (Spec::folder("no/such/folder"), "model folder no/such/folder does not exist"),
        (Spec::folder(empty), "has no config.json"),
        (
            Mistralrs { isq: Some("q99".to_owned()), ..Mistralrs::folder("x") }.into(),
            "engine.isq: ISQ type q99 unknown",
        ),
        (Mistralrs { slots: Some(0), ..Mistralrs::folder("x") }.into(), "engine.slots: at least 1"),
        (Mistralrs::new(Source::default()).into(), "engine.model: exactly one of folder"),
    ];
    for (spec, expected) in cases {
        let told = message(engine::load(&spec).await.err());
        assert!(told.contains(expected) && !told.contains('\n'), "{told}");
    }
}

/// The model is small, so that its copies are an eighth of no machine's memory.
#[cfg(all(target_os = "linux", not(feature = "cuda")))]
#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_gets_a_slot_for_each_core() {
    let spec = Spec::folder(models().join("tiny").to_string_lossy());
    let engine = engine::load(&spec).await.expect("the bundled model loads");
    assert_eq!(engine.about().slots, std::thread::available_parallelism().expect("cores").get());
    let answers = join_all((0..6).map(|_| ask(&engine, PARIS, json!({})))).await;
    assert!(answers.iter().all(|answer| content(answer) == content(&answers[0])), "{answers:?}");
}

#[cfg(not(feature = "cuda"))]
#[tokio::test]
async fn says_which_feature_is_missing() {
    let spec = Mistralrs { device: engine::Device::Cuda, ..Mistralrs::folder("x") }.into();
    let told = engine::load(&spec).await.err().map(|error| error.to_string());
    assert_eq!(told.as_deref(), Some("this build has no `cuda`: build with --features cuda"));
}
