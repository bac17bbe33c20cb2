//! From a spec to a loaded model. What can be known wrong beforehand is told in one line.

use std::{sync::Arc, time::Duration};

use mistralrs::{
    IsqType, MemoryGpuConfig, Model, ModelDType, PagedAttentionConfig, PagedAttentionMetaBuilder, parse_isq_value,
};

use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    Bare, Mistral,
    builder::{Builder, Look},
    copies::{self, Copies},
    embedder::{Embedder, Texts},
    kit::Kit,
    lanes::Lanes,
};
use crate::{About, Device, Dtype, LoadError, Mistralrs, PagedAttention, Source, SpecialTokens, Task, limits};

const LOADS_MAX: usize = 5;
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
    let (models, mut kit) = build(&name, builder, copies(slots, cpu), Kit::of).await?;
    let slots = if cpu { models.len() } else { slots.unwrap_or(limits::SLOTS_CUDA) };
    kit.context = spec.context.map_or(kit.context, |context| context.min(kit.context));
    kit.allow = spec.special_tokens == SpecialTokens::Allow;
    let about = about(spec, name, slots, device);
    tracing::info!(model = about.model, device = about.device, slots, context = kit.context, "model loaded");
    let patience = spec.call_seconds_max.map(Duration::from_secs);
    Ok(Mistral { lanes: lanes(models), about, kit: Arc::new(kit), patience, beats: Arc::default() })
}

fn about(spec: &Mistralrs, name: String, slots: usize, device: String) -> About {
    About { model: spec.name.clone().unwrap_or(name), engine: "mistralrs", task: spec.task, slots, device }
}

/// A model that makes embeddings, a copy for each slot on any device.
pub async fn embeddings(spec: &Mistralrs) -> Result<Embedder, LoadError> {
    let Plan { name, builder, device, slots, cpu } = Plan::new(spec)?;
    let copies = if cpu { copies(slots, cpu) } else { Copies::Given(slots.unwrap_or(1)) };
    let (models, mut texts) = build(&name, builder, copies, Texts::of).await?;
    texts.set(spec.special_tokens == SpecialTokens::Allow, spec.context);
    let about = about(spec, name.clone(), models.len(), device);
    let patience = spec.call_seconds_max.map(Duration::from_secs);
    let mut embedder =
        Embedder { lanes: Lanes::single(models), about, texts, size: 0, patience, beats: Default::default() };
    embedder.size = embedder.measure().await.map_err(|message| LoadError::Engine { model: name, message })?;
    let Embedder { about, texts, size, .. } = &embedder;
    let (model, device, slots) = (&about.model, &about.device, about.slots);
    tracing::info!(model, device, slots, context = texts.context, size, "model loaded");
    Ok(embedder)
}

/// The same model with the same settings, and nothing around it.
pub async fn bare(spec: &Mistralrs) -> Result<Bare, LoadError> {
    if spec.task != Task::Chat {
        return Err(wrong("task", "only chats are measured"));
    }
    let Plan { name, builder, slots, cpu, .. } = Plan::new(spec)?;
    let models = build(&name, builder, copies(slots, cpu), Kit::of).await?.0;
    let in_flight = if cpu { models.len() } else { slots.unwrap_or(limits::SLOTS_CUDA) + limits::SPARE };
    Ok(Bare { copies: models, in_flight })
}

const fn copies(slots: Option<usize>, cpu: bool) -> Copies {
    match slots {
        _ if !cpu => Copies::Given(1),
        Some(slots) => Copies::Given(slots),
        None => Copies::Fitting,
    }
}

struct Plan {
    name: String,
    builder: Builder,
    device: String,
    slots: Option<usize>,
    cpu: bool,
}

impl Plan {
    fn new(spec: &Mistralrs) -> Result<Self, LoadError> {
        let source = &spec.model;
        let name = source_name(source)?.to_owned();
        fits(spec)?;
        let settings = Settings::new(spec)?;
        let (device, slots, cpu) = (device_name(&settings.device), settings.slots, settings.device.is_cpu());
        Ok(Self { name, builder: Builder::new(spec.task, source, settings)?, device, slots, cpu })
    }
}

