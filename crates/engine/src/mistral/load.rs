//! From a spec to a loaded model. What can be known wrong beforehand is told in one line.

use std::{path::Path, sync::Arc, time::Duration};

use mistralrs::{
    GgufModelBuilder, IsqType, MemoryGpuConfig, Model, ModelDType, PagedAttentionConfig, PagedAttentionMetaBuilder,
    TextModelBuilder, UqffTextModelBuilder,
    model_builder_trait::{build_gguf_pipeline, build_model_from_pipeline, build_text_pipeline},
    parse_isq_value,
};

use super::{Bare, Mistral, kit::Kit, lanes::Lanes, tokenizer};
use crate::{About, Device, Dtype, LoadError, Mistralrs, PagedAttention, Source, SpecialTokens, limits};

const PREFIX_CACHE_CUDA: usize = 16;
const PAGED_SHARE: f32 = 0.85;

pub async fn load(spec: &Mistralrs) -> Result<Mistral, LoadError> {
    let cpu = Settings::new(spec)?.device.is_cpu();
    load_with(spec, if cpu { Lanes::single } else { shared }).await
}

/// One copy for all slots on a CPU, too, where mistral.rs mixes the sequences up that share one: to prove that it does.
pub async fn load_mixing(spec: &Mistralrs) -> Result<Mistral, LoadError> {
    load_with(spec, shared).await
}

fn shared(mut models: Vec<Model>) -> Lanes {
    Lanes::shared(models.swap_remove(0))
}

async fn load_with(spec: &Mistralrs, lanes: fn(Vec<Model>) -> Lanes) -> Result<Mistral, LoadError> {
    let Plan { name, builder, device, slots, cpu } = Plan::new(spec)?;
    let (models, mut kit) = build(&name, builder, if cpu { slots } else { 1 }).await?;
    kit.context = spec.context.map_or(kit.context, |context| context.min(kit.context));
    kit.allow = spec.special_tokens == SpecialTokens::Allow;
    let about = About { model: spec.name.clone().unwrap_or(name), engine: "mistralrs", slots, device };
    tracing::info!(model = about.model, device = about.device, slots, context = kit.context, "model loaded");
    let patience = spec.call_seconds_max.map(Duration::from_secs);
    Ok(Mistral { lanes: lanes(models), about, kit: Arc::new(kit), patience, beats: Arc::default() })
}

/// The same model with the same settings, and nothing around it.
pub async fn bare(spec: &Mistralrs) -> Result<Bare, LoadError> {
    let Plan { name, builder, slots, cpu, .. } = Plan::new(spec)?;
    let (copies, in_flight) = if cpu { (slots, slots) } else { (1, slots + limits::SPARE) };
    Ok(Bare { copies: build(&name, builder, copies).await?.0, in_flight })
}

struct Plan {
    name: String,
    builder: Builder,
    device: String,
    slots: usize,
    cpu: bool,
}

impl Plan {
    fn new(spec: &Mistralrs) -> Result<Self, LoadError> {
        let source = &spec.model;
        let name = source_name(source)?.to_owned();
        let settings = Settings::new(spec)?;
        let (device, slots, cpu) = (device_name(&settings.device), settings.slots, settings.device.is_cpu());
        Ok(Self { name, builder: Builder::new(source, settings)?, device, slots, cpu })
    }
}

/// Copies of a model, and what comes with the first. Loading blocks its thread for as long as it takes, and panics on
/// some broken models.
async fn build(name: &str, builder: Builder, copies: usize) -> Result<(Vec<Model>, Kit), LoadError> {
    let failed = |message: String| LoadError::Engine { model: name.to_owned(), message: message.replace('\n', " ") };
    let (mut models, mut kit) = (Vec::with_capacity(copies), None);
    for builder in std::iter::repeat_n(builder, copies) {
        let runtime = tokio::runtime::Handle::current();
        match tokio::task::spawn_blocking(move || runtime.block_on(builder.build())).await {
            Ok(Ok((model, its))) => {
                models.push(model);
                kit.get_or_insert(its);
            }
            Ok(Err(message)) => return Err(failed(message)),
            Err(panicked) => return Err(failed(panicked.to_string())),
        }
    }
    let kit = kit.ok_or_else(|| wrong("slots", "at least 1"))?;
    Ok((models, kit))
}

fn wrong(field: &'static str, why: impl Into<String>) -> LoadError {
    LoadError::Spec { field, why: why.into() }
}

