//! A status as it stands in the bucket, and the one way to write it.
use super::Error;
use crate::{
    bus::{Append, Bucket, Bus, Entry, Op, ReadError},
    log::{self, Folded},
};
use bytes::Bytes;
use domain::{
    JobId, Timestamp,
    status::{Live, Outlook, State, Status},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use wire::{bucket, stream};

const VERSION: u32 = 1;
/// Conflicts in a row at one write. Between two of them somebody else wrote the same job's status.
const TRIES_MAX: usize = 16;

/// What is remembered of a stored status: enough to see whether a fold comes to the same.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVersion {
    pub seq: u64,
    /// Of the folded part's bytes.
    hash: blake3::Hash,
    pub state: State,
    pub live: Live,
    /// The revision to write against; 0 where none is known.
    pub rev: u64,
}

/// What stands after a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    Ours {
        rev: u64,
    },
    /// Another's status, which says the same or comes of more events.
    Theirs(Box<StoredVersion>),
    /// Nothing: the job's tombstone stands.
    Nothing,
}

/// A status to be written: what it says is known, and not read from the bytes again.
#[derive(Debug, Clone)]
pub struct Value {
    pub bytes: Bytes,
    /// Of no revision.
    pub version: StoredVersion,
}

/// [`wire::StoredStatus`] with its folded part as bytes, so that equal means equal byte for byte.
#[derive(Serialize, Deserialize)]
struct Parts<'a> {
    v: u32,
    seq: u64,
    #[serde(borrow)]
    status: &'a RawValue,
    live: Live,
}

#[derive(Deserialize)]
struct Word {
    state: State,
}

impl StoredVersion {
    /// Nothing where the value is not one of ours: it is written anew.
    fn read(value: &[u8], rev: u64) -> Option<Self> {
        let parts: Parts<'_> = serde_json::from_slice(value).ok()?;
        let Word { state } = serde_json::from_str(parts.status.get()).ok()?;
        let hash = blake3::hash(parts.status.get().as_bytes());
        (parts.v == VERSION).then_some(Self { seq: parts.seq, hash, state, live: parts.live, rev })
    }

    pub fn of(entry: &Entry) -> Option<Self> {
        Self::read(&entry.value, entry.rev).filter(|_| entry.op == Op::Put)
    }

    /// Whether both tell the same of the same events.
    pub fn says(&self, other: &Self) -> bool {
        self.seq == other.seq && self.hash == other.hash
    }

    /// Whether it need not give way to `other`.
    fn stands(&self, other: &Self) -> bool {
        self.seq > other.seq || (self.seq == other.seq && self.hash == other.hash)
    }

    /// Whether the fold comes to the same, clock aside.
    pub fn is(&self, folded: &Folded) -> bool {
        self.seq == folded.seq && self.hash == blake3::hash(raw(folded).get().as_bytes())
    }
}

impl Value {
    /// Of a fold as it stands.
    pub fn of(folded: &Folded, now: Timestamp, outlook: Outlook<'_>) -> Self {
        let (seq, status, live) = (folded.seq, raw(folded), Live::of(&folded.job, now, outlook));
        let hash = blake3::hash(status.get().as_bytes());
        let parts = Parts { v: VERSION, seq, status: &status, live: live.clone() };
        let bytes = serde_json::to_vec(&parts).expect("a status is plain JSON").into();
        Self { bytes, version: StoredVersion { seq, hash, state: State::of(&folded.job), live, rev: 0 } }
    }
}

fn raw(folded: &Folded) -> Box<RawValue> {
    to_raw_value(&Status::of(&folded.job)).expect("a status is plain JSON")
}

/// What the bucket holds; nothing where there is none.
pub async fn load(bus: &Bus) -> Result<HashMap<JobId, StoredVersion>, ReadError> {
    load_of(&bus.bucket(bucket::STATUS)).await
}

pub async fn load_of(bucket: &Bucket) -> Result<HashMap<JobId, StoredVersion>, ReadError> {
    let mut versions = HashMap::new();
    let mut watch = match bucket.watch(">").await {
        Err(ReadError::NoStream { .. }) => return Ok(versions),
        watch => watch?,
    };
    while !watch.caught_up() {
        let entry = watch.next().await?;
        if let (Ok(job), Some(version)) = (entry.key.parse(), StoredVersion::of(&entry)) {
            versions.insert(job, version);
        }
    }
    Ok(versions)
}

/// Writes a status against the revision that is known of it: one round trip, unless another wrote. A status never goes
/// back: one of more events stands, whoever is late with one of fewer. Nor does one come back that was deleted.
pub async fn put(bus: &Bus, bucket: &Bucket, job: JobId, value: Value, mut rev: u64) -> Result<Written, Error> {
    let Value { bytes, version } = value;
    let (key, is_over) = (job.to_string(), version.state.is_terminal());
    for _ in 0..TRIES_MAX {
        // Only of a job that ended there is a tombstone, and only where no status is known may it have done its work.
        if is_over && rev == 0 && log::is_deleted(bus, job).await? {
            return Ok(Written::Nothing);
        }
        if let Append::Stored(rev) = bucket.update(&key, bytes.clone(), rev).await? {
            return Ok(Written::Ours { rev });
        }
        let held = bucket.last(&key).await?;
        if let Some(version) = held.as_ref().and_then(|held| theirs(held, &version)) {
            return Ok(Written::Theirs(Box::new(version)));
        }
        if is_over && log::is_deleted(bus, job).await? {
            return Ok(Written::Nothing);
        }
        rev = held.map_or(0, |held| held.rev);
    }
    Err(Error::Contended { job })
}

