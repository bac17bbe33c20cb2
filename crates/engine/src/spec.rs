//! How to run a pool's model.
//!
//! A folder of a model as Hugging Face writes it (`config.json`, `tokenizer.json`, `tokenizer_config.json`,
//! `*.safetensors`), with no network:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { folder = "models/tiny" }
//! ```
//!
//! A model of the Hugging Face hub, downloaded on first use, quantised while loading:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { hub = "Qwen/Qwen2.5-0.5B-Instruct", revision = "main" }
//! name = "qwen-0.5b"
//! isq = "q4k"
//! slots = 128
//! context = 8192
//! paged_attention = "on"
//! paged_memory_mib = 20000
//! paged_block_tokens = 32
//! check = "on"
//! ```
//!
//! GGUF files, in a folder or on the hub:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { gguf = "models/qwen-gguf", files = ["qwen-q4_k_m.gguf"], tokenizer = "models/qwen/tokenizer.json" }
//! device = "cpu"
//! ```
//!
//! UQFF files, which are weights quantised ahead of time, in a folder or on the hub:
//!
//! ```toml
//! kind = "mistralrs"
//! model = { uqff = "models/qwen-uqff", files = ["q4k-0.uqff"] }
//! ```
//!
//! The echo engine, for load and fault tests:
//!
//! ```toml
//! kind = "echo"
//! echo = { delay_ms = 5, fail_containing = "boom" }
//! ```

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub kind: Kind,
    /// Where the model is. Required for `mistralrs`.
    pub model: Option<Source>,
    /// The model's name in answers that name none. Default: the folder or hub id as written, or `echo`.
    pub name: Option<String>,
    /// Sequences that run together. On a CPU each of them has its own copy of the model in memory, for mistral.rs
    /// 0.8.1 mixes up sequences that share one there. Default: 1 on a CPU, 128 with CUDA, 256 for `echo`.
    pub slots: Option<usize>,
    /// Tokens of prompt and answer together. Default, and most: what the model was made for.
    pub context: Option<usize>,
    /// Sequences whose cache is kept for a later prompt with the same beginning; 0 keeps none. Default: 0 on a CPU,
    /// 16 with CUDA.
    pub prefix_cache: Option<usize>,
    /// Quantise while loading: `2` to `8` (bits), `q4_0`, `q8_0`, `q4k`, `q6k`, `hqq4`, `hqq8`, `fp8` and the like.
    /// Default: the weights as they are.
    pub isq: Option<String>,
    /// Default: `auto`.
    #[serde(default)]
    pub dtype: Dtype,
    /// Default: `auto`.
    #[serde(default)]
    pub device: Device,
    /// Default: `auto`.
    #[serde(default)]
    pub paged_attention: PagedAttention,
    /// Memory of the paged cache, as a share of the device's memory, weights and cache together: 0 to 1.
    /// Default: 0.85. Not together with `paged_memory_mib`.
    pub paged_memory_share: Option<f32>,
    /// Memory of the paged cache, MiB.
    pub paged_memory_mib: Option<usize>,
    /// Tokens in a block of the paged cache: 8, 16 or 32. Default: 32.
    pub paged_block_tokens: Option<usize>,
    /// The longest that one call may take, s, waiting for a slot included. Default: no limit.
    pub call_seconds_max: Option<u64>,
    /// Default: `text`.
    #[serde(default)]
    pub special_tokens: SpecialTokens,
    /// Default: `off`.
    #[serde(default)]
    pub check: Check,
    /// What the echo engine does.
    #[serde(default)]
    pub echo: Echo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Mistralrs,
    Echo,
}

/// Where a model is: exactly one of `folder`, `hub`, `gguf` and `uqff`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A folder with safetensors.
    pub folder: Option<String>,
    /// A hub id.
    pub hub: Option<String>,
    /// A folder or a hub id with GGUF files.
    pub gguf: Option<String>,
    /// A folder or a hub id with UQFF files.
    pub uqff: Option<String>,
    /// Names of the files, for `gguf` and `uqff`; of UQFF shards only the first.
    #[serde(default)]
    pub files: Vec<String>,
    /// Branch, tag or commit of a hub id. Default: `main`.
    pub revision: Option<String>,
    /// A `tokenizer.json`; for `gguf` also the folder or hub id that holds one. Default: the model's own.
    pub tokenizer: Option<String>,
    /// A `.jinja` file. Default: the model's own.
    pub chat_template: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// f32 on a CPU; otherwise bf16, else f16, else f32, as the device can.
    #[default]
    Auto,
    F32,
    F16,
    Bf16,
}

