//! Files on their way into the store. Memory is bounded whatever their size, and one that does not arrive whole leaves
//! nothing.
use super::{
    app::App,
    body::{decoded, media, whole},
    error::{Answer, Rejection},
    fields::Fields,
    limits,
    min_rate::MinRate,
};
use crate::paths::{self, UploadRef};
use api::{FORM, Kind, StoredFile};
use axum::{
    Json,
    body::{Body, HttpBody},
    extract::{FromRequest, Multipart, Request, multipart::Field},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use domain::Tenant;
use futures::{Stream, StreamExt};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use store::Store;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const FILE: &str = "file";

/// A file in the store that is deleted again unless it is kept.
pub struct Upload {
    pub id: Uuid,
    tenant: Tenant,
    pub bytes: u64,
    pub content: blake3::Hash,
    store: Option<Store>,
}

impl Upload {
    /// One that was made of others.
    pub fn of(app: &App, id: Uuid, bytes: u64) -> Self {
        Self { id, tenant: app.tenant(), bytes, content: blake3::hash(b""), store: Some(app.shared.store.clone()) }
    }

    pub fn url(&self) -> String {
        url(self.id)
    }

    pub fn keep(&mut self) {
        self.store = None;
    }

    /// It is not kept after all.
    pub fn discard(&mut self, store: &Store) {
        self.store = Some(store.clone());
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(store), Ok(runtime)) = (self.store.take(), tokio::runtime::Handle::try_current()) else { return };
        let path = paths::upload(UploadRef { tenant: self.tenant, id: self.id });
        runtime.spawn(async move {
            if let Err(error) = store.delete(&path).await {
                tracing::warn!(%error, path, "an upload that is not wanted could not be deleted");
            }
        });
    }
}

fn url(id: Uuid) -> String {
    format!("upload://{}", id.hyphenated())
}

