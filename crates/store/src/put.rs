use super::{Store, StoreError, join::temporary, sync::Folders};
use bytes::Bytes;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A folder that was just made may be removed as an empty one before a file stands in it.
const TRIES_MAX: u32 = 8;

impl Store {
    /// object_store syncs each folder it makes before it goes on. Here they are synced at the end, after the file: a
    /// filesystem with a journal has by then written them down with it, and the disk is waited for twice and not thrice.
    pub(super) async fn put_local(&self, root: &Path, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (to, folders) = (root.join(self.at(path)?.as_ref()), self.is_synced.then(|| self.folders.clone()));
        let put = tokio::task::spawn_blocking(move || put(&to, &bytes, folders.as_deref())).await;
        put.map_err(io::Error::from).flatten().map_err(|error| StoreError::local(path, error))
    }
}

/// The file has all its bytes before it has its name. `folders`: where it is to be on the disk.
fn put(to: &Path, bytes: &[u8], folders: Option<&Folders>) -> io::Result<()> {
    let (temporary, mut file, changed) = open(to)?;
    let named = file
        .write_all(bytes)
        .and_then(|()| if folders.is_some() { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&temporary, to));
    if named.is_err() {
        // The sweep finds it otherwise.
        let _ = fs::remove_file(&temporary);
        return named;
    }
    folders.map_or(Ok(()), |folders| changed.iter().try_for_each(|folder| folders.sync(folder)))
}

/// An unfinished file, and the folders in which a name will be new, the innermost first.
fn open(to: &Path) -> io::Result<(PathBuf, File, Vec<PathBuf>)> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut changed = vec![folder.to_owned()];
    for _ in 0..TRIES_MAX {
        match temporary(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(|(temporary, file)| (temporary, file, changed)),
        }
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        changed.extend(missing.filter_map(Path::parent).map(Path::to_owned));
        fs::create_dir_all(folder)?;
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, *};

    #[tokio::test]
    async fn a_file_is_whole_and_replaces_the_one_before() {
        for fsync in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&Settings { fsync, ..Settings::local(folder.path()) }).unwrap();
            for text in ["one", "another"] {
                store.put("a/b/c.jsonl", Bytes::from(text)).await.unwrap();
                assert_eq!(store.range("a/b/c.jsonl", 0..text.len() as u64).await.unwrap(), text);
            }
            assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_named_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::local(folder.path())).unwrap();
        fs::create_dir_all(folder.path().join("a/taken/x")).unwrap();
        assert!(store.put("a/taken", Bytes::from_static(b"x")).await.is_err());
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn the_folders_that_change_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (_, _, changed) = open(&at("a/b/c")).unwrap();
        assert_eq!(changed, [at("a/b"), at("a"), folder.path().to_owned()]);
        let (_, _, changed) = open(&at("a/b/c")).unwrap();
        assert_eq!(changed, [at("a/b")]);
    }
}
