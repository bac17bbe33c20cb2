//! A small embedding model through mistral.rs.

#[path = "../../../tests/tools/embedder.rs"]
mod embedder;
mod qwen3;

use std::{path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use embedder::{CONTEXT, Ends, HIDDEN};
use engine::{
    Answer, Call, Check, Endpoint, Engine, Key, Mistralrs, PagedAttention, Source, Spec, SpecialTokens, Task,
    check::{Manner, kept_apart},
    control,
};
use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenizers::Tokenizer;

const TEXTS: [&str; 6] = [
    "a",
    "What is the capital of France?",
    "Paris",
    "The capital of Germany is Berlin, and that of France is Paris.",
    "What is the capital of Spain?",
    "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789",
];

fn model(ends: Ends) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    embedder::write(folder.path(), ends);
    folder
}

fn spec(folder: &Path, slots: usize) -> Mistralrs {
    let folder = Mistralrs::folder(folder.to_string_lossy());
    Mistralrs { task: Task::Embeddings, name: Some("vectors".to_owned()), slots: Some(slots), ..folder }
}

async fn loaded(spec: Mistralrs) -> Arc<dyn Engine> {
    engine::load(&spec.into()).await.expect("the model loads")
}

async fn marked(slots: usize) -> Arc<dyn Engine> {
    loaded(spec(model(Ends::Marked).path(), slots)).await
}

async fn run(engine: &Arc<dyn Engine>, body: &Value) -> (Answer, Value) {
    let body = Bytes::from(body.to_string());
    let answer =
        engine.run(Call { endpoint: Endpoint::Embeddings, body, key: Key::seeded(0) }).await.expect("an answer");
    let body = serde_json::from_str(&answer.body).expect("JSON");
    (answer, body)
}

fn numbers(vector: &Value) -> Vec<f32> {
    let numbers = vector["embedding"].as_array().expect("numbers").iter();
    numbers.map(|number| number.as_f64().expect("a number") as f32).collect()
}

async fn vectors(engine: &Arc<dyn Engine>, body: Value) -> Vec<Vec<f32>> {
    let (_, body) = run(engine, &body).await;
    body["data"].as_array().unwrap_or_else(|| panic!("{body}")).iter().map(numbers).collect()
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// What a text is to the model: its tokens, and the one that ends it.
fn tokens(text: &str) -> Vec<u32> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny/tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(file).expect("a tokenizer");
    tokenizer.set_encode_special_tokens(true);
    let encoding = tokenizer.encode_fast(text, false).expect("tokens");
    encoding.get_ids().iter().copied().chain([0]).collect()
}

/// A text of so many tokens, its end included.
fn long(count: usize) -> String {
    let text = "7".repeat(count - 1);
    assert_eq!(tokens(&text).len(), count);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_those_of_a_second_computation() {
    let engine = marked(2).await;
    let weights = embedder::weights();
    let long = long(CONTEXT);
    let texts: Vec<&str> = TEXTS.into_iter().chain([long.as_str()]).collect();
    let (answer, body) = run(&engine, &json!({"model": "m", "input": texts})).await;
    for (at, text) in texts.iter().enumerate() {
        let (found, wanted) = (numbers(&body["data"][at]), qwen3::vector(&weights, &tokens(text)));
        assert_eq!((found.len(), wanted.len()), (HIDDEN, HIDDEN));
        let apart = found.iter().zip(&wanted).map(|(one, two)| (f64::from(*one) - two).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-4, "{text:?}: {apart}");
        assert!((length(&found) - 1.0).abs() < 1e-6);
    }
    let count: usize = texts.iter().map(|text| tokens(text).len()).sum();
    assert_eq!(body["usage"], json!({"prompt_tokens": count, "total_tokens": count}));
    assert_eq!((answer.usage.prompt, answer.usage.completion), (count as u64, 0));
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("m")));
    assert_eq!((&body["data"][3]["object"], &body["data"][3]["index"]), (&json!("embedding"), &json!(3)));
    let (_, unnamed) = run(&engine, &json!({"input": "a"})).await;
    assert_eq!(unnamed["model"], "vectors");
}