/// Writes a stream of bytes as one file.
pub async fn receive<E: fmt::Display>(
    app: &App,
    pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Upload, Rejection> {
    receive_in(app, &app.shared.store, pieces).await
}

async fn receive_in<E: fmt::Display>(
    app: &App,
    store: &Store,
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<Upload, Rejection> {
    let mut place = app.upload_place().await?;
    let (max, id) = (app.shared.config.intake.input_bytes_max, Uuid::now_v7());
    // Dropped before it is finished, the writer leaves nothing: that is so for each `?` below, and for a client that
    // goes away, which drops this future.
    let mut writer = store.writer(&paths::upload(app.upload(id))).await?;
    let (mut hasher, mut rate) = (blake3::Hasher::new(), MinRate::default());
    while let Some(piece) = paced(&mut rate, &mut pieces).await? {
        if writer.bytes() + piece.len() as u64 > max {
            return Err(too_large(max));
        }
        place.add(piece.len() as u64)?;
        hasher.update(&piece);
        writer.write(piece).await?;
    }
    let bytes = writer.finish().await?;
    place.keep();
    Ok(Upload { id, tenant: app.tenant(), bytes, content: hasher.finalize(), store: Some(store.clone()) })
}

/// The next piece, where it comes in time.
async fn paced<E: fmt::Display>(
    rate: &mut MinRate,
    pieces: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
) -> Result<Option<Bytes>, Rejection> {
    let asked = Instant::now();
    let piece = timeout(rate.left, pieces.next()).await.map_err(|_| Rejection::too_slow())?;
    let piece = piece.transpose().map_err(Rejection::cut_off)?;
    rate.note(asked.elapsed(), piece.as_ref().map_or(0, Bytes::len));
    Ok(piece)
}

fn too_large(max: u64) -> Rejection {
    Rejection::too_large(format!("an input has at most {max} bytes (intake.input_bytes_max)"))
}

/// The body itself is the file.
pub async fn raw(app: &App, store: &Store, request: Request) -> Result<Upload, Rejection> {
    let max = app.shared.config.intake.input_bytes_max;
    if request.body().size_hint().lower() > max {
        return Err(too_large(max));
    }
    receive_in(app, store, decoded(request)?.into_body().into_data_stream()).await
}

/// A form: fields, then the file. `ready` judges the fields before the file is read.
pub async fn form(
    app: &App,
    store: &Store,
    request: Request,
    fields: &mut Fields,
    ready: impl Fn(&Fields) -> Result<(), Rejection>,
) -> Result<Upload, Rejection> {
    let mut form = Form::open(request).await?;
    let (unused, mut upload) = (form.unused.clone(), None);
    while let Some(field) = form.next().await? {
        match (field.name(), &upload) {
            (Some(FILE), None) => {
                if let Some(name) = field.file_name().filter(|_| fields.is_mapped()) {
                    fields.name(name);
                }
                ready(fields)?;
                let field = field.inspect(|_| unused.store(0, Ordering::Relaxed));
                upload = Some(receive_in(app, store, field).await?);
            }
            (_, Some(_)) => return Err(Rejection::invalid("the file must be the last field of the form").param(FILE)),
            (_, None) => {
                let name = field.name().unwrap_or_default().to_owned();
                fields.add(&name, text(&name, field).await?)?;
            }
        }
    }
    upload.ok_or_else(|| Rejection::invalid("the form has no field 'file'").param(FILE))
}

/// A form that is read field by field.
pub struct Form {
    fields: Multipart,
    /// Bytes that came since a field was seen.
    pub unused: Arc<AtomicUsize>,
}

impl Form {
    pub async fn open(request: Request) -> Result<Self, Rejection> {
        let unused = Arc::new(AtomicUsize::new(0));
        let request = decoded(request)?.map(|body| bounded(body, unused.clone()));
        let fields = Multipart::from_request(request, &()).await;
        let fields = fields.map_err(|e| Rejection::invalid(e.body_text()).param("Content-Type"))?;
        Ok(Self { fields, unused })
    }

    pub async fn next(&mut self) -> Result<Option<Field<'_>>, Rejection> {
        let field = timeout(limits::STALL_MAX, self.fields.next_field()).await.map_err(|_| Rejection::too_slow())?;
        self.unused.store(0, Ordering::Relaxed);
        field.map_err(|e| Rejection::cut_off(e.body_text()))
    }
}

/// A field as one file.
pub async fn receive_field(app: &App, field: Field<'_>, unused: &AtomicUsize) -> Result<Upload, Rejection> {
    receive(app, field.inspect(|_| unused.store(0, Ordering::Relaxed))).await
}

/// The parser keeps what comes before a field and the field's head until it has seen their end, however far that is.
fn bounded(body: Body, unused: Arc<AtomicUsize>) -> Body {
    Body::from_stream(body.into_data_stream().map(move |piece| {
        let piece = piece?;
        match unused.fetch_add(piece.len(), Ordering::Relaxed) + piece.len() {
            0..=limits::FORM_UNUSED_BYTES_MAX => Ok(piece),
            _ => Err(axum::Error::new("a field's head is too long")),
        }
    }))
}

pub async fn text(name: &str, field: Field<'_>) -> Result<String, Rejection> {
    let read = timeout(limits::STALL_MAX, whole(field, limits::FIELD_BYTES_MAX)).await;
    let bytes = read.map_err(|_| Rejection::too_slow())??;
    let bytes = bytes.ok_or_else(|| Rejection::too_large("a form field is too large").param(name))?;
    String::from_utf8(bytes.into()).map_err(|_| Rejection::invalid("a form field is not UTF-8").param(name))
}

/// `POST /files`: a file for a submission that follows by any door.
pub async fn keep(app: App, request: Request) -> Answer {
    let mut upload = if media(request.headers()) == FORM {
        let none = |fields: &Fields| match fields.is_empty() {
            true => Ok(()),
            false => Err(Rejection::invalid("only 'file' is taken here; settings go with the submission")),
        };
        form(&app, &app.shared.store, request, &mut Fields::default(), none).await?
    } else {
        raw(&app, &app.shared.store, request).await?
    };
    upload.keep();
    tracing::info!(file = %upload.id, bytes = upload.bytes, "a file was uploaded");
    app.note.on(upload.id);
    let (id, object, input, bytes) = (upload.id.to_string(), Kind::File, upload.url(), upload.bytes);
    Ok((StatusCode::CREATED, Json(StoredFile { id, object, input, bytes })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::ErrorCode;
    use futures::stream;
    use std::time::Duration;

    /// Never silent, and too slow all the same.
    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_given_up() {
        let trickle = |bytes: usize| {
            let piece = move |n: u32| async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                (n < 100).then(|| (Ok::<_, String>(Bytes::from(vec![0; bytes])), n + 1))
            };
            Box::pin(stream::unfold(0, piece))
        };
        let slow = read(MinRate::default(), trickle(1)).await;
        assert_eq!(slow.unwrap_err().code, ErrorCode::Timeout);
        assert_eq!(read(MinRate::new(Duration::from_secs(600)), trickle(1)).await.unwrap(), 100);
    }

    async fn read(
        mut rate: MinRate,
        mut body: impl Stream<Item = Result<Bytes, String>> + Unpin,
    ) -> Result<usize, Rejection> {
        let mut bytes = 0;
        while let Some(piece) = paced(&mut rate, &mut body).await? {
            bytes += piece.len();
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_form_may_not_go_on_unused() {
        let piece = || Ok::<_, axum::Error>(Bytes::from(vec![0; limits::FORM_UNUSED_BYTES_MAX]));
        let body = || Body::from_stream(stream::iter([piece(), piece()]));
        let unused = Arc::new(AtomicUsize::new(0));
        let mut pieces = bounded(body(), unused.clone()).into_data_stream();
        assert!(pieces.next().await.unwrap().is_ok());
        assert!(pieces.next().await.unwrap().is_err());
        unused.store(0, Ordering::Relaxed);
        let mut pieces = bounded(body(), unused.clone()).into_data_stream();
        assert!(pieces.next().await.unwrap().is_ok());
        unused.store(0, Ordering::Relaxed);
        assert!(pieces.next().await.unwrap().is_ok());
    }
}
