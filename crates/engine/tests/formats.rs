//! The bundled model in the other forms that a pool can name: quantised while loading, as GGUF and as UQFF files, which
//! are made here. Each answers what the model answers.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
    safetensors,
};
use engine::{Call, Endpoint, Key, Mistralrs, Source, Spec};
use mistralrs::{IsqType, TextModelBuilder};

/// Questions that are asked of each form.
const ASKED: usize = 24;
const LAYERS: u32 = 2;
/// Kinds of tokens in GGUF files.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// How many of the questions are answered right.
async fn right(spec: Spec) -> usize {
    let engine = engine::load(&spec).await.unwrap();
    let expected: BTreeMap<String, String> = serde_json::from_value(json(&models().join("expected.json"))).unwrap();
    let sample = std::fs::read_to_string(models().join("sample.jsonl")).unwrap();
    let step = expected.len() / ASKED;
    let mut right = 0;
    for line in sample.lines().step_by(step).take(ASKED) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let call = Call { endpoint: Endpoint::Chat, body: Bytes::from(line["body"].to_string()), key: Key::seeded(0) };
        let answer = engine.run(call).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let wanted = &expected[line["custom_id"].as_str().unwrap()];
        right += usize::from(body["choices"][0]["message"]["content"] == **wanted);
    }
    right
}

fn spec(model: Source) -> Spec {
    Mistralrs { name: Some("tiny".to_owned()), ..Mistralrs::new(model) }.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_quantised_while_it_loads() {
    let spec = Mistralrs { isq: Some("q8_0".to_owned()), ..Mistralrs::folder(text(&models().join("tiny"))) }.into();
    assert_eq!(right(spec).await, ASKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_file_answers_by_itself_and_with_a_tokenizer_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    gguf(&folder.path().join("tiny.gguf"));
    let files = vec!["tiny.gguf".to_owned()];
    let alone = Source { gguf: Some(text(folder.path())), files, ..Source::default() };
    let tokenizer = Some(text(&models().join("tiny/tokenizer.json")));
    assert_eq!(right(spec(Source { tokenizer, ..alone.clone() })).await, ASKED);
    assert_eq!(right(spec(alone)).await, ASKED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uqff_file_answers_like_the_folder_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = TextModelBuilder::new(text(&models().join("tiny"))).with_force_cpu();
    let made = tiny.with_isq(IsqType::Q8_0).write_uqff(folder.path().join("tiny.uqff")).build().await.unwrap();
    drop(made);
    for file in ["tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"] {
        std::fs::copy(models().join("tiny").join(file), folder.path().join(file)).unwrap();
    }
    let mut files: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".uqff"))
        .collect();
    files.sort();
    let source = Source { uqff: Some(text(folder.path())), files, ..Source::default() };
    assert_eq!(right(spec(source)).await, ASKED);
}

/// The bundled model as llama.cpp would name its parts, unquantised.
fn gguf(path: &Path) {
    let tensors = safetensors::load(models().join("tiny/model.safetensors"), &Device::Cpu).unwrap();
    let plain = |tensor: &Tensor| QTensor::quantize(tensor, GgmlDType::F32).unwrap();
    let tensors: HashMap<String, QTensor> = tensors.iter().map(|(name, tensor)| (part(name), plain(tensor))).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let metadata = metadata();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

fn part(name: &str) -> String {
    let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers", "blk"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    names.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours))
}

fn metadata() -> Vec<(&'static str, Value)> {
    let config = json(&models().join("tiny/config.json"));
    let number = |name: &str| Value::U32(config[name].as_u64().unwrap() as u32);
    let real = |name: &str| Value::F32(config[name].as_f64().unwrap() as f32);
    let template = json(&models().join("tiny/tokenizer_config.json"))["chat_template"].as_str().unwrap().to_owned();
    let (tokens, merges) = vocabulary();
    let kinds = tokens.iter().map(|token| Value::I32(if token.starts_with("<|") { CONTROL } else { NORMAL })).collect();
    assert_eq!(config["num_hidden_layers"], LAYERS);
    vec![
        ("general.architecture", Value::String("qwen2".to_owned())),
        ("qwen2.attention.head_count", number("num_attention_heads")),
        ("qwen2.attention.head_count_kv", number("num_key_value_heads")),
        ("qwen2.block_count", Value::U32(LAYERS)),
        ("qwen2.embedding_length", number("hidden_size")),
        ("qwen2.context_length", number("max_position_embeddings")),
        ("qwen2.rope.freq_base", real("rope_theta")),
        ("qwen2.attention.layer_norm_rms_epsilon", real("rms_norm_eps")),
        ("tokenizer.ggml.model", Value::String("gpt2".to_owned())),
        ("tokenizer.ggml.tokens", strings(&tokens)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", strings(&merges)),
        ("tokenizer.ggml.eos_token_id", number("eos_token_id")),
        ("tokenizer.chat_template", Value::String(template)),
    ]
}

/// Tokens in the order of their ids, and merges as `left right`.
fn vocabulary() -> (Vec<String>, Vec<String>) {
    let tokenizer = json(&models().join("tiny/tokenizer.json"));
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    for (token, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
        ids.insert(id.as_u64().unwrap(), token.clone());
    }
    for added in tokenizer["added_tokens"].as_array().unwrap() {
        ids.insert(added["id"].as_u64().unwrap(), added["content"].as_str().unwrap().to_owned());
    }
    let merge = |pair: &serde_json::Value| match pair.as_array() {
        Some(pair) => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        None => pair.as_str().unwrap().to_owned(),
    };
    (ids.into_values().collect(), tokenizer["model"]["merges"].as_array().unwrap().iter().map(merge).collect())
}

fn strings(texts: &[String]) -> Value {
    Value::Array(texts.iter().cloned().map(Value::String).collect())
}
