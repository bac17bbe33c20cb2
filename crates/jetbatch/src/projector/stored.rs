//! A status as it stands in the bucket.
use super::Error;
use crate::{
    bus::{Bus, Op, ReadError},
    log::Folded,
};
use bytes::Bytes;
use domain::{
    JobId, Millis,
    eta::{Eta, Sla},
    status::{Live, Status},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use wire::{bucket, stream, work::StoredStatus};

const VERSION: u32 = 1;

/// What is remembered of a stored status: enough to see whether a fold comes to the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub seq: u64,
    /// Of the folded part's bytes.
    hash: blake3::Hash,
    pub sla: Option<Sla>,
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

impl Mark {
    /// Nothing where the value is not one of ours: it is written anew.
    pub fn read(value: &[u8]) -> Option<Self> {
        let parts: Parts<'_> = serde_json::from_slice(value).ok()?;
        let hash = blake3::hash(parts.status.get().as_bytes());
        (parts.v == VERSION).then_some(Self { seq: parts.seq, hash, sla: parts.live.sla })
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
    let mut marks = HashMap::new();
    let mut watch = match bus.bucket(bucket::STATUS).watch(">").await {
        Err(ReadError::NoStream { .. }) => return Ok(marks),
        watch => watch?,
    };
    while !watch.caught_up() {
        let entry = watch.next().await?;
        if let (Op::Put, Ok(job), Some(mark)) = (entry.op, entry.key.parse(), Mark::read(&entry.value)) {
            marks.insert(job, mark);
        }
    }
    Ok(marks)
}

/// What is stored cannot be newer than the log it was folded from. `marks` were read before this.
pub async fn check(bus: &Bus, marks: &HashMap<JobId, Mark>) -> Result<u64, Error> {
    let last = bus.last_seq(stream::EVENTS).await?;
    match marks.iter().find(|(_, mark)| mark.seq > last) {
        Some((job, mark)) => Err(Error::LogLost { job: *job, seq: mark.seq, last }),
        None => Ok(last),
    }
}
