//! What is known of files beside their bytes: names, and until when they are there. The bucket `files` has a record for each
//! upload that came with one, and marks what was deleted.
use super::super::{app::App, error::Rejection, limits};
use crate::bus::{Bucket, Entry, Op, ReadError};
use api::openai::{FileId, JobFile, Purpose};
use domain::Timestamp;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::FileRecord;

/// Newest first.
pub type Key = Reverse<(Timestamp, Uuid)>;

/// The records that this door has seen, for lists.
#[derive(Default)]
pub struct Catalog {
    known: Mutex<Known>,
}

#[derive(Default)]
pub struct Known {
    pub uploads: BTreeMap<Key, FileRecord>,
    at: HashMap<Uuid, Timestamp>,
    /// When uploads were made that are deleted: who deletes what a list shows goes on behind it.
    gone: HashMap<Uuid, Timestamp>,
    /// Of jobs.
    pub deleted: HashSet<FileId>,
}

impl Catalog {
    /// Follows the bucket until `stop`.
    pub async fn run(&self, bucket: Bucket, stop: CancellationToken) {
        while let Some(Err(error)) = stop.run_until_cancelled(self.follow(&bucket)).await {
            tracing::debug!(%error, "the bucket of files cannot be watched; trying again");
            stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
        }
    }

    async fn follow(&self, bucket: &Bucket) -> Result<Infallible, ReadError> {
        let mut watch = bucket.watch(">").await?;
        loop {
            let entry = watch.next().await?;
            self.known().take(&entry);
        }
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this door has just written need not come round first.
    pub fn note(&self, id: Uuid, record: FileRecord) {
        self.known().insert(id, record);
    }

    pub fn forget(&self, id: FileId) {
        self.known().remove(id);
    }
}

impl Known {
    fn take(&mut self, entry: &Entry) {
        let Some(id) = parse(&entry.key) else { return };
        match (id, entry.op) {
            (FileId::Upload(upload), Op::Put) => {
                if let Ok(record) = serde_json::from_slice(&entry.value) {
                    self.insert(upload, record);
                }
            }
            (_, Op::Delete) => self.remove(id),
            (FileId::Of(..), Op::Put) => {}
        }
    }

    fn insert(&mut self, id: Uuid, record: FileRecord) {
        self.at.insert(id, record.created);
        self.uploads.insert(Reverse((record.created, id)), record);
    }

    /// When an upload was made that is there, or was a short time ago.
    pub fn made(&self, id: Uuid) -> Option<Timestamp> {
        self.at.get(&id).or_else(|| self.gone.get(&id)).copied()
    }

    fn remove(&mut self, id: FileId) {
        match id {
            FileId::Upload(upload) => {
                if let Some(at) = self.at.remove(&upload) {
                    self.uploads.remove(&Reverse((at, upload)));
                    if self.gone.len() >= limits::GONE_MAX {
                        self.gone.clear();
                    }
                    self.gone.insert(upload, at);
                }
            }
            FileId::Of(..) => drop(self.deleted.insert(id)),
        }
    }
}

/// What stands there of a file.
pub enum Told {
    Record(FileRecord),
    Deleted,
    Nothing,
}

pub async fn told(app: &App, id: FileId) -> Result<Told, Rejection> {
    let read = timeout(limits::STATUS_WITHIN, app.files.last(&key(id))).await;
    let entry = match read.map_err(|_| Rejection::unavailable("the bucket of files does not answer"))? {
        // An installation from before there was one.
        Err(ReadError::NoStream { .. }) => None,
        read => read?,
    };
    Ok(match entry {
        None => Told::Nothing,
        Some(Entry { op: Op::Delete, .. }) => Told::Deleted,
        Some(entry) => {
            let record = serde_json::from_slice(&entry.value).ok();
            // Of another tenant's nothing is told.
            record.filter(|record: &FileRecord| record.tenant == app.tenant()).map_or(Told::Nothing, Told::Record)
        }
    })
}

/// Of a file, a key in the bucket.
pub fn key(id: FileId) -> String {
    match id {
        FileId::Upload(id) => id.simple().to_string(),
        FileId::Of(..) => id.to_string(),
    }
}

fn parse(key: &str) -> Option<FileId> {
    Uuid::try_parse(key).ok().map(FileId::Upload).or_else(|| key.parse().ok())
}

/// What a job's file is called.
pub const fn name(file: JobFile) -> (&'static str, Purpose) {
    match file {
        JobFile::Input => ("input.jsonl", Purpose::Batch),
        JobFile::Output => ("output.jsonl", Purpose::BatchOutput),
        JobFile::Errors => ("errors.jsonl", Purpose::BatchOutput),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::JobId;

    fn entry(key: String, op: Op, value: &str) -> Entry {
        Entry { key, op, value: value.to_owned().into(), rev: 1, time_ms: 0, pending: 0 }
    }

    fn record(created: u64) -> String {
        format!(r#"{{"v":1,"filename":"a","purpose":"batch","bytes":1,"created":{created}}}"#)
    }

    #[test]
    fn a_catalog_is_what_was_written_and_not_deleted() {
        let (one, two) = (FileId::Upload(Uuid::from_u128(1)), FileId::Upload(Uuid::from_u128(2)));
        let output = FileId::Of(JobFile::Output, JobId::keyed("t", "k"));
        let mut known = Known::default();
        for (id, created) in [(one, 10), (two, 20)] {
            known.take(&entry(key(id), Op::Put, &record(created)));
        }
        let created: Vec<u64> = known.uploads.values().map(|record| record.created.get()).collect();
        assert_eq!(created, [20, 10]);
        for id in [one, output] {
            known.take(&entry(key(id), Op::Delete, ""));
        }
        known.take(&entry("no id".into(), Op::Put, "{}"));
        assert_eq!((known.uploads.len(), known.deleted.contains(&output)), (1, true));
        assert_eq!([1, 2, 3].map(|n| known.made(Uuid::from_u128(n)).map(Timestamp::get)), [Some(10), Some(20), None]);
    }
}
