//! What depends on the clock: rates, ETA, and a job's standing against its deadline.
use super::{alert, room::Room};
use crate::clock;
use domain::{
    JobId, Millis,
    forecast::{Owed, forecast},
    schedule::Urgency,
    status::{self, Live},
};
use std::{collections::HashMap, time::Duration};

/// How often it is computed anew.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Statuses written at one refresh for their clock-dependent part alone, the longest unwritten first.
const REFRESHES_MAX: usize = 500;

impl Room {
    /// Tells a step in a job's standing against its deadline.
    pub fn tell(&mut self, job: JobId) {
        let now = clock::now();
        if let Some(live) = self.live(job, now) {
            self.tell_of(job, live, now);
        }
    }

    fn live(&self, job: JobId, now: Millis) -> Option<Live> {
        let (folded, entry) = (self.log.job(&job)?, self.book.peek(&job)?);
        Some(Live::of(&folded.job, now, entry.eta))
    }

    fn tell_of(&mut self, job: JobId, live: Live, now: Millis) {
        let (Some(folded), Some(entry)) = (self.log.job(&job), self.book.get(&job)) else { return };
        let Some(sla) = live.sla.filter(|sla| !entry.telling && alert::is_news(entry.told, *sla)) else { return };
        if !entry.stored && !alert::is_recent(status::ended_at(&folded.job), now) {
            return;
        }
        entry.telling = true;
        let before = entry.told.replace(sla);
        alert::log(folded, sla, entry.eta);
        self.shared.metrics.sla_changed(sla);
        self.writer.tell(job, before, alert::message(folded, sla, entry.eta, now));
    }

    /// Computes what depends on the clock anew, and writes it where it changed.
    pub fn refresh(&mut self) {
        self.forecast();
        let now = clock::now();
        let mut stale = Vec::new();
        for job in self.book.ids() {
            let Some(live) = self.live(job, now) else { continue };
            self.tell_of(job, live, now);
            let Some(entry) = self.book.peek(&job) else { continue };
            let is_fresh = entry.write.began.is_some_and(|began| began.elapsed() < REFRESH / 2);
            if !is_fresh && entry.live != Some(live) {
                stale.push((entry.write.began, job));
            }
        }
        stale.sort_unstable();
        for (_, job) in stale.into_iter().take(REFRESHES_MAX) {
            self.book.entry(job).write.dirty = true;
            self.queue(job, None);
        }
        self.book.show(&self.shared.metrics);
    }

    fn forecast(&mut self) {
        let running = self.log.jobs().filter(|folded| folded.job.is_wanted());
        let mut order: Vec<Urgency> = running.map(|folded| Urgency::of(&folded.job)).collect();
        order.sort_unstable();
        let none = Owed::default();
        let owed: HashMap<JobId, &Owed> = self.book.iter().map(|(job, entry)| (*job, &entry.owed)).collect();
        let jobs = order.iter().map(|urgency| (urgency.job, owed.get(&urgency.job).copied().unwrap_or(&none)));
        let etas: HashMap<_, _> = forecast(jobs, &self.pools.speeds(), clock::now()).into_iter().collect();
        self.book.iter_mut().for_each(|(job, entry)| entry.eta = etas.get(job).copied());
    }
}