/// Takes a deleted job's status away, and says what state it told of, if there was one.
pub async fn remove(bucket: &Bucket, job: JobId) -> Result<Option<State>, Error> {
    let key = job.to_string();
    for _ in 0..TRIES_MAX {
        let Some(held) = bucket.last(&key).await?.filter(|held| held.op == Op::Put) else { return Ok(None) };
        if let Append::Stored(_) = bucket.remove(&key, held.rev).await? {
            return Ok(StoredVersion::of(&held).map(|version| version.state));
        }
    }
    Err(Error::Contended { job })
}

/// Where theirs is ahead, its revision is not told: who is behind must not write against it, but compare again.
fn theirs(held: &Entry, ours: &StoredVersion) -> Option<StoredVersion> {
    let held = StoredVersion::of(held).filter(|held| held.stands(ours))?;
    Some(StoredVersion { rev: if held.seq > ours.seq { 0 } else { held.rev }, ..held })
}

/// What is stored cannot be newer than the log it was folded from. `versions` were read before this.
pub async fn check(bus: &Bus, versions: &HashMap<JobId, StoredVersion>) -> Result<u64, Error> {
    let most = versions.values().map(|version| version.seq).max().unwrap_or(0);
    let last = bus.settled(stream::EVENTS, most, None).await?.last_seq;
    match versions.iter().find(|(_, version)| version.seq > last) {
        Some((job, version)) => Err(Error::LogLost { job: *job, seq: version.seq, last }),
        None => Ok(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        Event, Job,
        eta::Eta,
        event::{Input, Priority, Submitted},
    };
    use std::collections::BTreeMap;
    use wire::StoredStatus;

    fn entry(op: Op, value: &str) -> Entry {
        Entry { key: "j".into(), value: value.to_owned().into(), rev: 9, op, time_ms: 0, pending: 0 }
    }

    fn value(seq: u64, state: &str) -> String {
        format!(r#"{{"v":1,"seq":{seq},"status":{{"state":"{state}"}},"live":{{}}}}"#)
    }

    fn version(value: &str) -> StoredVersion {
        StoredVersion::read(value.as_bytes(), 0).unwrap()
    }

    #[test]
    fn what_is_known_of_a_value_is_what_is_read_of_it() {
        let eta = Eta { p10: Timestamp::new(1), p50: Timestamp::new(2), p90: Timestamp::new(3) };
        let value = Value::of(&folded(), Timestamp::new(9_000), Outlook { eta: Some(eta), ..Outlook::default() });
        assert_eq!(StoredVersion::read(&value.bytes, 0), Some(value.version.clone()));
        assert!(value.version.is(&folded()));
        let stored: StoredStatus = serde_json::from_slice(&value.bytes).unwrap();
        assert_eq!((stored.v, &stored.status), (VERSION, &Status::of(&folded().job)));
        assert_eq!(serde_json::to_vec(&stored).unwrap(), value.bytes, "the form of the bucket");
    }

    fn folded() -> Folded {
        let submitted = Submitted {
            fingerprint: "f".into(),
            model: Some("tiny".into()),
            metadata: BTreeMap::from([("k".into(), "v".into())]),
            priority: Priority::High,
            ..Submitted::new(Timestamp::new(5_000), Input::Inline, 1_000)
        };
        let job = Job::begin(JobId::keyed("t", "a"), &Event::JobSubmitted(submitted)).unwrap();
        Folded { job, lifecycle_seq: 7, seq: 7 }
    }

    #[test]
    fn a_status_gives_way_to_one_of_more_events_only() {
        let ours = value(5, "in_progress");
        assert_eq!(version(&ours).state, State::InProgress);
        for (held, stands) in [
            (entry(Op::Put, &value(6, "completed")), true),
            (entry(Op::Put, &value(5, "in_progress")), true),
            (entry(Op::Put, &value(5, "paused")), false),
            (entry(Op::Put, &value(4, "in_progress")), false),
            (entry(Op::Put, "no status"), false),
            (entry(Op::Delete, ""), false),
        ] {
            assert_eq!(theirs(&held, &version(&ours)).is_some(), stands, "{held:?}");
        }
    }

    #[test]
    fn who_is_behind_learns_no_revision_to_write_against() {
        let (old, new) = (value(5, "in_progress"), value(6, "completed"));
        assert_eq!(theirs(&entry(Op::Put, &new), &version(&new)).unwrap().rev, 9);
        assert_eq!(theirs(&entry(Op::Put, &new), &version(&old)).unwrap().rev, 0);
    }
}
