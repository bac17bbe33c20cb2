use super::{Settings, Store, rights::Keeps};
use object_store::{
    ObjectStoreScheme, aws::AmazonS3ConfigKey, azure::AzureConfigKey, gcp::GoogleConfigKey, local::LocalFileSystem,
    path::Path,
};
use std::{os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc};
use url::Url;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("store '{url}': {source}")]
    Url { url: String, source: url::ParseError },
    #[error("store '{url}': use a folder, file://, s3://, gs:// or az://")]
    Scheme { url: String },
    #[error("store.options: '{name}' is no option of {url}")]
    Option { name: String, url: String },
    #[error("store: cannot use the folder {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("store '{url}' cannot be opened: {source}")]
    Open { url: String, source: object_store::Error },
}

/// What the environment's variables begin with that object_store knows.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

impl Store {
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let name = settings.url.as_str();
        if !name.contains("://") {
            return folder(PathBuf::from(name), settings);
        }
        let url = Url::parse(name).map_err(|source| OpenError::Url { url: name.to_owned(), source })?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| OpenError::Scheme { url: name.to_owned() })?;
            return folder(path, settings);
        }
        remote(&url, settings)
    }

    /// The same for what is deleted again soon, whatever happens: nothing waits for the disk.
    pub fn passing(&self) -> Self {
        let inner = self.passing.clone().unwrap_or_else(|| self.inner.clone());
        Self { inner, is_synced: false, ..self.clone() }
    }
}

fn folder(path: PathBuf, settings: &Settings) -> Result<Store, OpenError> {
    if let Some(name) = settings.options.keys().next() {
        return Err(OpenError::Option { name: name.clone(), url: settings.url.clone() });
    }
    let failed = |source| OpenError::Folder { path: path.clone(), source };
    // It holds prompts: no other user of the machine reads them. One that is there stays as it is.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    let root = path.canonicalize().map_err(failed)?;
    let open = |source| OpenError::Open { url: settings.url.clone(), source };
    let local = LocalFileSystem::new_with_prefix(&root).map_err(open)?.with_automatic_cleanup(true);
    let passing = settings.fsync.then(|| Arc::new(local.clone().with_fsync(false)) as _);
    Ok(Store {
        inner: Arc::new(local.with_fsync(settings.fsync)),
        passing,
        prefix: Path::default(),
        root: Some(root),
        is_synced: settings.fsync,
        folders: Arc::default(),
        keeps: Keeps::of(settings),
    })
}

pub(super) fn remote(url: &Url, settings: &Settings) -> Result<Store, OpenError> {
    let shown = || url.to_string();
    let (scheme, _) = ObjectStoreScheme::parse(url).map_err(|_| OpenError::Scheme { url: shown() })?;
    let known = |name: &str| match scheme {
        ObjectStoreScheme::AmazonS3 => name.parse::<AmazonS3ConfigKey>().is_ok(),
        ObjectStoreScheme::GoogleCloudStorage => name.parse::<GoogleConfigKey>().is_ok(),
        ObjectStoreScheme::MicrosoftAzure => name.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    };
    if let Some(name) = settings.options.keys().find(|name| !known(&name.to_ascii_lowercase())) {
        return Err(OpenError::Option { name: name.clone(), url: shown() });
    }
    let options = environment().chain(settings.options.clone());
    let opened = object_store::parse_url_opts(url, options);
    let (store, prefix) = opened.map_err(|source| OpenError::Open { url: shown(), source })?;
    Ok(Store {
        inner: store.into(),
        prefix,
        root: None,
        is_synced: false,
        passing: None,
        folders: Arc::default(),
        keeps: Keeps::of(settings),
    })
}

/// Credentials and the like. Names that the builder does not know are passed over by it.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}
