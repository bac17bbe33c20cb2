use super::{Store, StoreError};
use bytes::Bytes;
use futures::{Stream, stream};
use object_store::{ObjectStore, ObjectStoreExt};
use std::ops::Range;
use tokio_util::task::AbortOnDropHandle;

/// One read of a stream. object_store's own stream of a local file reads 8 KiB a blocking call, which is too slow.
const STEP_BYTES: u64 = 4 << 20;

type Ahead = AbortOnDropHandle<Result<Bytes, StoreError>>;

impl Store {
    /// Bytes of an object. Where it ends before the range does, the answer is shorter.
    pub async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        // `get_ranges` and not `get_range`: of a local file it is one blocking call, and not two.
        let got = self.inner.get_ranges(&self.at(path)?, &[range]).await;
        let first = got.map(|bytes| bytes.into_iter().next().unwrap_or_default());
        first.map_err(|e| StoreError::new(path, e))
    }

    /// An object's size, if there is one.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match self.inner.head(&self.at(path)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(StoreError::new(path, e)),
        }
    }

    /// A range of an object in blocks of at most 4 MiB, one read ahead. It ends after an error.
    pub fn stream(
        &self,
        path: String,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        self.blocks(path, range, STEP_BYTES)
    }

    /// The same in blocks of another size: at most two of them are in memory at once.
    pub fn blocks(
        &self,
        path: String,
        range: Range<u64>,
        step: u64,
    ) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        let reading = Reading { store: self.clone(), path, left: range, step, ahead: None };
        stream::try_unfold(reading, Reading::next)
    }
}

struct Reading {
    store: Store,
    path: String,
    left: Range<u64>,
    step: u64,
    ahead: Option<Ahead>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        let Some(now) = self.ahead.take().or_else(|| self.start()) else { return Ok(None) };
        self.ahead = self.start();
        match now.await {
            Ok(bytes) => Ok(Some((bytes?, self))),
            Err(e) => Err(StoreError::new(&self.path, e.into())),
        }
    }

    fn start(&mut self) -> Option<Ahead> {
        if self.left.is_empty() {
            return None;
        }
        let range = self.left.start..self.left.end.min(self.left.start.saturating_add(self.step));
        self.left.start = range.end;
        let (store, path) = (self.store.clone(), self.path.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(async move { store.exact(&path, range).await })))
    }
}

impl Store {
    /// A range that must be there in full: who streams was told the size before.
    pub async fn exact(&self, path: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let wanted = range.end - range.start;
        let bytes = self.range(path, range).await?;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(StoreError::new(path, object_store::Error::Generic { store: "read", source: source.into() }))
    }
}