/// One device for one engine. Choose among several GPUs with `CUDA_VISIBLE_DEVICES`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// The first CUDA device if this build and this machine have one, else the CPU.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "cpu")]
    Cpu,
    #[serde(rename = "cuda:0", alias = "cuda")]
    Cuda,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagedAttention {
    /// On with CUDA, off on a CPU.
    #[default]
    Auto,
    On,
    Off,
}

/// What a special token is that stands in a message's text, such as `<|im_end|>`. In a prompt of /v1/completions, which
/// is all that the model sees, it is the token in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecialTokens {
    /// The characters that it is written with: whoever writes a text cannot forge a turn with it.
    #[default]
    Text,
    /// The token.
    Allow,
}

/// Whether a worker, before it takes work, has its engine [checked](crate::check) for sequences that it mixes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    #[default]
    Off,
    On,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Echo {
    /// Wait this long before an answer, ms. Default: 0.
    pub delay_ms: u64,
    /// Fail with [`Fault::Internal`](crate::Fault::Internal) where the JSON text of the words contains this.
    pub fail_containing: Option<String>,
    /// End the process, as a crash would, where it contains this.
    pub die_containing: Option<String>,
    /// Panic where it contains this.
    pub panic_containing: Option<String>,
    /// Never answer where it contains this.
    pub hang_containing: Option<String>,
    /// Answer with an error, status 400, where it contains this.
    pub refuse_containing: Option<String>,
    /// Mix up what runs together: with a delay, every answer is to the question that came last. Default: false.
    pub mix: bool,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mistralrs => "mistralrs",
            Self::Echo => "echo",
        }
    }
}

impl Spec {
    /// An echo engine with every default.
    pub fn echo() -> Self {
        Self::of(Kind::Echo, None)
    }

    /// A folder's model with every default.
    pub fn folder(folder: impl Into<String>) -> Self {
        let source = Source { folder: Some(folder.into()), ..Source::default() };
        Self::of(Kind::Mistralrs, Some(source))
    }

    fn of(kind: Kind, model: Option<Source>) -> Self {
        Self {
            kind,
            model,
            name: None,
            slots: None,
            context: None,
            prefix_cache: None,
            isq: None,
            dtype: Dtype::default(),
            device: Device::default(),
            paged_attention: PagedAttention::default(),
            paged_memory_share: None,
            paged_memory_mib: None,
            paged_block_tokens: None,
            call_seconds_max: None,
            special_tokens: SpecialTokens::default(),
            check: Check::default(),
            echo: Echo::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Config, File, FileFormat};

    use super::*;

    fn parse(toml: &str) -> Result<Spec, config::ConfigError> {
        Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build()?.try_deserialize()
    }

    fn examples() -> Vec<String> {
        let docs = include_str!("spec.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let docs: Vec<&str> = docs.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let docs = docs.join("\n");
        docs.split("```toml").skip(1).filter_map(|text| text.split("```").next()).map(str::to_owned).collect()
    }

    #[test]
    fn every_example_parses() {
        let specs: Vec<Spec> = examples().iter().map(|toml| parse(toml).expect(toml)).collect();
        assert_eq!(specs.len(), 5);
        assert_eq!(specs[0], Spec::folder("models/tiny"));
        assert_eq!((specs[1].paged_attention, specs[1].check), (PagedAttention::On, Check::On));
        assert_eq!(specs[2].model.as_ref().expect("a model").files, ["qwen-q4_k_m.gguf"]);
        assert_eq!(specs[4].echo.delay_ms, 5);
    }

    #[test]
    fn unknown_keys_are_errors() {
        for toml in [
            "kind = \"echo\"\nslot = 1",
            "kind = \"echo\"\necho = { delay = 1 }",
            "kind = \"mistralrs\"\nmodel = { path = \"x\" }",
            "kind = \"vllm\"",
            "kind = \"mistralrs\"\ndevice = \"tpu\"",
            "kind = \"echo\"\ncheck = true",
            "slots = 1",
        ] {
            assert!(parse(toml).is_err(), "{toml}");
        }
    }
}
