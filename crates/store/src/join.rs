use super::{Store, StoreError};
use futures::{StreamExt, pin_mut};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Unfinished files of one name, before this is given up.
const NAMES_MAX: u32 = 1_000;

impl Store {
    /// Puts objects, each with the bytes it is known to have, one after the other into a new one, and gives its size.
    /// It is there whole or not at all; one that was there before is replaced. Between files the kernel copies.
    pub async fn join(&self, path: &str, parts: Vec<(String, u64)>) -> Result<u64, StoreError> {
        let Some(root) = &self.root else { return self.join_remote(path, parts).await };
        self.at(path)?;
        let (to, is_synced) = (root.join(path), self.is_synced);
        let parts = parts.into_iter().map(|(part, bytes)| Ok((root.join(self.at(&part)?.as_ref()), bytes)));
        let parts = parts.collect::<Result<Vec<_>, StoreError>>()?;
        let joined = tokio::task::spawn_blocking(move || join_files(&to, &parts, is_synced)).await;
        joined.map_err(io::Error::from).flatten().map_err(|error| StoreError::local(path, error))
    }

    async fn join_remote(&self, path: &str, parts: Vec<(String, u64)>) -> Result<u64, StoreError> {
        let mut writer = self.writer(path).await?;
        let mut total = 0;
        for (part, bytes) in parts {
            let blocks = self.stream(part.clone(), 0..bytes);
            pin_mut!(blocks);
            while let Some(block) = blocks.next().await {
                writer.write(block?).await?;
            }
            total += bytes;
            if writer.bytes() != total {
                return Err(StoreError::local(&part, short(bytes)));
            }
        }
        writer.finish().await
    }
}

fn join_files(to: &Path, parts: &[(PathBuf, u64)], is_synced: bool) -> io::Result<u64> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let (temporary, mut file) = temporary(to)?;
    let done = copy(&mut file, parts, is_synced).and_then(|bytes| {
        fs::rename(&temporary, to)?;
        Ok(bytes)
    });
    if done.is_err() {
        // The sweep finds it otherwise.
        let _ = fs::remove_file(&temporary);
    } else if is_synced && let Some(folder) = to.parent() {
        File::open(folder)?.sync_all()?;
    }
    done
}

fn copy(file: &mut File, parts: &[(PathBuf, u64)], is_synced: bool) -> io::Result<u64> {
    let mut total = 0;
    for (part, bytes) in parts {
        let copied = io::copy(&mut File::open(part)?.take(*bytes), file)?;
        if copied != *bytes {
            return Err(short(*bytes));
        }
        total += copied;
    }
    if is_synced {
        file.sync_all()?;
    }
    Ok(total)
}

/// Named as object_store names its unfinished files, so that what a crash leaves is removed with them.
pub(super) fn temporary(to: &Path) -> io::Result<(PathBuf, File)> {
    for number in 1..NAMES_MAX {
        let mut name = to.as_os_str().to_owned();
        name.push(format!("#{number}"));
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (name.into(), file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn short(bytes: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("it has fewer than its {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, *};
    use bytes::Bytes;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::local(folder.path())).unwrap();
        for (name, text) in [("parts/0", "one\n"), ("parts/1", ""), ("parts/2", "two\n")] {
            store.put(name, Bytes::from(text)).await.unwrap();
        }
        (folder, store)
    }

    fn parts(sizes: [u64; 3]) -> Vec<(String, u64)> {
        sizes.into_iter().zip(0..).map(|(bytes, number)| (format!("parts/{number}"), bytes)).collect()
    }

    #[tokio::test]
    async fn parts_become_one_object() {
        let (_folder, store) = store().await;
        for _ in 0..2 {
            assert_eq!(store.join("out/all", parts([4, 0, 4])).await.unwrap(), 8);
            assert_eq!(store.range("out/all", 0..8).await.unwrap(), "one\ntwo\n");
        }
        assert_eq!(store.join_remote("out/far", parts([4, 0, 4])).await.unwrap(), 8);
        assert_eq!(store.range("out/far", 0..8).await.unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn what_was_cut_replaces_nothing_and_leaves_nothing() {
        let (folder, store) = store().await;
        store.put("out/all", Bytes::from_static(b"before")).await.unwrap();
        let missing = vec![("parts/9".to_owned(), 1)];
        assert!(store.join("out/all", missing.clone()).await.unwrap_err().is_not_found());
        assert!(store.join_remote("out/all", missing).await.is_err());
        assert!(store.join("out/all", parts([4, 0, 5])).await.is_err());
        assert!(store.join_remote("out/all", parts([4, 0, 5])).await.is_err());
        assert_eq!(store.range("out/all", 0..6).await.unwrap(), "before");
        assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
    }
}
