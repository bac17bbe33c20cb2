//! Folds the whole log and holds the bucket against it. It may run beside a projector: a value is replaced only if it
//! is still the one that was compared.
use super::{
    Error, health,
    stored::{self, Mark, Written},
};
use crate::{
    bus::{Bucket, Bus},
    clock,
    log::{Folded, Keep, Log},
};
use domain::JobId;
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
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jobs, events, same, rewritten } = self;
        write!(f, "{events} events, {jobs} jobs: {same} statuses stood as the log has them, {rewritten} were rewritten")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Rewritten,
}

struct Rebuild {
    bucket: Bucket,
    marks: HashMap<JobId, Mark>,
    running: FuturesUnordered<BoxFuture<'static, Result<Outcome, Error>>>,
    report: Report,
}

/// Brings every job's status to what the log says.
pub async fn rebuild(bus: &Bus) -> Result<Report, Error> {
    health::ensure_bucket(bus, &[]).await?;
    let marks = stored::load(bus).await?;
    let last = stored::check(bus, &marks).await?;
    let mut log = Log::open_with(bus, Keep::All).await?;
    let (bucket, running) = (bus.bucket(bucket::STATUS), FuturesUnordered::new());
    let mut rebuild = Rebuild { bucket, marks, running, report: Report::default() };
    while log.seq() < last && !log.caught_up() {
        let change = log.next().await?;
        rebuild.report.events += 1;
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
        let mark = self.marks.get(&folded.job.id);
        if mark.is_some_and(|mark| mark.is(folded)) {
            self.report.same += 1;
            return Ok(());
        }
        let rev = mark.map_or(0, |mark| mark.rev);
        self.running.push(replace(self.bucket.clone(), folded.clone(), rev).boxed());
        self.wait(RUNNING_MAX).await
    }

    async fn wait(&mut self, most: usize) -> Result<(), Error> {
        while self.running.len() > most {
            match self.running.next().await.transpose()? {
                Some(Outcome::Rewritten) => self.report.rewritten += 1,
                Some(Outcome::Same) | None => self.report.same += 1,
            }
        }
        Ok(())
    }
}

/// Replaces a value that is older than the fold. A newer one is the projector's, which is ahead of us.
async fn replace(bucket: Bucket, folded: Folded, rev: u64) -> Result<Outcome, Error> {
    let (value, _) = stored::value(&folded, clock::now(), None);
    Ok(match stored::put(&bucket, folded.job.id, value, rev).await? {
        Written::Ours { .. } => Outcome::Rewritten,
        Written::Theirs(_) => Outcome::Same,
    })
}
