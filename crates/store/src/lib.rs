//! Where inputs and outputs lie: a local folder by default, S3, GCS or Azure by URL. Whoever reads sees a whole file
//! or none. Nothing outside this folder names `object_store`.
mod external;
mod join;
mod open;
mod put;
mod read;
mod refusal;
mod rights;
mod scratch;
mod settings;
mod sync;
mod write;

pub use external::{Below, External, ExternalError, below, external, send};
pub use open::{OpenError, OpenError as Error};
pub use rights::Rights;
pub use settings::{Delete, Settings};
pub use write::Writer;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use rights::Keeps;
use std::{
    error::Error as StdError,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Objects that are written to see whether the store can be written to.
const PROBES: &str = "probe";
/// No file is younger, whatever the clock that dated it.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    /// What comes before every path: empty for a folder, the prefix within a bucket otherwise.
    prefix: Path,
    /// The folder, if it is one.
    root: Option<PathBuf>,
    /// Whether a local file is on the disk before it is shown.
    is_synced: bool,
    /// The same folder for files that need not be; none: nothing is synced here anyway.
    passing: Option<Arc<dyn ObjectStore>>,
    folders: Arc<sync::Folders>,
    /// Whether it removes nothing.
    keeps: Keeps,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no {path} in the store")]
    NotFound { path: String },
    /// It answers, and asked again it would say the same.
    #[error("the store refuses {path}: {why}")]
    Refused { path: String, why: String },
    #[error("the store failed at {path}")]
    Io { path: String, source: object_store::Error },
}

impl StoreError {
    fn new(path: &str, source: object_store::Error) -> Self {
        let path = path.to_owned();
        if matches!(source, object_store::Error::NotFound { .. }) {
            return Self::NotFound { path };
        }
        match refusal::why(&source) {
            Some(why) => Self::Refused { path, why },
            None => Self::Io { path, source },
        }
    }

    fn local(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            _ => Self::new(&path, object_store::Error::Generic { store: "folder", source: source.into() }),
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether there was no room: on the disk, in a quota, or under the limit of a file's size.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let is_full = |error: &io::Error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref().is_some_and(is_full) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl Store {
    /// Writes a small object whole.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(root) = &self.root {
            return self.put_local(root, path, bytes).await;
        }
        let put = self.inner.put(&self.at(path)?, bytes.into()).await;
        put.map(drop).map_err(|e| StoreError::new(path, e))
    }

    /// An object that is already absent is fine. Where nothing may be removed it stays, and that is fine, too: see
    /// [`Store::rights`].
    pub async fn delete(&self, path: &str) -> Result<(), StoreError> {
        if self.keeps.all() { Ok(()) } else { self.keeps.unless_refused(self.remove(path).await) }
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        match self.inner.delete(&self.at(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(StoreError::new(path, e)),
        }
    }

    /// Deletes every object below a folder, and what was begun there and not finished: nobody is to write there any more.
    pub async fn delete_under(&self, prefix: &str) -> Result<(), StoreError> {
        if self.keeps.all() { Ok(()) } else { self.keeps.unless_refused(self.remove_under(prefix).await) }
    }

    async fn remove_under(&self, prefix: &str) -> Result<(), StoreError> {
        let found = self.inner.list(Some(&self.at(prefix)?)).map_ok(|meta| meta.location).boxed();
        let mut deleted = self.inner.delete_stream(found);
        while let Some(one) = deleted.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(StoreError::new(prefix, e)),
            }
        }
        self.drop_cut(&[prefix], SystemTime::now() + AHEAD).await;
        Ok(())
    }

    /// Paths and sizes of all objects below a folder, in no particular order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        self.walk_sizes(prefix)?.try_collect().await
    }

    fn walk_sizes(
        &self,
        prefix: &str,
    ) -> Result<impl Stream<Item = Result<(String, u64), StoreError>> + '_, StoreError> {
        let (at, prefix) = (self.at(prefix)?, prefix.to_owned());
        let found = self.inner.list(Some(&at));
        let found = found.map_ok(|meta| (self.name(&meta.location), meta.size));
        Ok(found.map_err(move |e| StoreError::new(&prefix, e)))
    }

    /// Paths of all objects below a folder, and when each was written.
    pub fn walk(
        &self,
        prefix: &str,
    ) -> Result<impl Stream<Item = Result<(String, SystemTime), StoreError>> + '_, StoreError> {
        let (at, prefix) = (self.at(prefix)?, prefix.to_owned());
        let written = |at: i64| SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0));
        let found = self.inner.list(Some(&at));
        let found =
            found.map_ok(move |meta| (self.name(&meta.location), written(meta.last_modified.timestamp_millis())));
        Ok(found.map_err(move |e| StoreError::new(&prefix, e)))
    }

    /// Where a local store keeps an object, for messages to people.
    pub fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join(path))
    }

    /// Whether it can be written to. A remote store is asked for a list of nothing: that costs no write, and, unlike a
    /// question for one object, is answered with the reason where the keys are wrong or there is no such bucket.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.root.is_none() {
            return self.list(PROBES).await.map(drop);
        }
        let path = format!("{}/{}", PROBES, uuid::Uuid::now_v7());
        self.put(&path, Bytes::new()).await?;
        self.delete(&path).await
    }

    fn at(&self, path: &str) -> Result<Path, StoreError> {
        let relative = Path::parse(path).map_err(|e| StoreError::new(path, e.into()))?;
        Ok(self.prefix.parts().chain(relative.parts()).collect())
    }

    fn name(&self, location: &Path) -> String {
        let name = location.prefix_match(&self.prefix).map(|parts| parts.collect::<Path>());
        name.unwrap_or_else(|| location.clone()).into()
    }
}

#[cfg(test)]
mod tests;
