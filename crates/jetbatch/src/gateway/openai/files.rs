//! Files in OpenAI's forms: what was uploaded, and what jobs made of it.
use super::{
    super::{
        app::App,
        download,
        error::{Answer, Rejection},
        index, limits, params, row,
        upload::Upload,
    },
    catalog::{self, Told, told},
    form::Form,
};
use crate::{clock, paths};
use api::{
    ErrorCode,
    openai::{DeletedFile, ExpiresAfter, File, FileId, FilePage, JobFile, Purpose},
};
use axum::{
    Json,
    extract::{Path, RawQuery, Request},
    http::HeaderMap,
    response::IntoResponse,
};
use domain::{JobId, Timestamp, event};
use std::{cmp::Reverse, str::FromStr};
use tokio::time::timeout;
use uuid::Uuid;
use wire::{FileRecord, StoredStatus};

const LIMIT_MAX: usize = 10_000;

/// `POST /v1/files`.
pub async fn create(app: App, request: Request) -> Answer {
    let Form { mut upload, filename, purpose, expires } = Form::read(&app, request).await?;
    let record = register(&app, &mut upload, filename, purpose, expires).await?;
    Ok(Json(of_record(upload.id, &record)).into_response())
}

/// Makes an upload a file with a name.
pub async fn register(
    app: &App,
    upload: &mut Upload,
    filename: String,
    purpose: Purpose,
    expires: Option<ExpiresAfter>,
) -> Result<FileRecord, Rejection> {
    let (id, created) = (upload.id, clock::now());
    let kept = app.shared.config.retention.uploads.after(created);
    let expires = expires.map(|after| created.plus(after.seconds * 1_000));
    let expires = [expires, kept].into_iter().flatten().min();
    let purpose = purpose.as_str().to_owned();
    let record = FileRecord { v: 1, tenant: app.tenant(), filename, purpose, bytes: upload.bytes, created, expires };
    let json = serde_json::to_vec(&record).expect("a record is plain JSON");
    app.files.put(&catalog::key(FileId::Upload(id)), json).await?;
    upload.keep();
    app.catalog.note(id, record.clone());
    tracing::info!(file = %id, bytes = upload.bytes, "a file was uploaded");
    app.note.on(FileId::Upload(id));
    Ok(record)
}

/// `GET /v1/files/{id}`.
pub async fn one(app: App, Path(id): Path<String>) -> Answer {
    Ok(Json(find(&app, parse(&id)?).await?).into_response())
}

/// `DELETE /v1/files/{id}`. Its bytes go when no job is made of them any more.
pub async fn remove(app: App, Path(id): Path<String>) -> Answer {
    let id = parse(&id)?;
    find(&app, id).await?;
    app.files.delete(&catalog::key(id)).await?;
    app.catalog.forget(id);
    Ok(Json(DeletedFile { id, object: "file".to_owned(), deleted: true }).into_response())
}

/// `GET /v1/files/{id}/content`.
pub async fn content(app: App, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let id = parse(&id)?;
    match id {
        FileId::Upload(upload) => {
            let file = find(&app, id).await?;
            let file = event::File { path: paths::upload(app.upload(upload)), bytes: file.bytes };
            download::file(&app, Some(&file), &headers)
        }
        FileId::Of(JobFile::Input, job) => {
            let file = find(&app, id).await?;
            let file = event::File { path: paths::input(job), bytes: file.bytes };
            download::file(&app, Some(&file), &headers)
        }
        FileId::Of(file, job) => {
            if let Told::Deleted = told(&app, id).await? {
                return Err(missing(id));
            }
            let stored = app.job(job).await.map_err(|refusal| no_job(refusal, id))?;
            let kind = if file == JobFile::Output { paths::Kind::Output } else { paths::Kind::Errors };
            download::of_job(&app, &stored, &headers, kind).await
        }
    }
}

/// `GET /v1/files`.
pub async fn many(app: App, RawQuery(text): RawQuery) -> Answer {
    let query = query(text.as_deref())?;
    if !app.is_connected() {
        return Err(Rejection::unavailable(
            "there is no connection to NATS, and the list of files would be an old one",
        ));
    }
    let complete = timeout(limits::STATUS_WITHIN, app.status_watch.completed()).await;
    complete.map_err(|_| Rejection::unavailable("the list of jobs is still being read; try again in a moment"))?;
    let from = match query.after {
        Some(after) => Some(place(&app, after).await?.ok_or_else(unknown)?),
        None => None,
    };
    let mut files = all(&app, &query, from);
    let has_more = files.len() > query.limit;
    files.truncate(query.limit);
    Ok(Json(FilePage::new(files, has_more)).into_response())
}