/// A spec with every default filled in.
struct Settings {
    device: mistralrs::Device,
    dtype: Option<ModelDType>,
    isq: Option<IsqType>,
    slots: usize,
    prefix_cache: Option<usize>,
    paged: Option<PagedAttentionConfig>,
}

impl Settings {
    fn new(spec: &Mistralrs) -> Result<Self, LoadError> {
        let device = device(spec.device)?;
        let cpu = device.is_cpu();
        let slots = spec.slots.unwrap_or(if cpu { limits::SLOTS_CPU } else { limits::SLOTS_CUDA });
        if slots == 0 {
            return Err(wrong("slots", "at least 1"));
        }
        let kept = spec.prefix_cache.unwrap_or(if cpu { 0 } else { PREFIX_CACHE_CUDA });
        Ok(Self {
            dtype: dtype(spec.dtype, cpu),
            isq: isq(spec.isq.as_deref(), &device)?,
            slots,
            prefix_cache: (kept > 0).then_some(kept),
            paged: paged(spec, cpu)?,
            device,
        })
    }
}

fn device(device: Device) -> Result<mistralrs::Device, LoadError> {
    match device {
        Device::Cuda if !cfg!(feature = "cuda") => Err(LoadError::NotBuilt { feature: "cuda" }),
        Device::Cuda => cuda().map_err(|message| LoadError::NoCuda { message }),
        Device::Auto if cfg!(feature = "cuda") => Ok(cuda().unwrap_or_else(|message| {
            tracing::warn!(message, "no CUDA device: on the CPU instead");
            mistralrs::Device::Cpu
        })),
        Device::Cpu | Device::Auto => Ok(mistralrs::Device::Cpu),
    }
}

fn cuda() -> Result<mistralrs::Device, String> {
    mistralrs::Device::new_cuda(0).map_err(|error| error.to_string().replace('\n', " "))
}

fn device_name(device: &mistralrs::Device) -> String {
    if device.is_cpu() { "cpu" } else { "cuda:0" }.to_owned()
}

/// On a CPU mistral.rs's own choice is a half precision, which is the slower one there.
fn dtype(dtype: Dtype, cpu: bool) -> Option<ModelDType> {
    match dtype {
        Dtype::Auto => cpu.then_some(ModelDType::F32),
        Dtype::F32 => Some(ModelDType::F32),
        Dtype::F16 => Some(ModelDType::F16),
        Dtype::Bf16 => Some(ModelDType::BF16),
    }
}

fn isq(isq: Option<&str>, device: &mistralrs::Device) -> Result<Option<IsqType>, LoadError> {
    isq.map(|name| parse_isq_value(name, Some(device)).map_err(|why| wrong("isq", why))).transpose()
}

fn paged(spec: &Mistralrs, cpu: bool) -> Result<Option<PagedAttentionConfig>, LoadError> {
    match (spec.paged_attention, cpu) {
        (PagedAttention::Off, _) | (PagedAttention::Auto, true) => return Ok(None),
        (PagedAttention::On, true) => return Err(wrong("paged_attention", "on needs a CUDA device")),
        (PagedAttention::On | PagedAttention::Auto, false) => {}
    }
    let mut cache = PagedAttentionMetaBuilder::default().with_gpu_memory(paged_memory(spec)?);
    if let Some(tokens) = spec.paged_block_tokens {
        cache = cache.with_block_size(block(tokens)?);
    }
    cache.build().map(Some).map_err(|error| wrong("paged_attention", error.to_string()))
}

fn paged_memory(spec: &Mistralrs) -> Result<MemoryGpuConfig, LoadError> {
    match (spec.paged_memory_share, spec.paged_memory_mib) {
        (Some(_), Some(_)) => Err(wrong("paged_memory_mib", "not together with paged_memory_share")),
        (None, Some(mib)) => Ok(MemoryGpuConfig::MbAmount(mib)),
        (share, None) => match share.unwrap_or(PAGED_SHARE) {
            share if share > 0.0 && share <= 1.0 => Ok(MemoryGpuConfig::Utilization(share)),
            share => Err(wrong("paged_memory_share", format!("{share} is not between 0 and 1"))),
        },
    }
}

fn block(tokens: usize) -> Result<usize, LoadError> {
    match tokens {
        8 | 16 | 32 => Ok(tokens),
        _ => Err(wrong("paged_block_tokens", format!("{tokens} is not 8, 16 or 32"))),
    }
}

