//! A status as it stands in the bucket, and the one way to write it.
use super::Error;
use crate::{
    bus::{Append, Bucket, Bus, Entry, Op, ReadError},
    log::{self, Folded},
};
use bytes::Bytes;
use domain::{
    JobId, Millis,
    eta::Eta,
    status::{Live, State, Status},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use wire::{bucket, stream, work::StoredStatus};

const VERSION: u32 = 1;
/// Conflicts in a row at one write. Between two of them somebody else wrote the same job's status.
const TRIES_MAX: usize = 16;

/// What is remembered of a stored status: enough to see whether a fold comes to the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub seq: u64,
    /// Of the folded part's bytes.
    hash: blake3::Hash,
    pub state: State,
    pub live: Live,
    /// The revision to write against; 0 where none is known.
    pub rev: u64,
}

/// What stands after a write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Written {
    Ours {
        rev: u64,
    },
    /// Another's status, which says the same or comes of more events.
    Theirs(Mark),
    /// Nothing: the job's tombstone stands.
    Nothing,
}

/// The stored value with its folded part as bytes, so that equal means equal byte for byte.
#[derive(Deserialize)]
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

impl Mark {
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
        let status = serde_json::to_vec(&Status::of(&folded.job)).unwrap_or_default();
        self.seq == folded.seq && self.hash == blake3::hash(&status)
    }
}

/// The value for a fold, and its clock-dependent part.
pub fn value(folded: &Folded, now: Millis, eta: Option<Eta>) -> (Bytes, Live) {
    let status = Status::of(&folded.job);
    let live = status.live(now, eta);
    let stored = StoredStatus { v: VERSION, seq: folded.seq, status, live };
    (serde_json::to_vec(&stored).expect("a status is plain JSON").into(), live)
}

/// What the bucket holds; nothing where there is none.
pub async fn load(bus: &Bus) -> Result<HashMap<JobId, Mark>, ReadError> {
    load_of(&bus.bucket(bucket::STATUS)).await
}

pub async fn load_of(bucket: &Bucket) -> Result<HashMap<JobId, Mark>, ReadError> {
    let mut marks = HashMap::new();
    let mut watch = match bucket.watch(">").await {
        Err(ReadError::NoStream { .. }) => return Ok(marks),
        watch => watch?,
    };
    while !watch.caught_up() {
        let entry = watch.next().await?;
        if let (Ok(job), Some(mark)) = (entry.key.parse(), Mark::of(&entry)) {
            marks.insert(job, mark);
        }
    }
    Ok(marks)
}

/// Writes a status against the revision that is known of it: one round trip, unless another wrote. A status never goes
/// back: one of more events stands, whoever is late with one of fewer. Nor does one come back that was deleted.
pub async fn put(bus: &Bus, bucket: &Bucket, job: JobId, value: Bytes, mut rev: u64) -> Result<Written, Error> {
    let key = job.to_string();
    let is_over = Mark::read(&value, 0).is_some_and(|mark| mark.state.is_terminal());
    for _ in 0..TRIES_MAX {
        // Only of a job that ended there is a tombstone, and only where no status is known may it have done its work.
        if is_over && rev == 0 && log::is_deleted(bus, job).await? {
            return Ok(Written::Nothing);
        }
        if let Append::Stored(rev) = bucket.update(&key, value.clone(), rev).await? {
            return Ok(Written::Ours { rev });
        }
        let held = bucket.last(&key).await?;
        if let Some(mark) = held.as_ref().and_then(|held| theirs(held, &value)) {
            return Ok(Written::Theirs(mark));
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
            return Ok(Mark::of(&held).map(|mark| mark.state));
        }
    }
    Err(Error::Contended { job })
}

/// Where theirs is ahead, its revision is not told: who is behind must not write against it, but compare again.
fn theirs(held: &Entry, ours: &[u8]) -> Option<Mark> {
    let ours = Mark::read(ours, 0)?;
    let held = Mark::of(held).filter(|held| held.stands(&ours))?;
    Some(Mark { rev: if held.seq > ours.seq { 0 } else { held.rev }, ..held })
}

/// What is stored cannot be newer than the log it was folded from. `marks` were read before this.
pub async fn check(bus: &Bus, marks: &HashMap<JobId, Mark>) -> Result<u64, Error> {
    let most = marks.values().map(|mark| mark.seq).max().unwrap_or(0);
    let last = bus.settled(stream::EVENTS, most, None).await?.last_seq;
    match marks.iter().find(|(_, mark)| mark.seq > last) {
        Some((job, mark)) => Err(Error::LogLost { job: *job, seq: mark.seq, last }),
        None => Ok(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(op: Op, value: &str) -> Entry {
        Entry { key: "j".into(), value: value.to_owned().into(), rev: 9, op, time_ms: 0, pending: 0 }
    }

    fn value(seq: u64, state: &str) -> String {
        format!(r#"{{"v":1,"seq":{seq},"status":{{"state":"{state}"}},"live":{{}}}}"#)
    }

    #[test]
    fn a_status_gives_way_to_one_of_more_events_only() {
        let ours = value(5, "in_progress");
        assert!(Mark::read(ours.as_bytes(), 0).is_some_and(|mark| mark.state == State::InProgress));
        for (held, stands) in [
            (entry(Op::Put, &value(6, "completed")), true),
            (entry(Op::Put, &value(5, "in_progress")), true),
            (entry(Op::Put, &value(5, "paused")), false),
            (entry(Op::Put, &value(4, "in_progress")), false),
            (entry(Op::Put, "no status"), false),
            (entry(Op::Delete, ""), false),
        ] {
            assert_eq!(theirs(&held, ours.as_bytes()).is_some(), stands, "{held:?}");
        }
    }

    #[test]
    fn who_is_behind_learns_no_revision_to_write_against() {
        let (old, new) = (value(5, "in_progress"), value(6, "completed"));
        assert_eq!(theirs(&entry(Op::Put, &new), new.as_bytes()).unwrap().rev, 9);
        assert_eq!(theirs(&entry(Op::Put, &new), old.as_bytes()).unwrap().rev, 0);
    }
}
