use crate::cli::error::Error;
use std::path::{Path, PathBuf};

/// A folder that is removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// In `parent`, or where the system keeps temporary files.
    pub fn new(parent: Option<&Path>) -> Result<Self, Error> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        // No process id: a container gives the same one again, and what a killed run left would be taken up.
        let path = parent.join(format!("jetbatch-bench-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "cannot be removed");
        }
    }
}
