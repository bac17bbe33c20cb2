//! Deleted jobs: a tombstone comes after a job's end, when the job is forgotten or about to be. Its status goes, and no
//! later fold brings it back.
use super::run::Projector;
use domain::{JobId, status::State};

impl Projector {
    /// Takes a deleted job's status away, now or when the write that is under way is done.
    pub fn remove(&mut self, job: JobId) {
        match self.log.job(&job) {
            Some(_) => self.log.forget(&job),
            None => self.table.over = self.table.over.saturating_sub(1),
        }
        self.take_away(job);
    }

    pub fn take_away(&mut self, job: JobId) {
        let entry = self.table.entry(job);
        (entry.gone, entry.write.dirty) = (true, true);
        self.queue(job, None);
    }

    pub fn removed(&mut self, job: JobId, state: Option<State>) {
        if state.is_some() {
            self.health.one_key_less();
        }
        self.table.remove(&job, state);
    }

    /// The job was deleted, and its tombstone will come by: until then it counts as one that is over.
    pub fn not_wanted(&mut self, job: JobId) {
        let Some(entry) = self.table.get(&job) else { return };
        entry.write.running = false;
        if entry.gone {
            return self.queue(job, None);
        }
        self.log.forget(&job);
        self.table.remove(&job, None);
        self.table.over += 1;
    }
}
