//! Records of who did what, in AUDIT.
use crate::bus::{Bus, Delivery, ReadError};
use domain::{
    JobId, Tenant, Timestamp,
    audit::{Entry, What},
    command::CommandKind,
};
use wire::{Filter, Message, Subject, stream::AUDIT};

/// Stores a record; the same `id` again is the same one. What it tells of is done: where it cannot be stored, the log of
/// this process has it.
pub async fn tell(bus: &Bus, entry: &Entry, id: impl std::fmt::Display) {
    let Entry { tenant, what, job, .. } = *entry;
    let json = serde_json::to_vec(entry).expect("a record is plain JSON");
    let message = Message::new(Subject::Audit { tenant, what, job }, json).id(format!("audit:{id}"));
    // A full stream must hold nobody up: what is deleted makes room.
    if let Err(error) = bus.offer(message).await {
        let (by, on) = (entry.by.as_ref().map(|by| by.key), entry.on.as_deref());
        tracing::error!(%error, %tenant, what = what.as_str(), ?job, ?by, from = %entry.from, on, "a record is not stored");
    }
}

/// The same of what a message brought about that came past the doors. What came by them, they record.
pub async fn past(bus: &Bus, delivery: &Delivery, what: What, job: JobId) {
    let Some(tenant) = teller(&delivery.subject) else { return };
    let entry = Entry { job: Some(job), ..Entry::by_nats(what, tenant, Timestamp::new(delivery.stored_ms)) };
    tell(bus, &entry, format!("past:{}", delivery.seq)).await;
}

/// Whose a message is, as far as NATS saw to it. None: a door's.
fn teller(subject: &str) -> Option<Tenant> {
    match subject.parse().ok()? {
        Subject::Submit | Subject::Control => Some(Tenant::DEFAULT),
        Subject::SubmitOf(tenant) | Subject::ControlOf(tenant) => Some(tenant),
        _ => None,
    }
}

/// What a command does.
pub const fn what(kind: CommandKind) -> What {
    match kind {
        CommandKind::Cancel => What::Cancel,
        CommandKind::Pause => What::Pause,
        CommandKind::Resume => What::Resume,
        CommandKind::Deadline => What::Deadline,
        CommandKind::Priority => What::Priority,
        CommandKind::Retry => What::Retry,
        CommandKind::Delete => What::Delete,
    }
}

/// Which records are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query {
    pub tenant: Option<Tenant>,
    pub job: Option<JobId>,
    /// Stored then or later, in milliseconds since 1970.
    pub since_ms: u64,
    /// Those behind this one.
    pub after: u64,
    pub limit: usize,
}

/// Records with their numbers, the oldest first, and whether there are more. One of a newer jetbatch is left out.
pub async fn read(bus: &Bus, query: &Query) -> Result<(Vec<(u64, Entry)>, bool), ReadError> {
    let filter = Filter::Audit { tenant: query.tenant, job: query.job };
    // Whoever names a record that never was is not waited for: a reader would take the stream for one that is behind.
    if query.after > 0 && bus.last_seq(AUDIT).await? < query.after {
        return Ok((Vec::new(), false));
    }
    let mut reader = match query.after {
        0 => bus.read_since(AUDIT, &filter, query.since_ms).await?,
        after => bus.read(AUDIT, &filter, after + 1).await?,
    };
    let mut found = Vec::new();
    while !reader.caught_up() {
        let raw = reader.next().await?;
        if raw.time_ms < query.since_ms {
            continue;
        }
        if found.len() == query.limit {
            return Ok((found, true));
        }
        found.extend(serde_json::from_slice(&raw.payload).ok().map(|entry| (raw.seq, entry)));
    }
    Ok((found, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_past_the_doors_is_whose_its_subject_says() {
        let (job, blue) = (JobId::keyed("blue", "k"), "blue".parse().unwrap());
        for (subject, tenant) in [
            (Subject::Submit, Some(Tenant::DEFAULT)),
            (Subject::Control, Some(Tenant::DEFAULT)),
            (Subject::SubmitOf(blue), Some(blue)),
            (Subject::ControlOf(blue), Some(blue)),
            (Subject::SubmitJob(job), None),
            (Subject::ControlJob(job), None),
        ] {
            assert_eq!(teller(&subject.to_string()), tenant, "{subject}");
        }
    }
}
