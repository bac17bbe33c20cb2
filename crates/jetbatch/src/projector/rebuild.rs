//! Folds the whole log and holds the bucket against it. It may run beside a projector: a value is replaced only if it
//! is still the one that was compared.
use super::{
    Error, health,
    stored::{self, StoredVersion, Value, Written},
};
use crate::{
    bus::{Bucket, Bus},
    clock,
    log::{Folded, Keep, Log},
};
use domain::{Event, JobId, status::Outlook};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::collections::HashMap;
use wire::bucket;

/// Writes under way at once.
const RUNNING_MAX: usize = 64;

/// What a rebuild found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub jobs: u64,
    pub events: u64,
    /// Statuses that stood as the log has them, byte for byte.
    pub same: u64,
    pub rewritten: u64,
    /// Statuses of deleted jobs that still stood.
    pub removed: u64,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jobs, events, same, rewritten, removed } = self;
        write!(
            f,
            "{events} events, {jobs} jobs: {same} statuses stood as the log has them, {rewritten} were rewritten"
        )?;
        if *removed > 0 { write!(f, ", {removed} of deleted jobs were removed") } else { Ok(()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Rewritten,
    /// The job is deleted, and there is no status of it.
    Absent,
}

struct Rebuild {
    bus: Bus,
    bucket: Bucket,
    versions: HashMap<JobId, StoredVersion>,
    running: FuturesUnordered<BoxFuture<'static, Result<Outcome, Error>>>,
    report: Report,
}

/// Brings every job's status to what the log says.
pub async fn rebuild(bus: &Bus) -> Result<Report, Error> {
    health::ensure_bucket(bus, &[]).await?;
    let versions = stored::load(bus).await?;
    let last = stored::check(bus, &versions).await?;
    fill(bus, bus.bucket(bucket::STATUS), versions, last).await
}

/// Brings a bucket, whose values are known by their `versions`, to what the log says up to `last`.
pub async fn fill(
    bus: &Bus,
    bucket: Bucket,
    versions: HashMap<JobId, StoredVersion>,
    last: u64,
) -> Result<Report, Error> {
    let mut log = Log::open_with(bus, Keep::All).await?;
    let running = FuturesUnordered::new();
    let mut rebuild = Rebuild { bus: bus.clone(), bucket, versions, running, report: Report::default() };
    while log.seq() < last && !log.caught_up() {
        let change = log.next().await?;
        rebuild.report.events += 1;
        if let Event::JobDeleted(_) = change.event {
            rebuild.delete(change.job).await?;
        }
        if log.job(&change.job).is_some_and(|folded| folded.job.is_terminal()) {
            rebuild.end(&mut log, change.job).await?;
        }
    }
    for folded in log.jobs() {
        rebuild.compare(folded).await?;
    }
    rebuild.wait(0).await?;
    Ok(rebuild.report)
}

impl Rebuild {
    /// Jobs that ended are compared and dropped on the way, so that only active ones are held.
    async fn end(&mut self, log: &mut Log, job: JobId) -> Result<(), Error> {
        if let Some(folded) = log.job(&job) {
            self.compare(folded).await?;
        }
        log.forget(&job);
        Ok(())
    }

    async fn compare(&mut self, folded: &Folded) -> Result<(), Error> {
        self.report.jobs += 1;
        let version = self.versions.get(&folded.job.id);
        if version.is_some_and(|version| version.is(folded)) {
            self.report.same += 1;
            return Ok(());
        }
        let rev = version.map_or(0, |version| version.rev);
        let (bus, bucket) = (self.bus.clone(), self.bucket.clone());
        self.running.push(replace(bus, bucket, folded.clone(), rev).boxed());
        self.wait(RUNNING_MAX).await
    }

    /// What was compared of it before is in the bucket, or was passed over, when this is done.
    async fn delete(&mut self, job: JobId) -> Result<(), Error> {
        self.wait(0).await?;
        let state = stored::remove(&self.bucket, job).await?;
        self.report.jobs = self.report.jobs.saturating_sub(1);
        self.report.removed += u64::from(state.is_some());
        Ok(())
    }

    async fn wait(&mut self, most: usize) -> Result<(), Error> {
        while self.running.len() > most {
            match self.running.next().await.transpose()? {
                Some(Outcome::Rewritten) => self.report.rewritten += 1,
                Some(Outcome::Same) => self.report.same += 1,
                Some(Outcome::Absent) | None => {}
            }
        }
        Ok(())
    }
}

/// Replaces a value that is older than the fold. A newer one is the projector's, which is ahead of us.
async fn replace(bus: Bus, bucket: Bucket, folded: Folded, rev: u64) -> Result<Outcome, Error> {
    let value = Value::of(&folded, clock::now(), Outlook::default());
    Ok(match stored::put(&bus, &bucket, folded.job.id, value, rev).await? {
        Written::Ours { .. } => Outcome::Rewritten,
        Written::Theirs(_) => Outcome::Same,
        Written::Nothing => Outcome::Absent,
    })
}
