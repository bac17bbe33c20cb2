//! What a projector that begins in the middle of the log takes from the snapshot, and from the bucket for jobs that
//! ended before it.
use super::{Error, run::Projector, snapshots::Notes, stored::StoredVersion, table::JobTable};
use crate::log::{Change, Keep, Log, Resumed};
use domain::{Event, JobId, forecast::Owed, status::State};
use std::collections::{HashMap, HashSet};

/// Jobs that ended before the snapshot and have no status in the bucket, though they were written: the bucket was lost
/// since. A job that was deleted since is none of them.
#[derive(Default)]
pub struct Missing {
    count: u64,
    /// Jobs that ended since.
    ended: HashSet<JobId>,
}

impl Missing {
    pub const fn any(&self) -> bool {
        self.count > 0
    }

    /// Notes an event that is about to be folded.
    pub fn see(&mut self, change: &Change, log: &Log, versions: &HashMap<JobId, StoredVersion>) {
        let job = change.job;
        match &change.event {
            Event::JobEnded(_) | Event::JobRejected(_) if self.any() => drop(self.ended.insert(job)),
            Event::JobDeleted(_) => {
                let was_over = log.job(&job).is_none() && !self.ended.contains(&job);
                let is_counted = was_over && !versions.contains_key(&job);
                self.count = self.count.saturating_sub(u64::from(is_counted));
            }
            _ => {}
        }
    }
}

impl Projector {
    /// Brings table and foresight to where the log begins, and says what the bucket should have and has not.
    pub async fn resume(&mut self, versions: &HashMap<JobId, StoredVersion>) -> Result<Missing, Error> {
        let Some(Resumed { seq, notes }) = self.log.resumed().cloned() else { return Ok(Missing::default()) };
        let Ok(notes) = wire::envelope::decode::<Notes>("note of the projector", &notes) else {
            tracing::warn!("the snapshot's notes cannot be read; the log is read from its first event");
            self.log = Log::open_with(&self.shared.bus, Keep::All).await?;
            return Ok(Missing::default());
        };
        let Some(usage) = notes.usage else {
            tracing::info!("the snapshot is of before usage was counted; the log is read from its first event");
            self.log = Log::open_with(&self.shared.bus, Keep::All).await?;
            return Ok(Missing::default());
        };
        (self.table.over, self.foresight, self.usage) = (notes.over, notes.foresight, usage);
        self.foresight.resume(&self.log);
        for folded in self.log.jobs() {
            adopt(&mut self.table, &folded.job);
        }
        let is_over = |job: &JobId, version: &StoredVersion| {
            version.seq <= seq && version.state.is_terminal() && self.log.job(job).is_none()
        };
        let over: Vec<_> = versions.iter().filter(|(job, version)| is_over(job, version)).collect();
        over.iter().for_each(|(_, version)| self.table.count(version.state));
        let found = over.iter().filter(|(job, _)| !notes.gone.contains(job)).count() as u64;
        notes.gone.into_iter().for_each(|job| self.take_away(job));
        Ok(Missing { count: notes.over.saturating_sub(found), ended: HashSet::new() })
    }
}

fn adopt(table: &mut JobTable, job: &domain::Job) {
    table.entry(job.id).owed = Owed::of(job);
    table.state(job.id, State::of(job));
}