/// A file that can be used now.
pub async fn find(app: &App, id: FileId) -> Result<File, Rejection> {
    let file = match (id, told(app, id).await?) {
        (_, Told::Deleted) => None,
        (FileId::Upload(upload), Told::Record(record)) => {
            let is_there = app.shared.store.size(&paths::upload(app.upload(upload))).await?.is_some();
            Some(of_record(upload, &record)).filter(|_| is_there && is_kept(&record))
        }
        (FileId::Upload(upload), Told::Nothing) => bare(app, upload).await?,
        (FileId::Of(file, job), _) => of_job(app, file, job).await.map_err(|refusal| no_job(refusal, id))?,
    };
    file.ok_or_else(|| missing(id))
}

/// One that came by our own door, and told no name.
async fn bare(app: &App, upload: Uuid) -> Result<Option<File>, Rejection> {
    let bytes = app.shared.store.size(&paths::upload(app.upload(upload))).await?;
    let created = upload.get_timestamp().map_or(0, |at| at.to_unix().0 * 1_000);
    let name = format!("{}.jsonl", upload.hyphenated());
    let file = |bytes| File::new(FileId::Upload(upload), bytes, name, Purpose::Batch, Timestamp::new(created));
    Ok(bytes.map(file))
}

async fn of_job(app: &App, file: JobFile, job: JobId) -> Result<Option<File>, Rejection> {
    let stored = app.job(job).await?;
    if file == JobFile::Input {
        let bytes = app.shared.store.size(&paths::input(job)).await?;
        let (name, purpose) = catalog::name(file);
        let made = |bytes| File::new(FileId::Of(file, job), bytes, name, purpose, stored.status.submitted_at);
        return Ok(bytes.map(made));
    }
    Ok(made(app, &stored).into_iter().find(|made| made.id == FileId::Of(file, job)))
}

/// The files of a job that has ended.
fn made(app: &App, stored: &StoredStatus) -> Vec<File> {
    let status = &stored.status;
    let Some(ended) = status.ended_at.filter(|_| status.state.is_terminal()) else { return Vec::new() };
    let files = [(JobFile::Output, &status.output), (JobFile::Errors, &status.error_file)];
    let files = files.into_iter().filter_map(|(kind, file)| Some((kind, file.as_ref().filter(|file| file.bytes > 0)?)));
    let expires = app.shared.config.retention.jobs.after(ended);
    let file = |(kind, file): (JobFile, &event::File)| {
        let (name, purpose) = catalog::name(kind);
        File::new(FileId::Of(kind, status.id), file.bytes, name, purpose, ended).until(expires)
    };
    files.map(file).collect()
}

fn of_record(id: Uuid, record: &FileRecord) -> File {
    File::new(FileId::Upload(id), record.bytes, &*record.filename, purpose(record), record.created)
        .until(record.expires)
}

fn purpose(record: &FileRecord) -> Purpose {
    record.purpose.parse().unwrap_or(Purpose::Batch)
}

fn is_kept(record: &FileRecord) -> bool {
    record.expires.is_none_or(|expires| clock::now() < expires)
}

#[derive(Debug, PartialEq)]
struct Query {
    purpose: Option<Purpose>,
    after: Option<FileId>,
    limit: usize,
    oldest_first: bool,
}

fn query(text: Option<&str>) -> Result<Query, Rejection> {
    let mut query = Query { purpose: None, after: None, limit: LIMIT_MAX, oldest_first: false };
    for (name, value) in params::pairs(text)? {
        let wrong = |message: String| Rejection::invalid(message).param(&*name);
        match &*name {
            "purpose" => {
                let purpose = Purpose::from_str(&value);
                query.purpose =
                    Some(purpose.map_err(|_| wrong("'purpose' must be batch, user_data or batch_output".to_owned()))?);
            }
            "after" => query.after = Some(value.parse().map_err(|_| wrong("'after' names no file".to_owned()))?),
            "limit" => {
                let limit = usize::from_str(&value).ok().filter(|n| (1..=LIMIT_MAX).contains(n));
                query.limit = limit.ok_or_else(|| wrong(format!("'limit' must be 1 to {LIMIT_MAX}")))?;
            }
            "order" => match &*value {
                "asc" => query.oldest_first = true,
                "desc" => query.oldest_first = false,
                _ => return Err(wrong("'order' must be asc or desc".to_owned())),
            },
            // OpenAI's clients may know more.
            _ => {}
        }
    }
    Ok(query)
}

