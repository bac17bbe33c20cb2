//! What mistral.rs takes.
use serde::{Deserialize, Serialize};

use super::{Check, Task};

/// An engine of kind `mistralrs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mistralrs {
    pub model: Source,
    /// The model's name in answers that name none. Default: the folder or hub id as written.
    pub name: Option<String>,
    /// Default: `chat`.
    pub task: Task,
    /// Sequences that run together. On a CPU each of them has its own copy of the model in memory, for mistral.rs 0.8.1
    /// mixes up sequences that share one there; with embeddings on any device, for their last bits depend on the batch.
    /// Default: with CUDA 128, and 1 with embeddings; on a CPU one for each core, while all copies together stay under an
    /// eighth of the memory.
    pub slots: Option<usize>,
    /// Tokens of prompt and answer together, or of a text. Default, and most: what the model was made for.
    pub context: Option<usize>,
    /// Sequences whose cache is kept for a later prompt with the same beginning; 0 keeps none. Default: 0 on a CPU,
    /// 16 with CUDA.
    pub prefix_cache: Option<usize>,
    /// Quantise while loading: `2` to `8` (bits), `q4_0`, `q8_0`, `q4k`, `q6k`, `hqq4`, `hqq8`, `fp8` and the like.
    /// Default: the weights as they are.
    pub isq: Option<String>,
    /// Default: `auto`.
    pub dtype: Dtype,
    /// Default: `auto`.
    pub device: Device,
    /// Default: `auto`.
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
    pub special_tokens: SpecialTokens,
    /// Default: `off`.
    pub check: Check,
}

impl Mistralrs {
    /// A model with every default.
    pub fn new(model: Source) -> Self {
        Self {
            model,
            name: None,
            task: Task::default(),
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
        }
    }

    /// Whether it runs with paged attention, as far as that is written down.
    pub fn is_paged(&self) -> bool {
        match self.paged_attention {
            _ if self.task == Task::Embeddings => false,
            PagedAttention::On => true,
            PagedAttention::Off => false,
            PagedAttention::Auto => self.device == Device::Cuda,
        }
    }

    /// A folder's model with every default.
    pub fn folder(folder: impl Into<String>) -> Self {
        Self::new(Source { folder: Some(folder.into()), ..Source::default() })
    }
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
