//! What belongs to nobody any more: the rules. Pure.
use super::upload_refs::UploadRefs;
use crate::config::Age;
use domain::{Job, JobId, Millis};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Something to remove. Doing it twice is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chore {
    /// All that a deleted job left, but for an upload.
    Job(JobId),
    Upload(Uuid),
    /// What a job that ended left beside its files: parts, and late results.
    Rest(JobId),
    /// The results and request parts of an archived segment.
    Segment(JobId, u32),
}

/// What lies in the store and the streams.
#[derive(Debug, Default)]
pub struct Found {
    /// When the first of it was looked at.
    pub at: Millis,
    /// The last event stored when all of it was seen. Who has folded less knows too little to judge it.
    pub until: u64,
    pub jobs: BTreeMap<JobId, Traces>,
    pub uploads: BTreeMap<Uuid, Millis>,
}

/// What there is of a job.
#[derive(Debug, Default)]
pub struct Traces {
    pub parts: bool,
    /// Segments with messages in RESULTS.
    pub segments: BTreeSet<u32>,
}

impl Found {
    pub fn of(&mut self, job: JobId) -> &mut Traces {
        self.jobs.entry(job).or_default()
    }
}

/// What is to be removed. `active` finds a job unless it has ended, and unless there is none.
pub fn orphans<'a>(
    found: &Found,
    upload_refs: &UploadRefs,
    uploads: Age,
    active: impl Fn(&JobId) -> Option<&'a Job>,
) -> Vec<Chore> {
    let mut chores = Vec::new();
    for (&job, traces) in &found.jobs {
        match active(&job) {
            Some(active) => chores.extend(late(active, traces)),
            None if upload_refs.is_deleted(job) => chores.push(Chore::Job(job)),
            None if traces.parts || !traces.segments.is_empty() => chores.push(Chore::Rest(job)),
            None => {}
        }
    }
    let before = uploads.before(found.at);
    let is_old = |written: Millis| before.is_some_and(|before| written <= before);
    let gone = |(upload, written): (&Uuid, &Millis)| {
        let is_orphan = upload_refs.is_freed(*upload) || (!upload_refs.is_held(*upload) && is_old(*written));
        is_orphan.then_some(Chore::Upload(*upload))
    };
    chores.extend(found.uploads.iter().filter_map(gone));
    chores
}

/// Segments of an active job that are archived and have results all the same.
fn late<'a>(job: &'a Job, traces: &'a Traces) -> impl Iterator<Item = Chore> + 'a {
    let late = traces.segments.iter().filter(|segment| is_late(job, **segment));
    late.map(|segment| Chore::Segment(job.id, *segment))
}

/// Whether the results of a segment are of no use any more.
pub fn is_late(job: &Job, segment: u32) -> bool {
    job.planned.is_some() && !job.open.contains_key(&segment)
}

#[cfg(test)]
mod tests;
