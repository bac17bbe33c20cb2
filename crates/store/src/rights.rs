//! What a store lets us do. One that refuses to delete is a usual hardening: work goes on, and what nobody needs stays.
use super::{Delete, PROBES, Settings, Store, StoreError};
use bytes::Bytes;
use object_store::{PutMode, PutOptions};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a store removes nothing: as it is told to, or because it was refused.
#[derive(Clone, Default)]
pub(super) struct Keeps {
    never: bool,
    refused: Arc<AtomicBool>,
}

/// What a store lets us do beside writing, reading and listing, which it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    All,
    /// In its own words. Nothing is deleted, until it allows that.
    NoDelete(String),
}

impl Keeps {
    pub fn of(settings: &Settings) -> Self {
        Self { never: settings.delete == Delete::Never, refused: Arc::default() }
    }

    pub fn all(&self) -> bool {
        self.never || self.refused.load(Ordering::Relaxed)
    }

    /// A refusal is remembered, and is no failure of who wanted something gone.
    pub fn unless_refused(&self, removed: Result<(), StoreError>) -> Result<(), StoreError> {
        match removed {
            Err(StoreError::Refused { path, why }) => {
                tracing::debug!(path, why, "the store does not delete");
                self.refused.store(true, Ordering::Relaxed);
                Ok(())
            }
            removed => removed,
        }
    }
}

impl Store {
    /// Tries all that is needed with an object of its own. It is told by [`StoreError::Refused`] what is missing of
    /// writing, listing and reading. Whether it deletes is remembered.
    pub async fn rights(&self) -> Result<Rights, StoreError> {
        // One name for all who try: where it cannot be deleted, one object stays.
        let path = format!("{PROBES}/rights");
        self.put(&path, Bytes::from_static(b"ok")).await?;
        self.list(PROBES).await?;
        match self.range(&path, 0..1).await {
            // Another who tried was faster.
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.keeps.never {
            return Ok(Rights::All);
        }
        match self.remove(&path).await {
            Ok(()) => {
                self.keeps.refused.store(false, Ordering::Relaxed);
                Ok(Rights::All)
            }
            Err(StoreError::Refused { why, .. }) => {
                self.keeps.refused.store(true, Ordering::Relaxed);
                Ok(Rights::NoDelete(why))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a small object if there is none, and says whether it did. Of two who do so at once one is told no, where the
    /// store can tell; else the last one stands, and who reads it later learns that.
    pub async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.inner.put_opts(&self.at(path)?, bytes.clone().into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            Err(object_store::Error::NotImplemented { .. }) => self.put(path, bytes).await.map(|()| true),
            Err(error) => Err(StoreError::new(path, error)),
        }
    }
}
