//! What befalls a world's jobs and workers.
use super::{
    chance::Chance,
    engine::{Engine, Model},
    run::{What, World},
    workload::Workload,
};
use domain::{JobId, Timestamp, command::Command, schedule::Crew};

/// A worker's death, or its birth, is known after so long.
const PRESENCE_MS: u64 = 3_000;

/// WORK gives a lost worker's chunks to another one.
const REDELIVER_MS: u64 = 30_000;

impl World {
    /// What befalls a job on its way.
    pub(super) fn befall(&mut self, job: JobId) {
        match self.workload {
            Workload::Urgent if self.chance.happens(0.6) => {
                let after = self.chance.between(0.0, 150_000.0) as u64;
                self.after(after, What::Urgent);
            }
            Workload::Pauses if self.chance.happens(0.6) => {
                let after = self.chance.between(5_000.0, 150_000.0) as u64;
                self.after(after, What::Pause(job));
            }
            _ => {}
        }
    }

    /// Every few jobs another model answers.
    pub(super) fn change(&mut self) {
        if self.workload == Workload::ModelChange && self.submitted > 0 && self.chance.happens(0.12) {
            self.state.lengths = self.chance.lognormal(1.0, 0.5);
            let speed = self.chance.lognormal(1.0, 0.3);
            self.engines.iter_mut().for_each(|(_, engine)| engine.speed = speed);
        }
    }

    pub(super) fn fade(&mut self) {
        if self.fades {
            self.slope = if self.chance.happens(0.5) { -self.chance.between(0.02, 0.06) } else { 0.0 };
            self.engines.iter_mut().for_each(|(_, engine)| engine.speed = 1.0);
        }
    }

    /// Every ten seconds: speeds drift, workers die and are born.
    pub(super) fn drift(&mut self) {
        if self.workload == Workload::Drift || self.fades {
            if !self.fades && self.chance.happens(0.03) {
                self.slope = self.chance.between(-0.01, 0.01);
            }
            for (_, engine) in &mut self.engines {
                engine.speed = (engine.speed * self.slope.exp()).clamp(0.4, 1.6);
            }
        }
        if self.workload == Workload::Workers {
            let count = self.engines.len();
            if count > 1 && self.chance.happens(0.03) {
                self.after(1, What::Die);
            }
            if count < 8 && self.chance.happens(0.03) {
                self.after(1, What::Join);
            }
        }
    }

    pub(super) fn join(&mut self, model: Model) {
        self.serial += 1;
        let (name, chance) = (format!("w{}", self.serial), Chance::new(self.chance.next()));
        self.engines.push((name, Engine::new(model, self.now, chance)));
        self.after(PRESENCE_MS, What::Presence);
    }

    pub(super) fn die(&mut self) {
        let at = (self.chance.next() as usize) % self.engines.len();
        let (_, engine) = self.engines.remove(at);
        let mut lost: Vec<_> = engine.chunks.iter().map(|(key, run)| (*key, run.delivered + 1)).collect();
        lost.sort_unstable();
        lost.into_iter().for_each(|(key, delivered)| self.after(REDELIVER_MS, What::Redeliver(key, delivered)));
        self.after(PRESENCE_MS, What::Presence);
    }

    pub(super) fn presence(&mut self) {
        self.known = self.engines.len() as u64;
        let slots = self.engines.iter().map(|(_, engine)| engine.model.slots as u64).sum();
        self.head.crews(Crew { workers: self.known, slots }, self.now);
    }

    pub(super) fn pause(&mut self, job: JobId) {
        if self.head.book_job(job).is_none_or(|job| !job.is_wanted()) {
            return;
        }
        self.head.command(job, Command::Pause { at: Timestamp::new(self.now) }, self.now);
        self.engines.iter_mut().for_each(|(_, engine)| engine.leave(job));
        self.watched.get_mut(&job).expect("it runs").paused = Some(self.now);
        let after = self.chance.between(10_000.0, 300_000.0) as u64;
        self.after(after, What::Resume(job));
    }

    pub(super) fn resume(&mut self, job: JobId) {
        self.head.command(job, Command::Resume { at: Timestamp::new(self.now) }, self.now);
        let now = self.now;
        let watched = self.watched.get_mut(&job).expect("it is paused");
        watched.paused_ms += watched.paused.take().map_or(0, |from| now - from);
    }
}
