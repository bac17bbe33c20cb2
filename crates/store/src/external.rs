//! Objects that are not in jetbatch's own store. Whether they may be read is the caller's to decide.
use super::{OpenError, Settings, Store, StoreError, open, rights::Keeps};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{local::LocalFileSystem, path::Path};
use std::sync::Arc;
use url::Url;

/// An object and its size when it was opened. One that shrinks while it is read is an error.
pub struct External {
    pub bytes: u64,
    store: Store,
    path: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("more than {0} objects lie there")]
    TooMany(usize),
    #[error("it is no regular file")]
    NotAFile,
    /// Asked later, it may be.
    #[error("it cannot be read now")]
    Away(#[source] StoreError),
}

/// Opens an object by its URL: `file://`, `s3://`, `gs://`, `az://`. Credentials come from the environment, and where
/// jetbatch's own store is of the same kind, its options hold too. None: there is no such object.
pub async fn external(url: &str, own: &Settings) -> Result<Option<External>, ExternalError> {
    let parsed = Url::parse(url).map_err(|source| OpenError::Url { url: url.to_owned(), source })?;
    let (store, path) = if parsed.scheme() == "file" { file(&parsed).await? } else { object(&parsed, own)? };
    let bytes = store.size(&path).await.map_err(|error| unread(error, &store))?;
    Ok(bytes.map(|bytes| External { bytes, store, path }))
}

/// The objects below a folder of another store.
pub struct Below {
    pub store: Store,
    /// The folder's path there.
    pub folder: String,
    /// Paths and sizes, in no particular order.
    pub objects: Vec<(String, u64)>,
}

/// Lists a folder by its URL, as [`external`] opens an object. More than `most` objects are an error.
pub async fn below(url: &str, own: &Settings, most: usize) -> Result<Below, ExternalError> {
    let parsed = Url::parse(url).map_err(|source| OpenError::Url { url: url.to_owned(), source })?;
    let (store, folder) = if parsed.scheme() == "file" { local(&parsed)? } else { object(&parsed, own)? };
    let listed = store.walk_sizes(&folder)?.take(most.saturating_add(1)).try_collect().await;
    let objects: Vec<_> = listed.map_err(|error| unread(error, &store))?;
    if objects.len() > most { Err(ExternalError::TooMany(most)) } else { Ok(Below { store, folder, objects }) }
}

/// A pipe or device would block a thread for ever.
async fn file(url: &Url) -> Result<(Store, String), ExternalError> {
    let path = url.to_file_path().map_err(|()| OpenError::Scheme { url: url.to_string() })?;
    if tokio::fs::metadata(&path).await.is_ok_and(|meta| !meta.is_file()) {
        return Err(ExternalError::NotAFile);
    }
    local(url)
}

fn local(url: &Url) -> Result<(Store, String), ExternalError> {
    let path = url.to_file_path().map_err(|()| OpenError::Scheme { url: url.to_string() })?;
    let invalid = |e: object_store::path::Error| StoreError::new(url.path(), e.into());
    let path = Path::from_absolute_path(&path).map_err(invalid)?;
    let store = Store {
        keeps: Keeps::default(),
        inner: Arc::new(LocalFileSystem::new()),
        prefix: Path::default(),
        root: Some("/".into()),
        is_synced: false,
        passing: None,
        folders: Arc::default(),
    };
    Ok((store, path.into()))
}

fn unread(error: StoreError, store: &Store) -> ExternalError {
    match error {
        StoreError::Io { .. } if store.root.is_none() => ExternalError::Away(error),
        error => ExternalError::Store(error),
    }
}

fn object(url: &Url, own: &Settings) -> Result<(Store, String), OpenError> {
    let is_like = Url::parse(&own.url).is_ok_and(|own| own.scheme() == url.scheme());
    let options = if is_like { own.options.clone() } else { Default::default() };
    let mut store = open::remote(url, &Settings { options, ..Settings::default() })?;
    let path = std::mem::take(&mut store.prefix);
    Ok((store, path.into()))
}

/// Writes a file as an object by its URL, with what the environment says of the store. It is there whole, or not at all.
pub async fn send(url: &str, file: &std::path::Path) -> Result<(), ExternalError> {
    let parsed = Url::parse(url).map_err(|source| OpenError::Url { url: url.to_owned(), source })?;
    if parsed.scheme() == "file" {
        return Err(OpenError::Scheme { url: url.to_owned() }.into());
    }
    let (store, path) = object(&parsed, &Settings::default())?;
    let (from, name) = local(&Url::from_file_path(file).map_err(|()| ExternalError::NotAFile)?)?;
    let bytes = from.size(&name).await?.ok_or(ExternalError::NotAFile)?;
    let mut writer = store.writer(&path).await?;
    let mut blocks = from.stream(name, 0..bytes).boxed();
    while let Some(block) = blocks.next().await {
        writer.write(block?).await?;
    }
    writer.finish().await?;
    Ok(())
}

impl External {
    /// The store that it lies in, and its path there.
    pub fn place(self) -> (Store, String) {
        (self.store, self.path)
    }

    pub fn stream(&self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static {
        self.store.stream(self.path.clone(), 0..self.bytes)
    }
}
