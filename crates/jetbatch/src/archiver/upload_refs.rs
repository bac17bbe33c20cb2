//! What the log says of the things that jobs leave: who names which upload, and which jobs were deleted. Pure.
use crate::paths::{self, Place, UploadRef};
use domain::{
    Event, JobId,
    event::{Input, Submitted},
};
use std::collections::{HashMap, HashSet};

/// Two jobs may name one upload: it goes with the last of them. A job that was rejected names its upload, too, but does
/// not hold it.
#[derive(Debug, Default)]
pub struct UploadRefs {
    claims: HashMap<JobId, Claim>,
    /// How many jobs hold an upload.
    held: HashMap<UploadRef, u32>,
    /// Uploads whose last job was deleted, until they are seen to be gone.
    freed: HashSet<UploadRef>,
    /// Jobs that were deleted, until nothing of them is seen any more.
    deleted: HashSet<JobId>,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    upload: UploadRef,
    holds: bool,
}

impl UploadRefs {
    /// Takes in an event that is legal for its job.
    pub fn note(&mut self, job: JobId, event: &Event) {
        match event {
            Event::JobSubmitted(submitted) => self.submitted(job, submitted),
            Event::JobRejected(_) => self.rejected(job),
            Event::JobDeleted(_) => self.delete(job),
            Event::JobPlanned(_)
            | Event::JobPaused(_)
            | Event::JobResumed(_)
            | Event::DeadlineMoved(_)
            | Event::PriorityChanged(_)
            | Event::JobClosing(_)
            | Event::JobEnded(_)
            | Event::SegmentPlanned(_)
            | Event::ChunkDone(_)
            | Event::ChunkFailed(_)
            | Event::ChunkLost(_)
            | Event::SegmentArchived(_)
            | Event::OutputWritten(_) => {}
        }
    }

    /// Whether a job that is neither rejected nor deleted names it.
    pub fn is_held(&self, upload: UploadRef) -> bool {
        self.held.contains_key(&upload)
    }

    /// Whether it went with the last job that named it.
    pub fn is_freed(&self, upload: UploadRef) -> bool {
        self.freed.contains(&upload) && !self.is_held(upload)
    }

    pub fn is_deleted(&self, job: JobId) -> bool {
        self.deleted.contains(&job)
    }

    /// The upload that a job names.
    pub fn upload(&self, job: JobId) -> Option<UploadRef> {
        self.claims.get(&job).map(|claim| claim.upload)
    }

    /// What is not there any more need not be remembered. `jobs` and `uploads` are what was found since.
    pub fn forget(&mut self, is_job_left: impl Fn(&JobId) -> bool, is_upload_left: impl Fn(&UploadRef) -> bool) {
        self.deleted.retain(is_job_left);
        self.freed.retain(is_upload_left);
    }

    fn submitted(&mut self, job: JobId, submitted: &Submitted) {
        let Input::Stored(path) = &submitted.input else { return };
        let Some(Place::Upload(upload)) = paths::place(path) else { return };
        if self.claims.insert(job, Claim { upload, holds: true }).is_none() {
            *self.held.entry(upload).or_default() += 1;
        }
    }

    fn rejected(&mut self, job: JobId) {
        let Some(claim) = self.claims.get_mut(&job) else { return };
        if std::mem::take(&mut claim.holds) {
            let upload = claim.upload;
            self.release(upload);
        }
    }

    fn delete(&mut self, job: JobId) {
        self.deleted.insert(job);
        let Some(claim) = self.claims.remove(&job) else { return };
        if claim.holds {
            self.release(claim.upload);
        }
        self.freed.insert(claim.upload);
    }

    fn release(&mut self, upload: UploadRef) {
        if let Some(count) = self.held.get_mut(&upload) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&upload);
            }
        }
    }
}
