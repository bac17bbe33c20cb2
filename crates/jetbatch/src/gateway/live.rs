//! `GET /events`: a page of the list of jobs, the workers and their pools, as they change. One look a while for each viewer, at what
//! this door knows anyway: no viewer costs NATS anything.
use super::{
    app::App,
    error::{Answer, Rejection},
    index::{Kept, Query},
    jobs, limits, row, workers,
};
use api::{JobRow, JobRows, PoolAhead, Worker};
use axum::{
    extract::RawQuery,
    http::header::CACHE_CONTROL,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use domain::{JobId, Timestamp, key::Role};
use futures::stream;
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};

struct Feed {
    app: App,
    query: Query,
    /// When the job was submitted that the page comes after: it may be gone by then.
    after_at: Option<Timestamp>,
    tick: Interval,
    /// What was sent of each job on the page.
    sent: HashMap<JobId, Kept>,
    order: Vec<JobId>,
    total: usize,
    workers: Vec<Worker>,
    pools: Vec<PoolAhead>,
    workers_at: Option<Instant>,
    ready: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

pub async fn events(app: App, RawQuery(text): RawQuery) -> Answer {
    let query = jobs::query(text.as_deref())?;
    let place = app.event_place()?;
    let complete = timeout(limits::STATUS_WITHIN, app.status_watch.completed()).await;
    complete.map_err(|_| Rejection::unavailable("the list of jobs is still being read; try again in a moment"))?;
    let after_at = match query.after {
        Some(job) => app.submitted(job).await?,
        None => None,
    };
    let mut tick = interval(limits::LIVE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (sent, order, ready) = Default::default();
    let (total, workers, pools, workers_at) = (usize::MAX, Vec::new(), Vec::new(), None);
    let feed =
        Feed { app, query, after_at, tick, sent, order, total, workers, pools, workers_at, ready, _place: place };
    let events = stream::unfold(feed, Feed::next);
    let alive = KeepAlive::new().interval(limits::KEEP_ALIVE);
    Ok(([(CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(alive)).into_response())
}

impl Feed {
    /// None when the door closes, or the caller's key is revoked.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let stop = self.app.stop.clone();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            stop.run_until_cancelled(self.tick.tick()).await?;
            if !self.app.is_let_in() {
                return None;
            }
            self.look_at_jobs();
            if self.app.may(Role::Operate) {
                self.look_at_workers();
            }
        }
    }

    fn look_at_jobs(&mut self) {
        let (page, total) = {
            let index = self.app.status_watch.index();
            let page = index.page(self.app.tenant(), &self.query, self.after_at);
            (page.unwrap_or_default(), index.count(self.app.tenant()))
        };
        let order: Vec<JobId> = page.jobs.iter().map(|(job, _)| *job).collect();
        let is_same = |(job, kept): &(JobId, Kept)| self.sent.get(job) == Some(kept);
        let changed: Vec<(JobId, Kept)> = page.jobs.into_iter().filter(|job| !is_same(job)).collect();
        if changed.is_empty() && order == self.order && total == self.total {
            return;
        }
        let rows = changed.iter().filter_map(|(job, kept)| {
            let stored = row::unpack(*job, kept.as_ref()?)?;
            Some(JobRow::new(stored.status, stored.live))
        });
        let rows = JobRows { order: order.clone(), changed: rows.collect(), has_more: page.has_more, total };
        self.ready.push_back(event("jobs", &rows));
        self.sent.retain(|job, _| order.contains(job));
        self.sent.extend(changed);
        (self.order, self.total) = (order, total);
    }

    /// They tell of themselves every few seconds.
    fn look_at_workers(&mut self) {
        if self.workers_at.is_some_and(|at| at.elapsed() < limits::LIVE_WORKERS_EVERY) {
            return;
        }
        let is_first = self.workers_at.replace(Instant::now()).is_none();
        let (workers, pools) = workers::all(&self.app);
        if is_first || pools != self.pools {
            self.ready.push_back(event("pools", &pools));
            self.pools = pools;
        }
        if is_first || workers != self.workers {
            self.ready.push_back(event("workers", &workers));
            self.workers = workers;
        }
    }
}

fn event(name: &str, data: &impl serde::Serialize) -> Event {
    Event::default().event(name).json_data(data).expect("what is shown is plain JSON")
}
