//! mistral.rs's builder of a model, by where the model lies and what it is for.

use std::path::Path;

use mistralrs::{
    EmbeddingModelBuilder, GgufModelBuilder, Model, TextModelBuilder, UqffEmbeddingModelBuilder, UqffTextModelBuilder,
    core::Pipeline,
    model_builder_trait::{
        build_embedding_pipeline, build_gguf_pipeline, build_model_from_pipeline, build_text_pipeline,
    },
};

use super::{
    load::{Settings, wrong},
    tokenizer,
};
use crate::{LoadError, Source, Task};

/// What is to be known of a pipeline, before mistral.rs takes it away.
pub type Look<T> = fn(&dyn Pipeline) -> Result<T, String>;

#[derive(Clone)]
pub enum Builder {
    Text(Box<TextModelBuilder>),
    Gguf(Box<GgufModelBuilder>),
    Embedding(Box<EmbeddingModelBuilder>),
}

/// The builders have these methods in common, and no trait.
macro_rules! common {
    ($builder:expr, $source:expr, $settings:expr) => {{
        let mut builder = $builder.with_max_num_seqs($settings.at_once()).with_prefix_cache_n($settings.prefix_cache);
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
    pub fn new(task: Task, source: &Source, settings: Settings) -> Result<Self, LoadError> {
        match task {
            Task::Chat => Self::chat(source, settings),
            Task::Embeddings => Self::embeddings(source, settings),
        }
    }

    fn chat(source: &Source, settings: Settings) -> Result<Self, LoadError> {
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

    fn embeddings(source: &Source, settings: Settings) -> Result<Self, LoadError> {
        match source {
            Source { folder: Some(folder), .. } => {
                // Without the last mistral.rs panics.
                has(folder, &["config.json", "tokenizer.json", "modules.json"])?;
                embedding(EmbeddingModelBuilder::new(folder), source, settings)
            }
            Source { hub: Some(id), .. } => embedding(EmbeddingModelBuilder::new(id), source, settings),
            Source { uqff: Some(place), .. } => {
                let first = files(place, source)?.iter().map(Into::into).collect();
                embedding(UqffEmbeddingModelBuilder::new(place, first).into_inner(), source, settings)
            }
            Source { gguf: Some(_), .. } => Err(wrong("model", "mistral.rs makes no embeddings with GGUF files")),
            _ => Err(wrong("model", "missing")),
        }
    }

    /// A model, and what its pipeline tells `of` it.
    pub async fn build<T>(self, of: Look<T>) -> Result<(Model, T), String> {
        let built = match self {
            Self::Text(builder) => build_text_pipeline(*builder).await,
            Self::Gguf(builder) => build_gguf_pipeline(*builder).await,
            Self::Embedding(builder) => build_embedding_pipeline(*builder).await,
        };
        let (pipeline, scheduler, rest) = built.map_err(|error| format!("{error:#}"))?;
        let found = of(&*pipeline.lock().await)?;
        Ok((build_model_from_pipeline(pipeline, scheduler, rest).await, found))
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

/// One sequence at a time: see `embedder.rs`.
fn embedding(builder: EmbeddingModelBuilder, source: &Source, settings: Settings) -> Result<Builder, LoadError> {
    let mut builder = builder.with_max_num_seqs(1);
    if settings.device.is_cpu() {
        builder = builder.with_force_cpu();
    }
    if let Some(revision) = &source.revision {
        builder = builder.with_hf_revision(revision);
    }
    if let Some(dtype) = settings.dtype {
        builder = builder.with_dtype(dtype);
    }
    if let Some(isq) = settings.isq {
        builder = builder.with_isq(isq);
    }
    if let Some(tokenizer) = &source.tokenizer {
        builder = builder.with_tokenizer_json(existing(tokenizer)?);
    }
    Ok(Builder::Embedding(Box::new(builder)))
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
