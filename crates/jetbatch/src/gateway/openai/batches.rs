//! Jobs as OpenAI's batches.
use super::{
    super::{
        app::App,
        body, commands,
        error::{Answer, Rejection},
        fields::clipped,
        index, jobs, limits, params,
        submit::{self, Offer},
    },
    files,
};
use api::{
    ErrorCode,
    openai::{Batch, BatchId, BatchPage, CreateBatch, FileId, JobFile},
};
use axum::{
    Json,
    extract::{Path, RawQuery, Request},
    response::IntoResponse,
};
use domain::{
    JobId,
    command::{CommandKind, JobCommand},
    submission::Submission,
    table::Given,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::str::FromStr;
use wire::StoredStatus;

/// `POST /v1/batches`.
pub async fn create(app: App, request: Request) -> Answer {
    let headers = request.headers().clone();
    let key = submit::key(&app, &headers)?;
    let body::Json { value, fingerprint, place: _place } =
        body::json::<CreateBatch>(&app, &headers, request.into_body()).await?;
    let input = input(&app, &value).await?;
    let submission = submission(value, input)?;
    let offer = Offer { submission: submission.check()?, fingerprint, upload: None };
    let taken = submit::taken(&app, key, offer).await?;
    show(&app, taken.id).await
}

/// `GET /v1/batches/{id}`.
pub async fn one(app: App, Path(id): Path<String>) -> Answer {
    show(&app, parse(&id)?).await
}

/// `POST /v1/batches/{id}/cancel`.
pub async fn cancel(app: App, Path(id): Path<String>) -> Answer {
    let job = parse(&id)?;
    let stored = commands::carry_out(&app, JobCommand::new(CommandKind::Cancel, job)).await;
    let stored = stored.map_err(|refusal| no_batch(refusal, job))?;
    Ok(Json(batch(&app, stored).await?).into_response())
}

/// `GET /v1/batches`.
pub async fn many(app: App, RawQuery(text): RawQuery) -> Answer {
    let page = jobs::page(&app, &query(text.as_deref())?).await?;
    let data = stream::iter(page.jobs).map(|stored| batch(&app, stored)).buffered(limits::PAGE_READS);
    Ok(Json(BatchPage::new(data.try_collect().await?, page.has_more)).into_response())
}

async fn show(app: &App, job: JobId) -> Answer {
    let stored = app.job(job).await.map_err(|refusal| no_batch(refusal, job))?;
    Ok(Json(batch(app, stored).await?).into_response())
}

async fn batch(app: &App, stored: StoredStatus) -> Result<Batch, Rejection> {
    let lifecycle = app.lifecycles.of(app, &stored.status).await?;
    Ok(Batch::new(stored.status, stored.live, &lifecycle))
}

/// The upload that it names; none where it has its requests with it.
async fn input(app: &App, create: &CreateBatch) -> Result<Option<String>, Rejection> {
    let wrong = |why: &str| Rejection::invalid(why).param("input_file_id");
    let name = match (&create.input_file_id, &create.requests) {
        (None, Some(_)) => return Ok(None),
        (Some(name), None) => name,
        (None, None) => return Err(wrong("Missing required parameter: 'input_file_id'.")),
        (Some(_), Some(_)) => return Err(wrong("give 'input_file_id' or 'requests', not both")),
    };
    let id = files::parse(name).map_err(|refusal| refusal.param("input_file_id"))?;
    files::find(app, id).await.map_err(|refusal| refusal.param("input_file_id"))?;
    match id {
        FileId::Upload(upload) => Ok(Some(format!("upload://{}", upload.hyphenated()))),
        FileId::Of(JobFile::Input | JobFile::Output | JobFile::Errors, _) => {
            Err(wrong("a batch is made of a file that was uploaded with the purpose 'batch'"))
        }
    }
}

fn submission(create: CreateBatch, input: Option<String>) -> Result<Submission, Rejection> {
    let missing = |name: &str| Rejection::invalid(format!("Missing required parameter: '{name}'.")).param(name);
    Ok(Submission {
        endpoint: Some(create.endpoint.ok_or_else(|| missing("endpoint"))?),
        completion_window: Some(create.completion_window.ok_or_else(|| missing("completion_window"))?),
        metadata: create.metadata.unwrap_or_default(),
        priority: create.priority,
        strict: create.strict.unwrap_or_default(),
        model: create.model,
        requests: create.requests,
        webhook_url: create.webhook_url,
        input: input.map(Given::from),
        ..Submission::default()
    })
}

fn query(text: Option<&str>) -> Result<index::Query, Rejection> {
    let mut query = index::Query { limit: limits::PAGE_JOBS_DEFAULT, ..index::Query::default() };
    for (name, value) in params::pairs(text)? {
        let wrong = |message: String| Rejection::invalid(message).param(clipped(&name));
        match &*name {
            "after" => {
                let id: BatchId = value.parse().map_err(|_| wrong("'after' names no batch".to_owned()))?;
                query.after = Some(id.0);
            }
            "limit" => {
                let limit = usize::from_str(&value).ok().filter(|n| (1..=limits::PAGE_JOBS_MAX).contains(n));
                query.limit = limit.ok_or_else(|| wrong(format!("'limit' must be 1 to {}", limits::PAGE_JOBS_MAX)))?;
            }
            // OpenAI's clients may know more.
            _ => {}
        }
    }
    Ok(query)
}

fn parse(id: &str) -> Result<JobId, Rejection> {
    id.parse().map(|BatchId(job)| job).map_err(|_| not_found(id))
}

fn no_batch(refusal: Rejection, job: JobId) -> Rejection {
    if refusal.code == ErrorCode::JobNotFound { not_found(&BatchId(job).to_string()) } else { refusal }
}

fn not_found(id: &str) -> Rejection {
    Rejection::new(ErrorCode::BatchNotFound, format!("No batch found with id '{}'.", clipped(id))).param("id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_needs_is_asked_for_by_name() {
        let made = |json: &str| {
            let create: CreateBatch = body::parse(json.as_bytes()).unwrap();
            submission(create, Some("upload://x".into())).map_err(|refusal| refusal.param.unwrap_or_default())
        };
        let whole = r#"{"input_file_id":"f","endpoint":"/v1/completions","completion_window":"24h",
            "metadata":{"a":"b"},"priority":"low","output_expires_after":null}"#;
        let submission = made(whole).unwrap();
        assert_eq!((submission.metadata["a"].as_str(), submission.completion_window.as_deref()), ("b", Some("24h")));
        assert_eq!(made(r#"{"completion_window":"24h"}"#), Err("endpoint".into()));
        assert_eq!(made(r#"{"endpoint":"/v1/completions"}"#), Err("completion_window".into()));
        assert_eq!(body::parse::<CreateBatch>(br#"{"inputs":1}"#).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
