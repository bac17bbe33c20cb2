//! What writes that were never finished have left.
use super::{PROBES, Store, StoreError};
use futures::{StreamExt, pin_mut};
use std::{fs, io, path::PathBuf, time::SystemTime};

impl Store {
    /// Removes what was begun in these folders before then, and says how much that was. Of a bucket only probes: its unfinished uploads
    /// show in no list, and a rule of the bucket removes them.
    pub async fn tidy(&self, folders: &[&str], before: SystemTime) -> Result<usize, StoreError> {
        let probes = self.probes(before).await?;
        Ok(probes + self.drop_cut(folders, before).await)
    }

    /// Removes the unfinished files of local folders, which no list shows.
    pub(super) async fn drop_cut(&self, folders: &[&str], before: SystemTime) -> usize {
        let Some(root) = &self.root else { return 0 };
        let folders = folders.iter().map(|folder| root.join(folder)).collect();
        tokio::task::spawn_blocking(move || temporary(folders, before)).await.unwrap_or_default()
    }

    async fn probes(&self, before: SystemTime) -> Result<usize, StoreError> {
        let found = self.walk(PROBES)?;
        pin_mut!(found);
        let mut removed = 0;
        while let Some(probe) = found.next().await {
            let (path, written) = probe?;
            if written < before {
                self.delete(&path).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A file that vanishes or cannot be removed is the next one's to find.
fn temporary(mut open: Vec<PathBuf>, before: SystemTime) -> usize {
    let mut removed = 0;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() && is_temporary(&entry.file_name().to_string_lossy()) => {
                    removed += usize::from(remove(&entry, before).unwrap_or(false));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    removed
}

fn remove(entry: &fs::DirEntry, before: SystemTime) -> io::Result<bool> {
    if entry.metadata()?.modified()? >= before {
        return Ok(false);
    }
    fs::remove_file(entry.path())?;
    // The folder may have held nothing else; one that holds more stays.
    if let Some(folder) = entry.path().parent() {
        let _ = fs::remove_dir(folder);
    }
    Ok(true)
}

/// object_store writes `name#3` and renames it to `name`.
fn is_temporary(name: &str) -> bool {
    let number = name.rsplit_once('#').map_or("", |(_, number)| number);
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{super::Settings, *};

    const FOLDERS: &[&str] = &["jobs", "uploads"];

    #[tokio::test]
    async fn what_was_never_finished_goes_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::local(folder.path())).unwrap();
        let (begin, whole) = (SystemTime::UNIX_EPOCH, "uploads/whole.jsonl");
        let tomorrow = SystemTime::now() + std::time::Duration::from_secs(86_400);
        store.put(whole, bytes::Bytes::from_static(b"x")).await.unwrap();
        let mut cut = store.writer("jobs/x/input.jsonl").await.unwrap();
        cut.write(vec![0; 3 << 20].into()).await.unwrap();
        std::mem::forget(cut);
        fs::create_dir(folder.path().join("probe")).unwrap();
        fs::write(folder.path().join("probe/1"), "").unwrap();
        assert_eq!(store.tidy(FOLDERS, begin).await.unwrap(), 0);
        assert_eq!(store.tidy(FOLDERS, tomorrow).await.unwrap(), 2);
        assert_eq!(store.tidy(FOLDERS, tomorrow).await.unwrap(), 0);
        assert!(!folder.path().join("jobs/x").exists());
        assert_eq!(store.size(whole).await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn who_deletes_a_folder_deletes_what_was_never_finished_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Settings::local(folder.path())).unwrap();
        for path in ["jobs/x/parts/1.jsonl", "jobs/y/parts/1.jsonl"] {
            let mut cut = store.writer(path).await.unwrap();
            cut.write(vec![0; 3 << 20].into()).await.unwrap();
            std::mem::forget(cut);
        }
        store.delete_under("jobs/x/parts").await.unwrap();
        let left = |job: &str| fs::read_dir(folder.path().join(job).join("parts")).map_or(0, Iterator::count);
        assert_eq!((left("jobs/x"), left("jobs/y")), (0, 1));
    }

    #[test]
    fn a_temporary_file_ends_with_a_number() {
        assert!(is_temporary("a.jsonl#1") && is_temporary("a#b#27"));
        for name in ["a.jsonl", "a#", "a#1b", "#"] {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
