//! What depends on the clock: rates, ETA, and a job's standing against its deadline.
use super::{
    alert::{self, Told},
    run::Projector,
    writer::Before,
};
use crate::clock;
use domain::{
    Job, JobId, Pool, Timestamp,
    alarm::Seen,
    eta::{Eta, Sla},
    status::{self, Live, State},
};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is computed anew.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Statuses written at one refresh for their clock-dependent part alone, the longest unwritten first: what events left
/// to be written, and no fewer than these.
const REFRESHES_MIN: usize = 20;

impl Projector {
    /// Tells a step in a job's standing against its deadline.
    pub fn alert(&mut self, job: JobId) {
        let now = clock::now();
        if let Some(live) = self.live(job, now) {
            self.alert_of(job, &live, now);
        }
    }

    fn live(&self, job: JobId, now: Timestamp) -> Option<Live> {
        let (folded, entry) = (self.log.job(&job)?, self.table.peek(&job)?);
        Some(Live::of(&folded.job, now, entry.outlook()))
    }

    fn alert_of(&mut self, job: JobId, live: &Live, now: Timestamp) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.table.get(&job)) else { return };
        let is_news = |sla: &Sla| !entry.alerting && alert::is_news(entry.alerted, *sla);
        let Some((sla, alarm)) = live.sla.filter(is_news).and_then(|sla| Some((sla, alert::end(sla)?))) else { return };
        if !entry.stored && !alert::is_recent(status::ended_at(&folded.job), now) {
            return;
        }
        entry.alerting = true;
        let before = Before::End(entry.alerted.replace(sla));
        let told = Told::end(alarm, entry, now);
        told.log(folded);
        self.shared.metrics.alarmed(alarm);
        self.writer.alert(job, before, told.message(folded));
    }

    /// Tells that a job is at risk, or is no longer.
    fn watch_of(&mut self, job: JobId, now: Timestamp) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.table.get(&job)) else { return };
        let deadline = folded.job.deadline;
        if entry.alerting || now > deadline || !alert::is_open(State::of(&folded.job)) {
            return;
        }
        let before = entry.watch.clone();
        let seen = Seen { now, deadline, reading: entry.reading.as_ref(), stalled: entry.stalled.as_ref() };
        let Some(alarm) = entry.watch.see(&seen) else { return };
        entry.alerting = true;
        let told = Told::risk(alarm, entry, &before, now);
        told.log(folded);
        self.shared.metrics.alarmed(alarm);
        self.writer.alert(job, Before::Watch(Box::new(before)), told.message(folded));
    }

    /// Computes what depends on the clock anew, and writes it where it changed.
    pub fn refresh(&mut self) {
        self.watch();
        self.forecast();
        let now = clock::now();
        let mut stale = Vec::new();
        for job in self.table.ids() {
            self.watch_of(job, now);
            let Some(live) = self.live(job, now) else { continue };
            self.alert_of(job, &live, now);
            let Some(entry) = self.table.peek(&job) else { continue };
            let is_fresh = entry.write.began.is_some_and(|began| began.elapsed() < REFRESH / 2);
            if !is_fresh && entry.live.as_ref() != Some(&live) {
                stale.push((entry.stalled.is_none(), entry.write.began, job));
            }
        }
        stale.sort_unstable();
        // That a job stands still is told in time, however many others change.
        let stalled = stale.iter().take_while(|(goes_on, ..)| !goes_on).count();
        let refreshes = self.pace.left(Instant::now()).max(REFRESHES_MIN).max(stalled);
        for (_, _, job) in stale.into_iter().take(refreshes) {
            self.table.entry(job).write.dirty = true;
            self.queue(job, None);
        }
        self.tell_ahead(now);
        let metrics = &self.shared.metrics;
        self.table.show(metrics);
        self.foresight.scores().iter().for_each(|score| metrics.forecast(score));
    }

    /// Pools that work is owed to, as often as there are jobs.
    fn owing(&self) -> impl Iterator<Item = &Pool> {
        let owed = self.table.iter().flat_map(|(_, entry)| entry.owed.iter());
        owed.filter(|(_, requests)| *requests > 0).map(|(pool, _)| pool)
    }

    fn forecast(&mut self) {
        let now = clock::now();
        let workers = self.stalls.workers(self.owing(), now);
        let readings = self.foresight.read(&self.log, &workers, now);
        self.table.iter_mut().for_each(|(_, entry)| {
            (entry.eta, entry.moved, entry.reading) = (None, None, None);
        });
        for (job, reading) in readings {
            let Some(entry) = self.table.get(&job) else { continue };
            (entry.eta, entry.moved) = (Some(reading.into()), reading.moved.map(|moved| moved.cause.into()));
            entry.reading = Some(reading);
        }
        let is_waiting = |job: &&Job| job.is_wanted() && !job.hold.is_on();
        for job in self.log.jobs().map(|folded| &folded.job).filter(is_waiting) {
            if let Some(entry) = self.table.get(&job.id).filter(|entry| entry.owed.is_empty()) {
                entry.eta = Some(Eta::now(now));
            }
        }
    }
}