fn unknown() -> Rejection {
    Rejection::invalid("'after' names no file").param("after")
}

/// Where a file stands in the list, or stood before it was deleted.
type Place = (Timestamp, Uuid);

async fn place(app: &App, after: FileId) -> Result<Option<Place>, Rejection> {
    let at = match after {
        FileId::Upload(upload) => {
            let made = app.catalog.known().made(upload);
            match told(app, after).await? {
                Told::Nothing => None,
                Told::Record(record) => Some(record.created),
                // By its id, where this door has not seen it.
                Told::Deleted => made.or_else(|| begun(upload)),
            }
        }
        FileId::Of(_, job) => app.submitted(job).await?,
    };
    Ok(at.map(|at| (at, owner(after))))
}

/// When an upload began.
fn begun(upload: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = upload.get_timestamp()?.to_unix();
    Some(Timestamp::new(seconds * 1_000 + u64::from(nanos) / 1_000_000))
}

/// One more than is asked for, where there are so many. A job's files stand where the job stands: by when it was
/// submitted, its output before its errors.
fn all(app: &App, query: &Query, from: Option<Place>) -> Vec<File> {
    let known = app.catalog.known();
    let index = app.status_watch.index();
    let wants = |purpose| query.purpose.is_none_or(|wanted| wanted == purpose);
    let uploads = known
        .uploads
        .iter()
        .filter(|(_, record)| record.tenant == app.tenant() && wants(purpose(record)) && is_kept(record));
    let uploads = uploads.map(|(Reverse((at, id)), record)| (*at, *id, Entry::Upload(record)));
    let jobs = index.rows(app.tenant()).filter(|(_, _, state, _)| wants(Purpose::BatchOutput) && state.is_terminal());
    let jobs = jobs.map(|(at, job, _, kept)| (at, job.uuid(), Entry::Job(job, kept)));
    let merged = Merged { uploads: uploads.peekable(), jobs: jobs.peekable() }.map(|(at, id, entry)| ((at, id), entry));
    let files = |((_, id), entry): (Place, Entry<'_>)| {
        let mut files = match entry {
            Entry::Upload(record) => vec![of_record(id, record)],
            Entry::Job(job, kept) => {
                let stored = kept.as_ref().and_then(|kept| row::unpack(job, kept));
                stored.map(|stored| made(app, &stored)).unwrap_or_default()
            }
        };
        files.retain(|file| !known.deleted.contains(&file.id) && wants(file.purpose));
        files
    };
    if query.oldest_first {
        let all: Vec<_> = merged.collect();
        page(all.into_iter().rev(), query, from, files)
    } else {
        page(merged, query, from, files)
    }
}

/// What stands before the page is passed over without a look at its files.
fn page<E>(
    entries: impl Iterator<Item = (Place, E)>,
    query: &Query,
    from: Option<Place>,
    files: impl Fn((Place, E)) -> Vec<File>,
) -> Vec<File> {
    let is_before =
        |place: Place| from.is_some_and(|from| if query.oldest_first { place < from } else { place > from });
    let entries = entries.skip_while(|(place, _)| is_before(*place));
    let files = entries.flat_map(|entry| {
        let is_first = from == Some(entry.0);
        let mut files = files(entry);
        if query.oldest_first {
            files.reverse();
        }
        if let Some(after) = query.after.filter(|_| is_first).map(rank) {
            files.retain(|file| if query.oldest_first { rank(file.id) < after } else { rank(file.id) > after });
        }
        files
    });
    files.take(query.limit + 1).collect()
}

/// The order of one job's files.
const fn rank(id: FileId) -> u8 {
    match id {
        FileId::Upload(_) | FileId::Of(JobFile::Input, _) => 0,
        FileId::Of(JobFile::Output, _) => 1,
        FileId::Of(JobFile::Errors, _) => 2,
    }
}

