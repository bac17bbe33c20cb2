//! An entry of DEAD as the door shows it.
use super::Entry;
use api::{Dead, DeadFailure, DeadLinks, DeadWhole, Kind};
use bytes::Bytes;

/// In a list.
pub fn brief(entry: &Entry) -> Dead {
    let (id, dead) = (entry.seq, &entry.dead);
    Dead {
        id,
        object: Kind::Dead,
        job: dead.job,
        chunk: dead.chunk.to_string(),
        pool: entry.pool.clone(),
        class: dead.class,
        reason: dead.reason.clone(),
        attempts: dead.history.len() as u64,
        requests: dead.requests,
        custom_ids: dead.custom_ids.clone(),
        died_at: entry.at.into(),
        links: DeadLinks::of(id, dead.job),
    }
}

/// Alone.
pub fn whole(entry: &Entry, lines: &Bytes) -> DeadWhole {
    let dead = &entry.dead;
    let lines = lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    DeadWhole {
        entry: brief(entry),
        model: dead.model.clone(),
        endpoint: dead.endpoint.clone(),
        history: dead.history.iter().map(DeadFailure::of).collect(),
        lines: lines.collect(),
    }
}
