//! Where a table goes: a file here, or an object of a store, which is there when the table is whole and not before.
use crate::cli::error::Error;
use std::{
    env,
    path::{Path, PathBuf},
};
use tempfile::{Builder, TempPath};

pub struct Target {
    file: PathBuf,
    /// The URL it goes to, and what is written here until then.
    sent: Option<(String, TempPath)>,
}

/// The URL that a path is.
pub fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains("://"))
}

impl Target {
    pub fn of(path: &Path) -> Result<Self, Error> {
        let Some(url) = url(path) else { return Ok(Self { file: path.to_owned(), sent: None }) };
        // Its name's end tells the format.
        let end = format!("-{}", url.rsplit('/').next().unwrap_or_default());
        let file = Builder::new().prefix("jetbatch-").suffix(&end).tempfile();
        let kept = file.map_err(Error::file("make a file in", &env::temp_dir()))?.into_temp_path();
        Ok(Self { file: kept.to_path_buf(), sent: Some((url.to_owned(), kept)) })
    }

    /// What is written here.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes what was written to where it belongs.
    pub async fn deliver(&self) -> Result<(), Error> {
        let Some((url, kept)) = &self.sent else { return Ok(()) };
        store::send(url, kept).await.map_err(|error| Error::Failed(format!("{url} cannot be written: {error}")))
    }
}
