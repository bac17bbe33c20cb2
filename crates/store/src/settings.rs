use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::Path};

/// The `[store]` table of the configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A folder, or `file://`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
    pub url: String,
    /// Options by the names that object_store gives them, such as `aws_endpoint`. Credentials belong into the
    /// environment (`AWS_ACCESS_KEY_ID`, ...), which is read too; an option here goes before it. Inputs by URL are
    /// read with them too, where the store is of the same kind.
    pub options: BTreeMap<String, String>,
    /// A local folder: a file is on the disk, and not only in the page cache, before it counts as written. The log
    /// drops what a file holds, so it must not hold less after a power cut.
    pub fsync: bool,
    /// Whether what nobody needs any more is removed.
    pub delete: Delete,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delete {
    /// Where the store allows it.
    #[default]
    Auto,
    /// Never, without a word: the parts of outputs and the files of deleted jobs stay.
    Never,
}

impl Settings {
    pub fn local(folder: impl AsRef<Path>) -> Self {
        Self { url: folder.as_ref().to_string_lossy().into_owned(), ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { url: "jetbatch-data/store".to_owned(), options: BTreeMap::new(), fsync: true, delete: Delete::Auto }
    }
}

/// Without the options' values, which may be secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.keys().collect();
        f.debug_struct("Settings").field("url", &self.url).field("options", &names).field("fsync", &self.fsync).finish()
    }
}
