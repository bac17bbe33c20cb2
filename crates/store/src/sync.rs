//! Folders on the disk. Several that want one folder synced at once share a sync: one that began after their names were
//! in it. Each job's first file has its name in a folder that all jobs are in.
use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
pub struct Folders(Mutex<HashMap<PathBuf, Arc<Folder>>>);

#[derive(Default)]
struct Folder {
    state: Mutex<State>,
    ended: Condvar,
}

/// Syncs are counted as they begin.
#[derive(Default)]
struct State {
    begun: u64,
    ended: u64,
    /// The last one that failed, and how.
    failed: Option<(u64, io::ErrorKind)>,
}

impl Folders {
    /// Blocks until the names in a folder are on the disk.
    pub fn sync(&self, path: &Path) -> io::Result<()> {
        let folder = lock(&self.0).entry(path.to_owned()).or_default().clone();
        let synced = folder.sync(|| File::open(path)?.sync_all());
        drop(folder);
        let mut folders = lock(&self.0);
        if folders.get(path).is_some_and(|folder| Arc::strong_count(folder) == 1) {
            folders.remove(path);
        }
        synced
    }
}

impl Folder {
    fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let wanted = state.begun + 1;
        while state.ended < wanted && state.ended < state.begun {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended >= wanted {
            return match state.failed {
                Some((number, kind)) if number >= wanted => Err(kind.into()),
                _ => Ok(()),
            };
        }
        state.begun += 1;
        let number = state.begun;
        drop(state);
        let synced = sync();
        let mut state = lock(&self.state);
        state.ended = number;
        if let Err(error) = &synced {
            state.failed = Some((number, error.kind()));
        }
        self.ended.notify_all();
        synced
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        thread,
    };

    /// While a first sync is under way `more` want one; how many there were, and how many of these failed.
    fn syncs(more: usize, fails: bool) -> (u32, usize) {
        let (folder, count) = (Folder::default(), AtomicU32::new(0));
        let (begun, has_begun) = mpsc::channel();
        let (go, may_end) = mpsc::channel::<()>();
        let failed = thread::scope(|scope| {
            let (folder, count) = (&folder, &count);
            let first = scope.spawn(move || {
                folder.sync(|| {
                    count.fetch_add(1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    may_end.recv().unwrap();
                    Ok(())
                })
            });
            has_begun.recv().unwrap();
            let arrived = Arc::new(AtomicU32::new(0));
            let later: Vec<_> = (0..more)
                .map(|_| {
                    let arrived = arrived.clone();
                    scope.spawn(move || {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        folder.sync(|| {
                            count.fetch_add(1, Ordering::SeqCst);
                            if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
                        })
                    })
                })
                .collect();
            while arrived.load(Ordering::SeqCst) < more as u32 {
                thread::yield_now();
            }
            go.send(()).unwrap();
            first.join().unwrap().unwrap();
            later.into_iter().map(|one| one.join().unwrap()).filter(Result::is_err).count()
        });
        (count.into_inner(), failed)
    }

    #[test]
    fn who_comes_while_a_folder_is_synced_shares_the_next() {
        let (count, failed) = syncs(8, false);
        assert!((2..=9).contains(&count) && failed == 0, "the first was begun too early for the others: {count}");
    }

    #[test]
    fn a_failure_is_everybodys_whose_sync_it_was() {
        assert_eq!(syncs(8, true).1, 8);
    }

    #[test]
    fn nothing_is_kept_of_a_folder_that_nobody_syncs() {
        let (folder, folders) = (tempfile::tempdir().unwrap(), Folders::default());
        folders.sync(folder.path()).unwrap();
        assert!(folders.sync(&folder.path().join("none")).is_err());
        assert!(lock(&folders.0).is_empty());
    }
}
