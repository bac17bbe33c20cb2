//! Folds the whole log into a second bucket and holds `status` against it, byte for byte. It may run beside a projector,
//! and changes nothing.
use super::{
    Error, rebuild,
    stored::{self, StoredVersion},
};
use crate::{bus::Bus, log};
use domain::JobId;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::{bucket, stream::EVENTS};

/// How long a status that differs is watched: a projector may be about to write it.
const WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
/// Jobs looked at again at a time.
const AGAIN_MAX: usize = 16;

/// How `status` compares with a fold of the whole log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub events: u64,
    /// Jobs whose status is the fold's, byte for byte.
    pub same: u64,
    pub differing: Vec<(JobId, Difference)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// There is no status of it that can be read.
    Missing,
    /// The log has no such job, or its deletion.
    Stray,
    Differs,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "has no status",
            Self::Stray => "has a status, and the log has no such job, or its deletion",
            Self::Differs => "has another status than the log",
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, same, differing } = self;
        for (job, difference) in differing {
            writeln!(f, "{job} {difference}")?;
        }
        let differ = differing.len();
        write!(f, "{events} events: {same} statuses are as the log has them, byte for byte, and {differ} differ")
    }
}

/// `keep`: the second bucket is left for who wants to look at it.
pub async fn compare(bus: &Bus, keep: bool) -> Result<Comparison, Error> {
    let last = bus.last_seq(EVENTS).await?;
    let second = bus.copy_bucket(bucket::STATUS, bucket::STATUS_REBUILT).await?;
    let found = async {
        let report = rebuild::fill(bus, second.clone(), HashMap::new(), last).await?;
        let (held, rebuilt) = (stored::load(bus).await?, stored::load_of(&second).await?);
        let (same, differing) = hold(bus, &held, &rebuilt).await?;
        Ok(Comparison { events: report.events, same, differing })
    };
    let found = found.await;
    if !keep && let Err(reason) = bus.drop_bucket(bucket::STATUS_REBUILT).await {
        tracing::warn!(reason, "the bucket '{}' stays; delete it", bucket::STATUS_REBUILT);
    }
    found
}

type StoredVersions = HashMap<JobId, StoredVersion>;

async fn hold(
    bus: &Bus,
    held: &StoredVersions,
    rebuilt: &StoredVersions,
) -> Result<(u64, Vec<(JobId, Difference)>), Error> {
    let jobs: BTreeSet<JobId> = held.keys().chain(rebuilt.keys()).copied().collect();
    let is_same = |job: &JobId| matches!((held.get(job), rebuilt.get(job)), (Some(one), Some(two)) if one.says(two));
    let suspects: Vec<JobId> = jobs.iter().filter(|job| !is_same(job)).copied().collect();
    let until = Instant::now() + WITHIN;
    let again = stream::iter(suspects.clone()).map(|job| async move { settle(bus, job, until).await });
    let again: Vec<Verdict> = again.buffered(AGAIN_MAX).try_collect().await?;
    let differing = suspects.into_iter().zip(&again).filter_map(|(job, verdict)| match verdict {
        Verdict::Differs(difference) => Some((job, *difference)),
        Verdict::Same | Verdict::Absent => None,
    });
    let settled = again.iter().filter(|verdict| **verdict == Verdict::Same).count();
    let same = jobs.iter().filter(|job| is_same(job)).count() + settled;
    Ok((same as u64, differing.collect()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    /// The job was deleted meanwhile, and so was its status.
    Absent,
    Differs(Difference),
}

/// A job that changed while the two were read is compared as it stands now.
async fn settle(bus: &Bus, job: JobId, until: Instant) -> Result<Verdict, Error> {
    loop {
        match look(bus, job).await? {
            Verdict::Differs(_) if Instant::now() < until => sleep(PAUSE).await,
            verdict => return Ok(verdict),
        }
    }
}

async fn look(bus: &Bus, job: JobId) -> Result<Verdict, Error> {
    let folded = if log::is_deleted(bus, job).await? { None } else { log::job(bus, job).await? };
    let held = bus.bucket(bucket::STATUS).last(&job.to_string()).await?;
    Ok(match (held.as_ref().and_then(StoredVersion::of), folded) {
        (Some(version), Some(folded)) if version.is(&folded) => Verdict::Same,
        (Some(_), Some(_)) => Verdict::Differs(Difference::Differs),
        (Some(_), None) => Verdict::Differs(Difference::Stray),
        (None, Some(_)) => Verdict::Differs(Difference::Missing),
        (None, None) => Verdict::Absent,
    })
}
