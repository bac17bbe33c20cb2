//! What keeps a table from being read, mapped or written: one clear message that says where.
use std::{
    io,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {verb} {}: {source}", path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    /// A file that is not of the format that it is said or seems to be.
    #[error("{}: {why}", path.display())]
    Broken { path: PathBuf, why: String },
    /// What was asked for cannot be done with these files.
    #[error("{0}")]
    Asked(String),
}

impl Error {
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }

    pub(crate) fn broken(path: &Path, why: impl ToString) -> Self {
        Self::Broken { path: path.to_owned(), why: why.to_string() }
    }
}