fn source_name(source: &Source) -> Result<&str, LoadError> {
    let names = [&source.folder, &source.hub, &source.gguf, &source.uqff];
    let mut names = names.into_iter().flatten();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(wrong("model", "exactly one of folder, hub, gguf and uqff")),
    }
}

#[derive(Clone)]
enum Builder {
    Text(Box<TextModelBuilder>),
    Gguf(Box<GgufModelBuilder>),
}

/// The builders have these methods in common, and no trait.
macro_rules! common {
    ($builder:expr, $source:expr, $settings:expr) => {{
        let mut builder = $builder.with_max_num_seqs($settings.slots).with_prefix_cache_n($settings.prefix_cache);
        if let Some(paged) = $settings.paged {
            builder = builder.with_paged_attn(paged);
        }
        if $settings.device.is_cpu() {
            builder = builder.with_force_cpu();
        }
        if let Some(revision) = &$source.revision {
            builder = builder.with_hf_revision(revision);
        }
        if let Some(template) = &$source.chat_template {
            builder = builder.with_jinja_explicit(existing(template)?);
        }
        builder
    }};
}

impl Builder {
    fn new(source: &Source, settings: Settings) -> Result<Self, LoadError> {
        match source {
            Source { folder: Some(folder), .. } => {
                has(folder, &["config.json", "tokenizer.json"])?;
                text(TextModelBuilder::new(folder), source, settings)
            }
            Source { hub: Some(id), .. } => text(TextModelBuilder::new(id), source, settings),
            Source { uqff: Some(place), .. } => {
                let first = files(place, source)?.iter().map(Into::into).collect();
                text(UqffTextModelBuilder::new(place, first).into_inner(), source, settings)
            }
            Source { gguf: Some(place), .. } => gguf(place, source, settings),
            _ => Err(wrong("model", "missing")),
        }
    }

    async fn build(self) -> Result<(Model, Kit), String> {
        let built = match self {
            Self::Text(builder) => build_text_pipeline(*builder).await,
            Self::Gguf(builder) => build_gguf_pipeline(*builder).await,
        };
        let (pipeline, scheduler, rest) = built.map_err(|error| format!("{error:#}"))?;
        let kit = Kit::of(&*pipeline.lock().await)?;
        Ok((build_model_from_pipeline(pipeline, scheduler, rest).await, kit))
    }
}

fn text(builder: TextModelBuilder, source: &Source, settings: Settings) -> Result<Builder, LoadError> {
    let mut builder = common!(builder, source, settings);
    if let Some(dtype) = settings.dtype {
        builder = builder.with_dtype(dtype);
    }
    if let Some(isq) = settings.isq {
        builder = builder.with_isq(isq);
    }
    if let Some(tokenizer) = &source.tokenizer {
        builder = builder.with_tokenizer_json(existing(tokenizer)?);
    }
    Ok(Builder::Text(Box::new(builder)))
}

fn gguf(place: &str, source: &Source, settings: Settings) -> Result<Builder, LoadError> {
    if settings.isq.is_some() {
        return Err(wrong("isq", "GGUF files are quantised already"));
    }
    let builder = GgufModelBuilder::new(place, files(place, source)?.to_vec());
    let mut builder = common!(builder, source, settings);
    if let Some(tokenizer) = &source.tokenizer {
        builder = builder.with_tok_model_id(tokenizer::found(tokenizer)?);
    }
    Ok(Builder::Gguf(Box::new(builder)))
}

fn files<'a>(place: &str, source: &'a Source) -> Result<&'a [String], LoadError> {
    if source.files.is_empty() {
        return Err(wrong("model", "`files` names no file"));
    }
    if Path::new(place).is_dir() {
        has(place, &source.files)?;
    }
    Ok(&source.files)
}

fn has(folder: &str, files: &[impl AsRef<str>]) -> Result<(), LoadError> {
    let folder = Path::new(folder);
    if !folder.is_dir() {
        return Err(LoadError::NoFolder(folder.to_owned()));
    }
    match files.iter().find(|file| !folder.join(file.as_ref()).is_file()) {
        Some(file) => Err(LoadError::NoFile { folder: folder.to_owned(), file: file.as_ref().to_owned() }),
        None => Ok(()),
    }
}

fn existing(file: &str) -> Result<String, LoadError> {
    let path = Path::new(file);
    match path.is_file() {
        true => Ok(file.to_owned()),
        false => Err(LoadError::NoFile {
            folder: path.parent().unwrap_or(Path::new(".")).to_owned(),
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }),
    }
}
