//! What is done when the bucket lost its values: those of active jobs come back at once, the others with a fold beside
//! the projector's own.
use super::{PAUSE, rebuild, run::Projector};
use crate::bus::Bus;
use std::future::pending;
use tokio_util::task::AbortOnDropHandle;

#[derive(Default)]
pub struct Repair(Option<AbortOnDropHandle<u64>>);

impl Repair {
    /// Gives how many jobs the bucket holds, once they are all there again.
    pub async fn done(&mut self) -> u64 {
        let Some(task) = &mut self.0 else { return pending().await };
        let jobs = task.await;
        self.0 = None;
        // A task that panicked counted nothing.
        jobs.unwrap_or(0)
    }
}

impl Projector {
    pub fn restore(&mut self) {
        tracing::warn!("the bucket 'status' was lost; it is written anew");
        for job in self.table.ids() {
            let entry = self.table.entry(job);
            entry.stored = false;
            entry.rev = 0;
            entry.write.dirty = true;
            self.queue(job, None);
        }
        self.repair = Repair(Some(AbortOnDropHandle::new(tokio::spawn(repair(self.shared.bus.clone())))));
    }

    /// From here on the bucket holds at least these jobs. Whatever of them is active is among them, so its next write
    /// adds no key.
    pub fn repaired(&mut self, jobs: u64) {
        self.table.iter_mut().for_each(|(_, entry)| entry.stored = true);
        self.health.set_keys(jobs);
    }
}

async fn repair(bus: Bus) -> u64 {
    loop {
        match rebuild::rebuild(&bus).await {
            Ok(report) => {
                tracing::info!(jobs = report.jobs, rewritten = report.rewritten, "the bucket 'status' is whole again");
                return report.jobs;
            }
            Err(error) if error.is_final() => {
                tracing::error!(error = &error as &dyn std::error::Error, "the bucket 'status' cannot be restored");
                return 0;
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the repair begins anew"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
