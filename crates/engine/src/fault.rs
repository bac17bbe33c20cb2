//! What goes wrong: while loading, and instead of an answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is not an answer: the chunk is to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Fault {
    /// The engine lives, and dropped the request: its cache had no room.
    #[error("the engine dropped the request: no room in its cache")]
    Overloaded,
    #[error("the engine is out of memory: {message}")]
    OutOfMemory { message: String },
    /// The engine's thread is gone, or its device is unusable. mistral.rs starts a new thread at the next call over
    /// the same model; if that dies as well, only a new process helps.
    #[error("the engine died: {message}")]
    Died { message: String },
    /// Servers elsewhere that cannot be reached, or refuse everybody: nothing was done with the request.
    #[error("no server takes requests: {message}")]
    Away { message: String },
    #[error("no answer within {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the engine failed: {message}")]
    Internal { message: String },
}

/// Why there is no engine. One line each.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("this build has no `{feature}`: build with --features {feature}")]
    NotBuilt { feature: &'static str },
    #[error("engine.{field}: {why}")]
    Spec { field: &'static str, why: String },
    #[error("model folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error("model folder {} has no {file}", folder.display())]
    NoFile { folder: PathBuf, file: String },
    #[error("no CUDA device: {message}")]
    NoCuda { message: String },
    #[error("cannot load {model}: {message}")]
    Engine { model: String, message: String },
}
