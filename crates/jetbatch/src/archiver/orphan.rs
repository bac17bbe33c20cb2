//! What belongs to nobody any more: the rules. Pure.
use super::upload_refs::UploadRefs;
use crate::{config::Age, paths::UploadRef};
use domain::{Job, JobId, Timestamp, archive::is_late};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Something to remove. Doing it twice is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chore {
    /// All that a deleted job left, but for an upload.
    Job(JobId),
    Upload(UploadRef),
    /// What a job that ended left beside its files: parts, and late results.
    Rest(JobId),
    /// The results of a job that was written in its place: it has no parts.
    Results(JobId),
    /// The results and request parts of an archived segment.
    Segment(JobId, u32),
}

/// What lies in the store and the streams.
#[derive(Debug, Default)]
pub struct Found {
    /// When the first of it was looked at.
    pub at: Timestamp,
    /// The last event stored when all of it was seen. Who has folded less knows too little to judge it.
    pub until: u64,
    pub jobs: BTreeMap<JobId, Traces>,
    pub uploads: BTreeMap<UploadRef, Timestamp>,
    /// Those among them that nobody may ask for any more.
    pub unwanted: BTreeSet<Uuid>,
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
    let is_old = |written: Timestamp| before.is_some_and(|before| written <= before);
    let is_over = |upload: &UploadRef, written| is_old(written) || found.unwanted.contains(&upload.id);
    let gone = |(upload, written): (&UploadRef, &Timestamp)| {
        let is_orphan = upload_refs.is_freed(*upload) || (!upload_refs.is_held(*upload) && is_over(upload, *written));
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

#[cfg(test)]
mod tests;
