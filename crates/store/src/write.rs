use super::{Store, StoreError};
use bytes::{Bytes, BytesMut};
use object_store::{ObjectStoreExt, WriteMultipart};

/// One part: of a local file a write, of an S3 upload a request (S3 takes 5 MiB or more, and 10,000 of them).
const LOCAL_PART_BYTES: usize = 1 << 20;
const REMOTE_PART_BYTES: usize = 8 << 20;
/// Parts on their way at once, beside the one that is gathered.
const REMOTE_PARTS: usize = 2;

/// Writes one object in parts. It is there, whole, after [`Writer::finish`]; dropped before, it never was.
pub struct Writer {
    store: Store,
    path: String,
    part: usize,
    buffer: BytesMut,
    /// None until there is more than one part.
    upload: Option<Guard>,
    bytes: u64,
}

impl Store {
    pub async fn writer(&self, path: &str) -> Result<Writer, StoreError> {
        self.at(path)?;
        let part = if self.root.is_some() { LOCAL_PART_BYTES } else { REMOTE_PART_BYTES };
        Ok(Writer { store: self.clone(), path: path.to_owned(), part, buffer: BytesMut::new(), upload: None, bytes: 0 })
    }
}

impl Writer {
    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits where the store is slower than the writer.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        while self.buffer.len() + bytes.len() >= self.part {
            let piece = bytes.split_to(self.part - self.buffer.len());
            if self.buffer.is_empty() {
                self.send(piece).await?;
                continue;
            }
            self.buffer.extend_from_slice(&piece);
            let full = self.buffer.split().freeze();
            self.send(full).await?;
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }

    /// Gives the size.
    pub async fn finish(mut self) -> Result<u64, StoreError> {
        let last = self.buffer.split().freeze();
        let Some(upload) = self.upload.as_mut().and_then(Guard::take) else {
            self.store.put(&self.path, last).await?;
            return Ok(self.bytes);
        };
        let mut upload = upload;
        upload.put(last);
        upload.finish().await.map_err(|e| StoreError::new(&self.path, e))?;
        Ok(self.bytes)
    }

    async fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Guard::start(&self.store, &self.path, self.part).await?),
        };
        let failed = |e| StoreError::new(&self.path, e);
        let Some(upload) = &mut upload.0 else { return Ok(()) };
        upload.wait_for_capacity(if self.store.root.is_some() { 1 } else { REMOTE_PARTS }).await.map_err(failed)?;
        upload.put(part);
        Ok(())
    }
}

/// An upload that is aborted when it is dropped: a bucket would keep, and bill, its parts.
struct Guard(Option<WriteMultipart>);

impl Guard {
    async fn start(store: &Store, path: &str, part: usize) -> Result<Self, StoreError> {
        let upload = store.inner.put_multipart(&store.at(path)?).await;
        let upload = upload.map_err(|e| StoreError::new(path, e))?;
        Ok(Self(Some(WriteMultipart::new_with_chunk_size(upload, part))))
    }

    fn take(&mut self) -> Option<WriteMultipart> {
        self.0.take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%error, "an interrupted upload could not be cleaned up");
            }
        });
    }
}
