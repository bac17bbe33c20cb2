//! Where a table goes: a file here, or an object of a store, which is there when the table is whole and not before.
use crate::cli::error::Error;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub struct Target {
    file: PathBuf,
    url: Option<String>,
}

/// The URL that a path is.
pub fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains("://"))
}

impl Target {
    pub fn of(path: &Path) -> Self {
        let Some(url) = url(path) else { return Self { file: path.to_owned(), url: None } };
        let name = url.rsplit('/').next().unwrap_or_default();
        let file = std::env::temp_dir().join(format!("jetbatch-{}-{name}", std::process::id()));
        Self { file, url: Some(url.to_owned()) }
    }

    /// What is written here.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes what was written to where it belongs.
    pub async fn deliver(&self) -> Result<(), Error> {
        let Some(url) = &self.url else { return Ok(()) };
        store::send(url, &self.file).await.map_err(|error| Error::Failed(format!("{url} cannot be written: {error}")))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.url.is_some() {
            let _ = fs::remove_file(&self.file);
        }
    }
}
