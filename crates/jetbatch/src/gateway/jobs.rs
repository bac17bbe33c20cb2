//! Jobs as they stand: one, many, and the end of one.
use super::{
    app::App,
    error::{Answer, Rejection},
    fields::clipped,
    index::{Kept, Query},
    limits, params, row,
};
use api::{Job, JobPage, openai::BatchId};
use axum::{
    Json,
    extract::{Path, RawQuery},
    response::IntoResponse,
};
use domain::{JobId, status::State as Phase};
use futures::{StreamExt, TryStreamExt, stream};
use std::str::FromStr;
use tokio::time::timeout;
use wire::StoredStatus;

/// A job's id from a path, in either door's spelling.
pub fn id(text: &str) -> Result<JobId, Rejection> {
    if let Ok(BatchId(job)) = text.parse() {
        return Ok(job);
    }
    text.parse().map_err(|error: domain::id::Invalid| Rejection::invalid(error.to_string()).param("id"))
}

/// `GET /jobs/{id}`.
pub async fn one(app: App, Path(job): Path<String>) -> Answer {
    let stored = app.job(id(&job)?).await?;
    Ok(Json(shown(stored)).into_response())
}

/// `GET /jobs`.
pub async fn many(app: App, RawQuery(text): RawQuery) -> Answer {
    let Page { jobs, has_more, next } = page(&app, &query(text.as_deref())?).await?;
    Ok(Json(JobPage::new(jobs.into_iter().map(shown).collect(), has_more, next)).into_response())
}

/// Some of the jobs, newest first, and the last of them where there are more.
pub struct Page {
    pub jobs: Vec<StoredStatus>,
    pub has_more: bool,
    pub next: Option<JobId>,
}

pub async fn page(app: &App, query: &Query) -> Result<Page, Rejection> {
    if !app.is_connected() {
        return Err(Rejection::unavailable("there is no connection to NATS, and the list of jobs would be an old one"));
    }
    let complete = timeout(limits::STATUS_WITHIN, app.status_watch.completed()).await;
    complete.map_err(|_| Rejection::unavailable("the list of jobs is still being read; try again in a moment"))?;
    let shown = |gone| app.status_watch.index().page(app.tenant(), query, gone);
    let page = match (shown(None), query.after) {
        // Who deletes what he was shown asks for what came after it.
        (None, Some(job)) => app.submitted(job).await?.and_then(|at| shown(Some(at))),
        (page, _) => page,
    };
    let page = page.ok_or_else(|| Rejection::invalid("'after' names no job").param("after"))?;
    let next = page.jobs.last().map(|(job, _)| *job).filter(|_| page.has_more);
    let read = stream::iter(page.jobs).map(|(job, kept)| row(app, job, kept)).buffered(limits::PAGE_READS);
    let jobs = read.try_filter_map(|found| std::future::ready(Ok(found))).try_collect().await?;
    Ok(Page { jobs, has_more: page.has_more, next })
}

/// A job as a client sees it.
pub fn shown(stored: StoredStatus) -> Job {
    Job::new(stored.status, stored.live)
}

/// What is shown of a job in a list. One whose status was deleted meanwhile is left out until it is rebuilt.
async fn row(app: &App, job: JobId, kept: Kept) -> Result<Option<StoredStatus>, Rejection> {
    match kept.and_then(|kept| row::unpack(job, &kept)) {
        Some(stored) => Ok(Some(stored)),
        None => Ok(app.find(job).await?.map(|(stored, _)| stored)),
    }
}

pub fn query(text: Option<&str>) -> Result<Query, Rejection> {
    let mut query = Query { limit: limits::PAGE_JOBS_DEFAULT, ..Query::default() };
    for (name, value) in params::pairs(text)? {
        let wrong = |message: String| Rejection::invalid(message).param(clipped(&name));
        match &*name {
            "state" => query.state = Some(state(&value).map_err(wrong)?),
            "model" => query.model = Some(value.into_owned()),
            "after" => query.after = Some(id(&value).map_err(|refusal| refusal.param("after"))?),
            "limit" => {
                let limit = usize::from_str(&value).ok().filter(|n| (1..=limits::PAGE_JOBS_MAX).contains(n));
                let message = || wrong(format!("'limit' must be 1 to {}", limits::PAGE_JOBS_MAX));
                query.limit = limit.ok_or_else(message)?;
            }
            _ => return Err(wrong("use state, model, limit or after".to_owned())),
        }
    }
    Ok(query)
}

fn state(word: &str) -> Result<Phase, String> {
    let names = || Phase::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    word.parse().map_err(|_| format!("'state' must be one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let got = query(Some("state=in_progress&model=a&limit=7")).unwrap();
        assert_eq!((got.state, got.model.as_deref(), got.limit), (Some(Phase::InProgress), Some("a"), 7));
        assert_eq!(query(None).unwrap().limit, limits::PAGE_JOBS_DEFAULT);
        for (bad, param) in
            [("limit=0", "limit"), ("limit=101", "limit"), ("state=done", "state"), ("x=1", "x"), ("after=1", "after")]
        {
            assert_eq!(query(Some(bad)).unwrap_err().param.as_deref(), Some(param), "{bad}");
        }
    }
}
