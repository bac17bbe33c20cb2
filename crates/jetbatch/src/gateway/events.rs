//! `GET /jobs/{id}/events`: the job as it changes, as server-sent events, until it has ended.
use super::{
    app::{App, newer},
    error::Answer,
    jobs::{id, shown},
    limits,
    status_watch::Subscription,
};
use axum::{
    extract::Path,
    http::header::CACHE_CONTROL,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use std::convert::Infallible;
use tokio::sync::OwnedSemaphorePermit;
use wire::StoredStatus;

struct Feed {
    app: App,
    changes: Subscription,
    /// What is to be sent before the next change is waited for.
    ready: Option<(StoredStatus, u64)>,
    /// Event and revision of what was sent last.
    sent: (u64, u64),
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

pub async fn events(app: App, Path(job): Path<String>) -> Answer {
    let job = id(&job)?;
    let place = app.event_place()?;
    // Subscribed to before it is read, so that no change falls between.
    let changes = app.status_watch.subscribe(job);
    let ready = app.revision(job).await?;
    let feed = Feed { app, changes, ready: Some(ready), sent: (0, 0), is_over: false, _place: place };
    let events = stream::unfold(feed, Feed::next);
    let alive = KeepAlive::new().interval(limits::KEEP_ALIVE);
    Ok(([(CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(alive)).into_response())
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let (stored, rev) = match self.ready.take() {
            Some(ready) => ready,
            None => self.change().await?,
        };
        // It may have been revoked while nothing changed.
        if !self.app.is_let_in() {
            return None;
        }
        self.sent = (stored.seq, rev);
        self.is_over = stored.status.state.is_terminal();
        let event = Event::default().event("status").id(rev.to_string()).json_data(shown(stored));
        Some((Ok(event.expect("a job's view is plain JSON")), self))
    }

    /// None when the door closes, or at a status that cannot be read.
    async fn change(&mut self) -> Option<(StoredStatus, u64)> {
        let stop = self.app.stop.clone();
        stop.run_until_cancelled(newer(&mut self.changes, Some(self.sent))).await?.ok()
    }
}