/// Settings that say nothing of a model without a cache and without turns.
fn fits(spec: &Mistralrs) -> Result<(), LoadError> {
    let set = [
        ("prefix_cache", spec.prefix_cache.is_some()),
        ("paged_attention", spec.paged_attention == PagedAttention::On),
        ("paged_memory_share", spec.paged_memory_share.is_some()),
        ("paged_memory_mib", spec.paged_memory_mib.is_some()),
        ("paged_block_tokens", spec.paged_block_tokens.is_some()),
        ("model.chat_template", spec.model.chat_template.is_some()),
    ];
    match set.into_iter().find(|(_, is_set)| spec.task == Task::Embeddings && *is_set) {
        Some((field, _)) => Err(wrong(field, "not together with task = \"embeddings\"")),
        None => Ok(()),
    }
}

/// Copies of a model, and what comes with the first. Loading blocks its thread for as long as it takes, and panics on
/// some broken models.
async fn build<T: Send + 'static>(
    name: &str,
    builder: Builder,
    copies: Copies,
    of: Look<T>,
) -> Result<(Vec<Model>, T), LoadError> {
    let failed = |message: String| LoadError::Engine { model: name.to_owned(), message: message.replace('\n', " ") };
    let (mut models, mut found, mut wanted, before) = (Vec::new(), None, 1, copies::used());
    while models.len() < wanted {
        let load = || {
            let (runtime, builder) = (Handle::current(), builder.clone());
            spawn_blocking(move || runtime.block_on(builder.build(of)))
        };
        let (model, its) = past_the_race(load).await.map_err(failed)?;
        models.push(model);
        if found.replace(its).is_none() {
            let first = copies::used().zip(before).map(|(after, before)| after.saturating_sub(before));
            wanted = copies.count(first);
        }
    }
    let found = found.ok_or_else(|| wrong("slots", "at least 1"))?;
    Ok((models, found))
}

/// On a busy machine about one load in some hundreds panics: mistral.rs 0.8.1 asks for a model's name by `try_lock`, and
/// the thread that it has just begun may hold the model.
async fn past_the_race<T>(mut load: impl FnMut() -> JoinHandle<Result<T, String>>) -> Result<T, String> {
    for _ in 1..LOADS_MAX {
        match load().await {
            Err(panicked) if panicked.to_string().contains("TryLockError") => {}
            Err(panicked) => return Err(panicked.to_string()),
            Ok(loaded) => return loaded,
        }
    }
    load().await.unwrap_or_else(|panicked| Err(panicked.to_string()))
}

pub(super) fn wrong(field: &'static str, why: impl Into<String>) -> LoadError {
    LoadError::Spec { field, why: why.into() }
}

/// A spec with every default filled in.
pub(super) struct Settings {
    pub device: mistralrs::Device,
    pub dtype: Option<ModelDType>,
    pub isq: Option<IsqType>,
    slots: Option<usize>,
    pub prefix_cache: Option<usize>,
    pub paged: Option<PagedAttentionConfig>,
}

impl Settings {
    fn new(spec: &Mistralrs) -> Result<Self, LoadError> {
        let device = device(spec.device)?;
        let cpu = device.is_cpu();
        if spec.slots == Some(0) {
            return Err(wrong("slots", "at least 1"));
        }
        let kept = spec.prefix_cache.unwrap_or(if cpu { 0 } else { PREFIX_CACHE_CUDA });
        Ok(Self {
            dtype: dtype(spec.dtype, cpu),
            isq: isq(spec.isq.as_deref(), &device)?,
            slots: spec.slots,
            prefix_cache: (kept > 0).then_some(kept),
            paged: paged(spec, cpu)?,
            device,
        })
    }

    /// Sequences that mistral.rs is to run together.
    pub fn at_once(&self) -> usize {
        self.slots.unwrap_or(if self.device.is_cpu() { 1 } else { limits::SLOTS_CUDA })
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Mutex;

    /// Loads of which the first so many panic.
    async fn load(panics: usize, message: &'static str) -> (usize, Result<u32, String>) {
        let mut tries = 0;
        let loaded = past_the_race(|| {
            tries += 1;
            let is_bad = tries <= panics;
            tokio::spawn(async move { if is_bad { panic!("{message}") } else { Ok(7) } })
        });
        let loaded = loaded.await;
        (tries, loaded)
    }

    #[tokio::test]
    async fn a_load_that_lost_a_race_is_begun_again() {
        let held = Mutex::new(());
        let _held = held.lock().await;
        let message: &str = format!("{:?}", held.try_lock().unwrap_err()).leak();
        assert_eq!(load(2, message).await, (3, Ok(7)));
        let (tries, loaded) = load(9, message).await;
        assert!(tries == LOADS_MAX && loaded.unwrap_err().contains(message));
        let (tries, loaded) = load(9, "no such tensor").await;
        assert!(tries == 1 && loaded.unwrap_err().contains("no such tensor"));
    }
}
