//! A small Qwen3 model that makes embeddings, with random weights that are always the same: the tests of the engine and
//! those from end to end both take it in.
#![allow(clippy::unwrap_used, dead_code)]
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub const HIDDEN: usize = 64;
pub const LAYERS: usize = 2;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;
pub const HEAD: usize = 16;
const MLP: usize = 96;
const VOCABULARY: usize = 640;
pub const CONTEXT: usize = 128;
pub const ROPE: f64 = 10_000.0;
pub const EPSILON: f64 = 1e-6;

/// Tensors by name: their shape and values.
pub type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Whether its tokenizer ends each text with a token, as that of Qwen3-Embedding does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    Marked,
    Bare,
}

/// Writes the model as Hugging Face does.
pub fn write(folder: &Path, ends: Ends) {
    let pooling = folder.join("1_Pooling");
    fs::create_dir_all(&pooling).unwrap();
    fs::write(folder.join("config.json"), config().to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer(ends).to_string()).unwrap();
    fs::write(folder.join("modules.json"), modules().to_string()).unwrap();
    fs::write(pooling.join("config.json"), last_token().to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), safetensors(&weights())).unwrap();
}

fn config() -> Value {
    json!({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "float32", "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "hidden_act": "silu", "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPSILON, "rope_theta": ROPE, "sliding_window": null, "use_sliding_window": false,
        "max_window_layers": LAYERS, "tie_word_embeddings": true})
}

fn modules() -> Value {
    let module = |at: usize, path: &str, name: &str| json!({"idx": at, "name": at.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}")});
    json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")])
}

fn last_token() -> Value {
    json!({"word_embedding_dimension": HIDDEN, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": false,
        "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
        "pooling_mode_weightedmean_tokens": false, "pooling_mode_lasttoken": true, "include_prompt": true})
}

/// That of the bundled model, which would cut long texts, if one let it.
fn tokenizer(ends: Ends) -> Value {
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("models/tiny"))
        .find(|folder| folder.is_dir());
    let text = fs::read_to_string(bundled.unwrap().join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&text).unwrap();
    tokenizer["truncation"] = json!({"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0});
    tokenizer["padding"] = json!({"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    if ends == Ends::Marked {
        let end = json!({"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}});
        let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        tokenizer["post_processor"] = json!({"type": "TemplateProcessing", "single": [text("A"), end],
            "pair": [text("A"), end, text("B"), end],
            "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}});
    }
    tokenizer
}

pub fn weights() -> Weights {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut weights = Weights::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        // A norm is about 1; a matrix keeps the size of what goes through it.
        let (middle, width) = if shape.len() == 1 { (1.0, 0.3) } else { (0.0, (6.0 / shape[1] as f32).sqrt()) };
        let values = (0..count).map(|_| middle + width * chance.next()).collect();
        weights.insert(name, (shape.to_vec(), values));
    };
    add("embed_tokens.weight".to_owned(), &[VOCABULARY, HIDDEN]);
    add("norm.weight".to_owned(), &[HIDDEN]);
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| add(format!("layers.{layer}.{name}.weight"), shape);
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        add("self_attn.q_norm", &[HEAD]);
        add("self_attn.k_norm", &[HEAD]);
        add("self_attn.q_proj", &[HEADS * HEAD, HIDDEN]);
        add("self_attn.k_proj", &[KV_HEADS * HEAD, HIDDEN]);
        add("self_attn.v_proj", &[KV_HEADS * HEAD, HIDDEN]);
        add("self_attn.o_proj", &[HIDDEN, HEADS * HEAD]);
        add("mlp.gate_proj", &[MLP, HIDDEN]);
        add("mlp.up_proj", &[MLP, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, MLP]);
    }
    weights
}

/// Xorshift.
struct Chance(u64);

impl Chance {
    /// Between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// The length of a JSON header, the header, and the values one after the other.
fn safetensors(weights: &Weights) -> Vec<u8> {
    let (mut header, mut values) = (serde_json::Map::new(), Vec::new());
    for (name, (shape, tensor)) in weights {
        let start = values.len();
        values.extend(tensor.iter().flat_map(|value| value.to_le_bytes()));
        let about = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, values.len()]});
        header.insert(name.clone(), about);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &values].concat()
}