/// The upload, or the job, that a file is of.
const fn owner(id: FileId) -> Uuid {
    match id {
        FileId::Upload(upload) => upload,
        FileId::Of(_, job) => job.uuid(),
    }
}

enum Entry<'a> {
    Upload(&'a FileRecord),
    Job(JobId, &'a index::Kept),
}

/// Two lists, newest first, as one.
struct Merged<U: Iterator, J: Iterator> {
    uploads: std::iter::Peekable<U>,
    jobs: std::iter::Peekable<J>,
}

impl<'a, U, J> Iterator for Merged<U, J>
where
    U: Iterator<Item = (Timestamp, Uuid, Entry<'a>)>,
    J: Iterator<Item = (Timestamp, Uuid, Entry<'a>)>,
{
    type Item = (Timestamp, Uuid, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        match (self.uploads.peek(), self.jobs.peek()) {
            (Some(upload), Some(job)) if (upload.0, upload.1) < (job.0, job.1) => self.jobs.next(),
            (Some(_), _) => self.uploads.next(),
            (None, _) => self.jobs.next(),
        }
    }
}

pub fn parse(id: &str) -> Result<FileId, Rejection> {
    id.parse().map_err(|_| not_found(id))
}

fn missing(id: FileId) -> Rejection {
    not_found(&id.to_string())
}

fn not_found(id: &str) -> Rejection {
    let id: String = id.chars().take(64).collect();
    Rejection::new(ErrorCode::FileNotFound, format!("No such File object: {id}")).param("id")
}

fn no_job(refusal: Rejection, id: FileId) -> Rejection {
    if refusal.code == ErrorCode::JobNotFound { missing(id) } else { refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_checked() {
        let got = query(Some("purpose=batch_output&limit=7&order=asc&extra=1")).unwrap();
        assert_eq!((got.purpose, got.limit, got.oldest_first), (Some(Purpose::BatchOutput), 7, true));
        for (bad, param) in
            [("limit=0", "limit"), ("limit=10001", "limit"), ("order=up", "order"), ("after=x", "after")]
        {
            assert_eq!(query(Some(bad)).unwrap_err().param.as_deref(), Some(param), "{bad}");
        }
    }

    #[test]
    fn pages_follow_one_another_in_both_directions() {
        let id = |n: u128| FileId::Upload(Uuid::from_u128(n));
        let of = |file: JobFile, n: u128| FileId::Of(file, JobId::new(Uuid::from_u128(n)));
        // The third made two files.
        let files = |((_, entry), ()): (Place, ())| {
            let made = match entry.as_u128() {
                3 => vec![of(JobFile::Output, 3), of(JobFile::Errors, 3)],
                n => vec![id(n)],
            };
            made.into_iter().map(|id| File::new(id, 1, "a", Purpose::Batch, Timestamp::new(1))).collect()
        };
        let place = |n: u128| (Timestamp::new(n as u64 / 2), Uuid::from_u128(n));
        let ids = |after: Option<FileId>, oldest_first: bool| {
            let query = Query { purpose: None, after, limit: 2, oldest_first };
            let from = after.map(|after| place(owner(after).as_u128()));
            let newest = (1..=4).rev().map(|n| (place(n), ()));
            let page = if oldest_first {
                page(newest.collect::<Vec<_>>().into_iter().rev(), &query, from, files)
            } else {
                page(newest, &query, from, files)
            };
            page.into_iter().map(|file| file.id).collect::<Vec<_>>()
        };
        let (output, errors) = (of(JobFile::Output, 3), of(JobFile::Errors, 3));
        assert_eq!(ids(None, false), [id(4), output, errors]);
        assert_eq!(ids(Some(output), false), [errors, id(2), id(1)]);
        assert_eq!(ids(Some(id(2)), false), [id(1)]);
        assert_eq!(ids(Some(id(1)), true), [id(2), errors, output]);
        assert_eq!(ids(Some(errors), true), [output, id(4)]);
        // Of what is not there any more, its place.
        assert_eq!((ids(Some(id(5)), false), ids(Some(id(0)), true)), (ids(None, false), ids(None, true)));
        assert_eq!(ids(Some(of(JobFile::Errors, 2)), false), [id(1)]);
    }
}
