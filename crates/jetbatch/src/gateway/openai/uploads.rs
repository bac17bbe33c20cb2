//! Files that come in parts. Each part is an upload of its own until they are joined; what is never joined goes as an
//! upload that no job took does.
use super::{
    super::{
        app::App,
        body,
        error::{Answer, Rejection},
        limits,
        upload::Upload as Stored,
    },
    files, form,
};
use crate::{bus::Op, clock, paths};
use api::{
    ErrorCode,
    openai::{CompleteUpload, CreateUpload, ExpiresAfter, PartId, Upload, UploadId, UploadPart, UploadStatus, unix},
};
use axum::{
    Json,
    extract::{Path, Request},
    response::IntoResponse,
};
use domain::{Tenant, Timestamp};
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use uuid::Uuid;

/// From its creation until its last part.
const WITHIN_MS: u64 = 3_600_000;
const PARTS_MAX: usize = 10_000;
const SIZES_AT_ONCE: usize = 16;

/// One in the bucket `files`, as JSON, by its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    tenant: Tenant,
    filename: String,
    purpose: String,
    bytes: u64,
    created: Timestamp,
    expires_after: Option<u64>,
    file: Option<Uuid>,
    cancelled: bool,
}

impl Record {
    fn status(&self) -> UploadStatus {
        match self.file {
            Some(_) => UploadStatus::Completed,
            None if self.cancelled => UploadStatus::Cancelled,
            None if clock::now().since(self.created) > WITHIN_MS => UploadStatus::Expired,
            None => UploadStatus::Pending,
        }
    }

    async fn shown(&self, app: &App, id: UploadId) -> Result<Upload, Rejection> {
        let file = match self.file {
            Some(file) => Some(files::find(app, api::openai::FileId::Upload(file)).await?),
            None => None,
        };
        Ok(Upload {
            id,
            object: "upload".to_owned(),
            bytes: self.bytes,
            created_at: unix(self.created),
            expires_at: unix(self.created.plus(WITHIN_MS)),
            filename: self.filename.clone(),
            purpose: form::purpose(&self.purpose)?,
            status: self.status(),
            file,
        })
    }
}

/// `POST /v1/uploads`.
pub async fn create(app: App, request: Request) -> Answer {
    let headers = request.headers().clone();
    let create: CreateUpload = body::json(&app, &headers, request.into_body()).await?.value;
    let max = app.shared.config.intake.input_bytes_max;
    if create.bytes > max {
        let why = format!("an input has at most {max} bytes (intake.input_bytes_max)");
        return Err(Rejection::too_large(why).param("bytes"));
    }
    let expires = create.expires_after.map(|after| ExpiresAfter::of(after.seconds).ok_or(after.seconds)).transpose();
    let wrong = |_| Rejection::invalid("'expires_after.seconds' must be 3600 to 2592000").param("expires_after");
    let record = Record {
        tenant: app.tenant(),
        filename: form::filename(Some(&create.filename)),
        purpose: form::purpose(&create.purpose)?.as_str().to_owned(),
        bytes: create.bytes,
        created: clock::now(),
        expires_after: expires.map_err(wrong)?.map(|after| after.seconds),
        file: None,
        cancelled: false,
    };
    let id = UploadId(Uuid::now_v7());
    app.files.put(&id.to_string(), json(&record)).await?;
    Ok(Json(record.shown(&app, id).await?).into_response())
}

/// `POST /v1/uploads/{id}/parts`.
pub async fn add(app: App, Path(id): Path<String>, request: Request) -> Answer {
    let (id, _) = pending(&app, &id).await?;
    let mut part = form::part(&app, request).await?;
    app.files.put(&PartId(part.id).to_string(), id.to_string()).await?;
    part.keep();
    let (part, created_at) = (PartId(part.id), unix(clock::now()));
    Ok(Json(UploadPart { id: part, object: "upload.part".to_owned(), created_at, upload_id: id }).into_response())
}

/// `POST /v1/uploads/{id}/cancel`.
pub async fn cancel(app: App, Path(id): Path<String>) -> Answer {
    let (id, record) = pending(&app, &id).await?;
    let record = Record { cancelled: true, ..record };
    app.files.put(&id.to_string(), json(&record)).await?;
    Ok(Json(record.shown(&app, id).await?).into_response())
}

