//! A payload is refused, or it is what its writer meant: written again and read again it is the same, and it cannot
//! make its reader count for ever.
use domain::{Event, JobId, event, limits::CHUNK_REQUESTS_MAX};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use wire::{DeadChunk, Heartbeat, Results, SlaAlert, StoredStatus, Subject, Work, envelope};

pub fn holds(data: &[u8]) {
    if let Ok(event) = envelope::read_event(None, data) {
        addressed(&event);
        same("event", &event);
    }
    if let Ok(work) = envelope::decode::<Work>("work", data) {
        assert!(work.indices().take(CHUNK_REQUESTS_MAX as usize + 1).count() <= CHUNK_REQUESTS_MAX as usize);
        same("work", &work);
    }
    let results = envelope::decode::<Results>("results", data);
    results.iter().for_each(|results| same("results", results));
    let dead = envelope::decode::<DeadChunk>("dead chunk", data);
    dead.iter().for_each(|dead| same("dead chunk", dead));
    version(data);
    json(data);
}

fn same<T: Serialize + DeserializeOwned + Debug>(what: &'static str, value: &T) {
    let bytes = envelope::encode(value);
    let again: T = envelope::decode(what, &bytes).expect("what was written can be read");
    // The bytes and not the values: a float may be no number, and then equals nothing.
    assert_eq!(envelope::encode(&again), bytes, "{value:?}");
}

fn addressed(event: &Event) {
    let job = JobId::keyed("", "fuzz");
    let message = envelope::event(job, event, Some("00-x"));
    let subject = if event.is_lifecycle() { Subject::JobEvent(job) } else { Subject::ChunkEvent(job) };
    assert_eq!(message.subject.parse(), Ok(subject));
    let header = |name| message.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    assert_eq!(header(envelope::TYPE), Some(event.name()));
    let again = envelope::read_event(header(envelope::VERSION), &message.payload).expect("an event");
    assert_eq!(again.name(), event.name());
}

/// Only a version that is known is read, whatever the payload.
fn version(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = text.parse().is_ok_and(|version: u32| version <= event::VERSION);
    let ended = Event::JobEnded(event::Ended::of(Default::default(), event::Outcome::Completed));
    assert_eq!(envelope::read_event(Some(text), &envelope::encode(&ended)).is_ok(), known, "version {text:?}");
}

/// What stands in buckets and alerts is JSON. Rates are floating point, which may lose a digit on the way.
fn json(data: &[u8]) {
    let heartbeat = serde_json::from_slice::<Heartbeat>(data);
    heartbeat.iter().for_each(|beat| assert_eq!(&read::<Heartbeat>(beat), beat));
    let stored = serde_json::from_slice::<StoredStatus>(data);
    stored.iter().for_each(|stored| assert_eq!(read::<StoredStatus>(stored).status, stored.status));
    let alert = serde_json::from_slice::<SlaAlert>(data);
    alert.iter().for_each(|alert| assert_eq!(read::<SlaAlert>(alert).remaining, alert.remaining));
}

fn read<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_vec(value).expect("JSON");
    serde_json::from_slice(&text).expect("what was written can be read")
}
