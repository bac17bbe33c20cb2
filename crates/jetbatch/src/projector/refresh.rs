//! What depends on the clock: rates, ETA, and a job's standing against its deadline.
use super::{alert, run::Projector};
use crate::clock;
use domain::{
    JobId, Millis,
    forecast::{Owed, forecast},
    schedule,
    status::{self, Live},
};
use std::{collections::HashMap, time::Duration};

/// How often it is computed anew.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Statuses written at one refresh for their clock-dependent part alone, the longest unwritten first.
const REFRESHES_MAX: usize = 500;

impl Projector {
    /// Tells a step in a job's standing against its deadline.
    pub fn alert(&mut self, job: JobId) {
        let now = clock::now();
        if let Some(live) = self.live(job, now) {
            self.alert_of(job, live, now);
        }
    }

    fn live(&self, job: JobId, now: Millis) -> Option<Live> {
        let (folded, entry) = (self.log.job(&job)?, self.table.peek(&job)?);
        Some(Live::of(&folded.job, now, entry.eta))
    }

    fn alert_of(&mut self, job: JobId, live: Live, now: Millis) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.table.get(&job)) else { return };
        let Some(sla) = live.sla.filter(|sla| !entry.alerting && alert::is_news(entry.alerted, *sla)) else { return };
        if !entry.stored && !alert::is_recent(status::ended_at(&folded.job), now) {
            return;
        }
        entry.alerting = true;
        let before = entry.alerted.replace(sla);
        alert::log(folded, sla, entry.eta);
        self.shared.metrics.sla_changed(sla);
        self.writer.alert(job, before, alert::message(folded, sla, entry.eta, now));
    }

    /// Computes what depends on the clock anew, and writes it where it changed.
    pub fn refresh(&mut self) {
        self.forecast();
        let now = clock::now();
        let mut stale = Vec::new();
        for job in self.table.ids() {
            let Some(live) = self.live(job, now) else { continue };
            self.alert_of(job, live, now);
            let Some(entry) = self.table.peek(&job) else { continue };
            let is_fresh = entry.write.began.is_some_and(|began| began.elapsed() < REFRESH / 2);
            if !is_fresh && entry.live != Some(live) {
                stale.push((entry.write.began, job));
            }
        }
        stale.sort_unstable();
        for (_, job) in stale.into_iter().take(REFRESHES_MAX) {
            self.table.entry(job).write.dirty = true;
            self.queue(job, None);
        }
        self.table.show(&self.shared.metrics);
    }

    fn forecast(&mut self) {
        let order = schedule::order(self.log.jobs().map(|folded| &folded.job));
        let none = Owed::default();
        let owed: HashMap<JobId, &Owed> = self.table.iter().map(|(job, entry)| (*job, &entry.owed)).collect();
        let jobs = order.iter().map(|job| (job.id, owed.get(&job.id).copied().unwrap_or(&none)));
        let etas: HashMap<_, _> = forecast(jobs, &self.pools.speeds(), clock::now()).into_iter().collect();
        self.table.iter_mut().for_each(|(job, entry)| entry.eta = etas.get(job).copied());
    }
}