/// `POST /v1/uploads/{id}/complete`. Done twice it is the same file.
pub async fn complete(app: App, Path(id): Path<String>, request: Request) -> Answer {
    let headers = request.headers().clone();
    let CompleteUpload { part_ids, md5 } = body::json(&app, &headers, request.into_body()).await?.value;
    let (id, record) = find(&app, &id).await?;
    if record.status() == UploadStatus::Completed {
        return Ok(Json(record.shown(&app, id).await?).into_response());
    }
    let (id, record) = pending(&app, &id.to_string()).await?;
    let _place = app.upload_place().await?;
    let parts = parts(&app, id, &part_ids).await?;
    let bytes: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    if bytes != record.bytes {
        let why = format!("the parts have {bytes} bytes, and the upload was to have {}", record.bytes);
        return Err(Rejection::invalid(why).param("part_ids"));
    }
    let paths: Vec<(String, u64)> =
        parts.iter().map(|(part, bytes)| (paths::upload(app.upload(*part)), *bytes)).collect();
    if let Some(md5) = md5 {
        check(&app, &paths, &md5).await?;
    }
    let file = Uuid::now_v7();
    app.shared.store.join(&paths::upload(app.upload(file)), paths.clone()).await?;
    let mut stored = Stored::of(&app, file, bytes);
    let expires = record.expires_after.and_then(ExpiresAfter::of);
    let purpose = form::purpose(&record.purpose)?;
    files::register(&app, &mut stored, record.filename.clone(), purpose, expires).await?;
    let record = Record { file: Some(file), ..record };
    app.files.put(&id.to_string(), json(&record)).await?;
    for (path, _) in paths {
        app.shared.store.delete(&path).await?;
    }
    Ok(Json(record.shown(&app, id).await?).into_response())
}

/// Each part with its size.
async fn parts(app: &App, upload: UploadId, ids: &[String]) -> Result<Vec<(Uuid, u64)>, Rejection> {
    let wrong = |why: String| Rejection::invalid(why).param("part_ids");
    let distinct: HashSet<&String> = ids.iter().collect();
    if ids.is_empty() || ids.len() > PARTS_MAX || distinct.len() < ids.len() {
        return Err(wrong(format!("'part_ids' must be 1 to {PARTS_MAX} parts, each once")));
    }
    let sizes = stream::iter(ids.to_vec()).map(|text| size(app, upload, text));
    sizes.buffered(SIZES_AT_ONCE).try_collect().await
}

/// Only of its own parts: they are removed when they are joined, and another's file must not be.
async fn size(app: &App, upload: UploadId, part: String) -> Result<(Uuid, u64), Rejection> {
    let unknown = || {
        let part: String = part.chars().take(64).collect();
        Rejection::invalid(format!("there is no part '{part}'")).param("part_ids")
    };
    let PartId(id) = part.parse().map_err(|_| unknown())?;
    let owner = app.files.last(&PartId(id).to_string()).await?.ok_or_else(unknown)?;
    if owner.op != Op::Put || owner.value != upload.to_string().as_bytes() {
        return Err(unknown());
    }
    let bytes = app.shared.store.size(&paths::upload(app.upload(id))).await?.ok_or_else(unknown)?;
    Ok((id, bytes))
}

async fn check(app: &App, paths: &[(String, u64)], wanted: &str) -> Result<(), Rejection> {
    let mut md5 = Md5::new();
    for (path, bytes) in paths {
        let mut blocks = std::pin::pin!(app.shared.store.blocks(path.clone(), 0..*bytes, limits::DOWNLOAD_BLOCK_BYTES));
        while let Some(block) = blocks.try_next().await? {
            md5.update(&block);
        }
    }
    let found: String = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(wanted.trim()) {
        return Ok(());
    }
    Err(Rejection::invalid(format!("the parts have the MD5 {found}")).param("md5"))
}

async fn pending(app: &App, id: &str) -> Result<(UploadId, Record), Rejection> {
    let (id, record) = find(app, id).await?;
    match record.status() {
        UploadStatus::Pending => Ok((id, record)),
        status => {
            let word = serde_json::to_value(status).ok();
            let word = word.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            Err(Rejection::invalid(format!("the upload is {word}")).param("id"))
        }
    }
}

async fn find(app: &App, id: &str) -> Result<(UploadId, Record), Rejection> {
    let missing = || {
        let id: String = id.chars().take(64).collect();
        Rejection::new(ErrorCode::UploadNotFound, format!("No such Upload object: {id}")).param("id")
    };
    let upload: UploadId = id.parse().map_err(|_| missing())?;
    let entry = app.files.last(&upload.to_string()).await?.filter(|entry| entry.op == Op::Put);
    let record: Option<Record> = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
    record.filter(|record| record.tenant == app.tenant()).map(|record| (upload, record)).ok_or_else(missing)
}

fn json(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record is plain JSON")
}
