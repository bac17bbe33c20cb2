//! How long cancelled jobs have waited for their answers to be written. Only time in which somebody looked counts, and
//! little of it at a look: a head that was frozen, or cut off from NATS, gives no job up for that.
use super::Moment;
use crate::{Job, JobId};
use std::collections::BTreeMap;

/// Without any step, a cancelled job ends without its files after so long.
const WAIT_MS: u64 = 15_000;
/// Files of so many bytes may take a second more.
const BYTES_PER_S: u64 = 8 << 20;
const LOOK_MS_MAX: u64 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Patience {
    waits: BTreeMap<JobId, u64>,
    looked: Moment,
}

impl Patience {
    /// Something happened to the job: if it waits, it does so anew.
    pub fn moved(&mut self, id: JobId, job: Option<&Job>) {
        if job.is_some_and(|job| job.is_cancelled() && !job.is_written()) {
            self.waits.insert(id, 0);
        } else {
            self.waits.remove(&id);
        }
    }

    pub fn look(&mut self, now: Moment) {
        let passed = now.get().saturating_sub(self.looked.get()).min(LOOK_MS_MAX);
        self.looked = now;
        self.waits.values_mut().for_each(|waited| *waited += passed);
    }

    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Jobs that waited for as long as the smallest may.
    pub fn over(&self) -> impl Iterator<Item = (JobId, u64)> + '_ {
        self.waits.iter().map(|(job, waited)| (*job, *waited)).filter(|(_, waited)| *waited >= WAIT_MS)
    }
}

pub(super) fn is_over(job: &Job, waited: u64) -> bool {
    waited >= WAIT_MS + job.unwritten_bytes().saturating_mul(1_000) / BYTES_PER_S
}