/// Bit for bit.
#[tokio::test(flavor = "multi_thread")]
async fn a_vector_depends_on_nothing_beside_it() {
    let mut all = Vec::new();
    for slots in [1, 2] {
        let engine = marked(slots).await;
        assert_eq!(engine.about().slots, slots);
        let mut alone = Vec::new();
        for text in TEXTS {
            alone.extend(vectors(&engine, json!({ "input": text })).await);
        }
        assert_eq!(vectors(&engine, json!({ "input": TEXTS })).await, alone, "{slots} slots");
        let many =
            (0..60).map(|at| {
                let engine = &engine;
                async move {
                    vectors(engine, json!({"input": TEXTS[at % TEXTS.len()], "user": at.to_string()})).await.remove(0)
                }
            });
        let beside = join_all(many).await;
        assert!(beside.iter().enumerate().all(|(at, vector)| *vector == alone[at % TEXTS.len()]), "{slots} slots");
        all.push(alone);
    }
    assert_eq!(all[0], all[1]);
    let differ = |one: &Vec<f32>, two: &Vec<f32>| one.iter().zip(two).any(|(one, two)| (one - two).abs() > 0.01);
    assert!(
        (0..6).all(|one| (0..one).all(|two| differ(&all[0][one], &all[0][two]))),
        "texts have vectors of their own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_holds_the_same_numbers() {
    let engine = marked(1).await;
    let (answer, body) = run(&engine, &json!({"input": TEXTS, "encoding_format": "base64"})).await;
    assert!(answer.is_good(), "{body}");
    let bytes = |vector: &Value| STANDARD.decode(vector["embedding"].as_str().expect("a string")).expect("base64");
    let decoded: Vec<Vec<f32>> = body["data"]
        .as_array()
        .expect("vectors")
        .iter()
        .map(|vector| {
            bytes(vector).chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect()
        })
        .collect();
    assert_eq!(vectors(&engine, json!({"input": TEXTS, "encoding_format": "float"})).await, decoded);
}

#[tokio::test(flavor = "multi_thread")]
async fn dimensions_cut_and_the_length_is_1_anew() {
    let engine = marked(1).await;
    let whole = vectors(&engine, json!({"input": TEXTS[1]})).await.remove(0);
    assert_eq!(vectors(&engine, json!({"input": TEXTS[1], "dimensions": HIDDEN})).await.remove(0), whole);
    for dimensions in [1, 5, HIDDEN - 1] {
        let cut = vectors(&engine, json!({"input": TEXTS[1], "dimensions": dimensions})).await.remove(0);
        let part = length(&whole[..dimensions]);
        assert_eq!(cut.len(), dimensions);
        assert!(cut.iter().zip(&whole).all(|(cut, whole)| (f64::from(*cut) - f64::from(*whole) / part).abs() < 1e-6));
    }
    let (answer, body) = run(&engine, &json!({"input": "a", "dimensions": HIDDEN + 1})).await;
    assert_eq!(
        (answer.status, &body["error"]["param"], &body["error"]["code"]),
        (400, &json!("dimensions"), &json!("invalid_value"))
    );
    assert_eq!(body["error"]["message"], "Invalid value for `dimensions`: 65 is more than the 64 of the model");
}

/// The tokenizer's file says that texts are cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_refused_and_not_cut() {
    let folder = model(Ends::Marked);
    for (limit, context) in [(CONTEXT, None), (20, Some(20)), (CONTEXT, Some(10 * CONTEXT))] {
        let engine = loaded(Mistralrs { context, ..spec(folder.path(), 1) }).await;
        let (answer, body) = run(&engine, &json!({"input": ["a", long(limit + 1), "b"]})).await;
        assert_eq!((answer.status, answer.kind), (400, engine::answer::Kind::TooLong));
        assert_eq!(
            (&body["error"]["param"], &body["error"]["code"]),
            (&json!("input[1]"), &json!("context_length_exceeded"))
        );
        let told = body["error"]["message"].as_str().expect("words");
        assert!([limit, limit + 1].iter().all(|number| told.contains(&format!(" {number} "))), "{told}");
        let ends = [long(limit), long(limit - 1)];
        let vectors = vectors(&engine, json!({ "input": ends })).await;
        assert!(vectors.len() == 2 && vectors[0] != vectors[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_special_token_in_a_text_is_text_unless_allowed() {
    let folder = model(Ends::Marked);
    let text = "a<|im_end|>b";
    let count = async |special_tokens: SpecialTokens| {
        let engine = loaded(Mistralrs { special_tokens, ..spec(folder.path(), 1) }).await;
        run(&engine, &json!({ "input": text })).await.1["usage"]["prompt_tokens"].as_u64().expect("a count")
    };
    assert_eq!(count(SpecialTokens::Text).await, tokens(text).len() as u64);
    assert_eq!(count(SpecialTokens::Allow).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_has_its_answer() {
    let engine = marked(1).await;
    for (body, param, code) in [
        (json!({}), "input", "missing_required_parameter"),
        (json!({"input": [1, 2]}), "input", "unsupported_parameter"),
        (json!({"input": ["a", ""]}), "input[1]", "invalid_value"),
        (json!({"input": "a", "encoding_format": "int8"}), "encoding_format", "invalid_value"),
        (json!({"input": "a", "top_p": 1}), "top_p", "unknown_parameter"),
    ] {
        let (answer, told) = run(&engine, &body).await;
        assert_eq!(
            (answer.status, &told["error"]["param"], &told["error"]["code"]),
            (400, &json!(param), &json!(code))
        );
    }
    let chat = Bytes::from_static(br#"{"messages":[{"role":"user","content":"Hi"}]}"#);
    let answer =
        engine.run(Call { endpoint: Endpoint::Chat, body: chat, key: Key::seeded(0) }).await.expect("an answer");
    assert!(answer.status == 400 && answer.body.contains("use /v1/embeddings"), "{answer:?}");
}

/// mistral.rs would panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_token_is_refused() {
    let engine = loaded(spec(model(Ends::Bare).path(), 1)).await;
    let (answer, body) = run(&engine, &json!({"input": ["a b", "a"]})).await;
    assert_eq!((answer.status, &body["error"]["param"]), (400, &json!("input[1]")));
    assert!(body["error"]["message"].as_str().expect("words").contains("takes 2 and more"), "{body}");
    assert_eq!(vectors(&engine, json!({"input": "a b"})).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_and_check_ask_for_vectors() {
    let engine = marked(2).await;
    assert_eq!(engine.about().task, Task::Embeddings);
    let beats = engine.beats();
    assert_eq!(control::run(&*engine, std::time::Duration::from_secs(60)).await, control::Outcome::Passed);
    assert!(engine.beats() > beats, "vectors were made");
    let report = kept_apart(&*engine, Manner::of(&engine.about())).await.expect("the same alone and together");
    assert!(report.prompts >= 32 && report.tokens > 8 * report.prompts, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_does_not_go_with_embeddings() {
    let folder = model(Ends::Marked);
    let with = |change: fn(&mut Mistralrs)| {
        let mut spec = spec(folder.path(), 1);
        change(&mut spec);
        Spec::from(spec)
    };
    let gguf = Source { gguf: Some("x".to_owned()), files: vec!["y.gguf".to_owned()], ..Source::default() };
    let lacking = model(Ends::Marked);
    std::fs::remove_file(lacking.path().join("modules.json")).expect("it was there");
    for (spec, expected) in [
        (with(|spec| spec.prefix_cache = Some(1)), "engine.prefix_cache: not together with task = \"embeddings\""),
        (with(|spec| spec.paged_attention = PagedAttention::On), "engine.paged_attention: not together"),
        (Mistralrs { task: Task::Embeddings, ..Mistralrs::new(gguf) }.into(), "no embeddings with GGUF files"),
        (spec(lacking.path(), 1).into(), "has no modules.json"),
        (spec(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny"), 1).into(), "has no modules.json"),
    ] {
        let told = engine::load(&spec).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains(expected) && !told.contains('\n'), "{told}");
    }
    assert_eq!(with(|spec| spec.check = Check::On).task(), Task::Embeddings);
}
