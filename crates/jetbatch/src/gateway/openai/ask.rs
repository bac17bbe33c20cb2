//! One request that is answered when it is done: a job of its own, more urgent than most. It takes the same way as any
//! other, so that a prompt can be tried before a million are sent.
use super::{
    super::{
        app::App,
        body, commands,
        error::{Answer, Rejection},
        limits,
        submit::{self, Offer},
    },
    chunk, models,
};
use crate::paths::Kind;
use api::{ErrorCode, JSON, openai::BatchId};
use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{
    JobId,
    command::{CommandKind, JobCommand},
    event::{Code, LineError, Priority},
    line,
    raw::RawRequest,
    request::{Endpoint, Refusal},
    routes::Routes,
    status::State as Phase,
    submission::Submission,
    webhook,
};
use futures::TryStreamExt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{fmt, time::Duration};
use wire::StoredStatus;

/// Names the job where its answer is still to come.
const BATCH: &str = "x-batch-id";

#[derive(Serialize)]
struct Line<'a> {
    custom_id: &'static str,
    url: &'static str,
    body: &'a RawValue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wants {
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// `POST /v1/chat/completions` and its like.
pub async fn ask(endpoint: Endpoint, app: App, request: Request) -> Answer {
    let headers = request.headers().clone();
    let _place = app.ask_place()?;
    let body::Json { value, fingerprint, place: _body } =
        body::json::<Box<RawValue>>(&app, &headers, request.into_body()).await?;
    let wants = wants(&value)?;
    let body = unstreamed(&value)?;
    let submission = submission(endpoint, &body)?.check()?;
    check(&app.routes(), &submission)?;
    let offer = Offer { submission, fingerprint, upload: None };
    drop((value, body));
    let job = submit::taken(&app, None, offer).await?.id;
    let mut waiting = Waiting { app: app.clone(), job, is_over: false };
    let within = Duration::from_secs(app.shared.config.http.answer_s);
    let ended = app.await_job(job, within, |stored| stored.status.state.is_terminal()).await?;
    waiting.is_over = true;
    match ended.filter(|(stored, _)| stored.status.state.is_terminal()) {
        Some((stored, _)) => answer(&app, endpoint, &stored, wants).await,
        None => Ok(pending(job)),
    }
}

/// What intake would say of it a moment later.
fn check(routes: &Routes, submission: &Submission) -> Result<(), Rejection> {
    let Some(line) = submission.requests.as_ref().and_then(|requests| requests.first()) else { return Ok(()) };
    let reader = |model: Option<&str>| routes.reader(model, None);
    let request = line::check_for(line.as_str().as_bytes(), 1, submission.endpoint.as_deref(), reader);
    let request = request.map_err(|error| refused(&error))?;
    let model = request.model.as_deref();
    if routes.pool(model, None).is_none() {
        return Err(models::unknown(model.unwrap_or_default()));
    }
    match request.body {
        Err(Refusal { message, param, .. }) => Err(Rejection { param, ..Rejection::invalid(message) }),
        Ok(_) => Ok(()),
    }
}

fn submission(endpoint: Endpoint, body: &RawValue) -> Result<Submission, Rejection> {
    let line = Line { custom_id: "request", url: endpoint.url(), body };
    let request = RawRequest::of(&line).map_err(|error| Rejection::invalid(format!("the body: {error}")))?;
    Ok(Submission {
        endpoint: Some(endpoint.url().to_owned()),
        priority: Some(Priority::High),
        requests: Some(vec![request]),
        // Whoever asked waits for it.
        webhook_url: Some(webhook::NONE.to_owned()),
        ..Submission::default()
    })
}

fn wants(body: &RawValue) -> Result<Wants, Rejection> {
    body::parse(body.get().as_bytes())
}

/// The same body without what says how its answer comes: that is the door's, and the engine's is whole.
fn unstreamed(body: &RawValue) -> Result<Box<RawValue>, Rejection> {
    let Fields(fields) = serde_json::from_str(body.get())
        .map_err(|error| Rejection::invalid(format!("the body must be a JSON object: {error}")))?;
    let kept = fields.into_iter().filter(|(name, _)| !matches!(&**name, "stream" | "stream_options"));
    let text = kept.map(|(name, value)| format!("{}:{}", serde_json::Value::from(name), value.get()));
    let text = format!("{{{}}}", text.collect::<Vec<_>>().join(","));
    RawValue::from_string(text).map_err(|error| Rejection::invalid(format!("the body: {error}")))
}

/// An object's fields in their order; what stands twice, twice.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Nobody waits for it any more: it is cancelled.
struct Waiting {
    app: App,
    job: JobId,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (false, Ok(runtime)) = (self.is_over, tokio::runtime::Handle::try_current()) else { return };
        let (app, command) = (self.app.clone(), JobCommand::new(CommandKind::Cancel, self.job));
        runtime.spawn(async move {
            if let Err(refusal) = commands::send(&app, &command).await {
                tracing::warn!(job = %command.job, refusal.message, "nobody waits for a request, and it goes on");
            }
        });
    }
}

fn pending(job: JobId) -> Response {
    let id = BatchId(job);
    let message = format!("it takes longer than http.answer_s; it goes on as {id}: GET /v1/batches/{id}");
    let mut response = Rejection::new(ErrorCode::AnswerPending, message).into_response();
    response.headers_mut().insert(BATCH, id.to_string().try_into().expect("an id is ASCII"));
    response
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    response: Option<Told<'a>>,
    error: Option<Failed>,
}

#[derive(Deserialize)]
struct Told<'a> {
    status_code: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Failed {
    code: String,
    message: String,
}

async fn answer(app: &App, endpoint: Endpoint, stored: &StoredStatus, wants: Wants) -> Answer {
    let status = &stored.status;
    if status.state == Phase::Failed {
        let error = status.errors.first();
        return Err(error.map_or_else(|| Rejection::invalid("the request is not valid"), refused));
    }
    let files = [(Kind::Output, &status.output), (Kind::Errors, &status.error_file)];
    let file = files.into_iter().find_map(|(_, file)| file.as_ref().filter(|file| file.bytes > 0));
    let file =
        file.ok_or_else(|| Rejection::unavailable(format!("it was {} without an answer", status.state.as_str())))?;
    let blocks = app.shared.store.blocks(file.path.clone(), 0..file.bytes, limits::DOWNLOAD_BLOCK_BYTES);
    let line: Vec<Bytes> = blocks.try_collect().await?;
    told(endpoint, &line.concat(), &wants)
}

fn told(endpoint: Endpoint, line: &[u8], wants: &Wants) -> Answer {
    let read: Answered<'_> = serde_json::from_slice(line).map_err(|_| unreadable())?;
    let Some(Told { status_code, body }) = read.response else {
        let Failed { code, message } = read.error.ok_or_else(unreadable)?;
        return Err(Rejection::unavailable(format!("{code}: {message}")));
    };
    let status = StatusCode::from_u16(status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if wants.stream == Some(true) && status.is_success() && endpoint != Endpoint::Embeddings {
        let answer = serde_json::from_str(body.get()).map_err(|_| unreadable())?;
        let with_usage = wants.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
        let events = chunk::events(endpoint, answer, with_usage);
        let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        return Ok((status, [(CONTENT_TYPE, "text/event-stream")], Body::from(events)).into_response());
    }
    Ok((status, [(CONTENT_TYPE, JSON)], Body::from(body.get().to_owned())).into_response())
}

fn unreadable() -> Rejection {
    Rejection::unavailable("the answer cannot be read by this version")
}

/// What validation says of a file is said of its one request.
fn refused(LineError { code, message, param, .. }: &LineError) -> Rejection {
    if *code == Code::ModelMismatch {
        return Rejection::new(ErrorCode::ModelNotFound, message.clone()).param("model");
    }
    let refusal = Rejection::invalid(message.clone());
    match param {
        Some(param) => refusal.param(param.trim_start_matches("body.")),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_through_as_it_was_written() {
        let body: Box<RawValue> = serde_json::from_str(r#"{"messages": [], "temperature": 1.50}"#).unwrap();
        let submission = submission(Endpoint::Chat, &body).unwrap();
        let line = r#"{"custom_id":"request","url":"/v1/chat/completions","body":{"messages":[],"temperature":1.50}}"#;
        assert_eq!(submission.requests.unwrap()[0].as_str(), line);
        assert_eq!(submission.priority, Some(Priority::High));
        let body = r#"{"z":1.50,"stream":true,"a":"\u00e9","stream_options":{},"z":2}"#;
        let body: Box<RawValue> = serde_json::from_str(body).unwrap();
        assert_eq!(unstreamed(&body).unwrap().get(), r#"{"z":1.50,"a":"\u00e9","z":2}"#);
        assert!(unstreamed(&serde_json::from_str::<Box<RawValue>>("[]").unwrap()).is_err());
    }

    /// Whoever waits for a stream would get none, and not know why.
    #[test]
    fn what_says_how_an_answer_comes_is_read_as_all_else() {
        let wants = |text: &str| wants(&serde_json::from_str::<Box<RawValue>>(text).unwrap());
        let read =
            wants(r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#).unwrap();
        assert_eq!((read.stream, read.stream_options.unwrap().include_usage), (Some(true), Some(true)));
        for plain in [r#"{"stream":null,"stream_options":null,"x":[1e400]}"#, "{}"] {
            assert_eq!(wants(plain).unwrap().stream, None);
        }
        for (body, param) in [
            (r#"{"stream":"true"}"#, Some("stream")),
            (r#"{"stream":1}"#, Some("stream")),
            (r#"{"stream":true,"stream_options":5}"#, Some("stream_options")),
            (r#"{"stream_options":{"include_usage":"yes"}}"#, Some("stream_options.include_usage")),
            (r#"{"stream":true,"stream":false}"#, None),
            (r#"{"stream":true,"str\u0065am":true}"#, None),
            ("7", None),
        ] {
            assert_eq!(wants(body).unwrap_err().param.as_deref(), param, "{body}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_as_the_engine_gave_it() {
        let line = |response: &str, error: &str| format!(r#"{{"id":"x","response":{response},"error":{error}}}"#);
        let good = line(r#"{"status_code":200,"request_id":"r","body":{"choices":[],"usage":{}}}"#, "null");
        let response = told(Endpoint::Chat, good.as_bytes(), &Wants::default()).unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        assert_eq!(bytes, r#"{"choices":[],"usage":{}}"#);
        let bad = line(r#"{"status_code":400,"request_id":"r","body":{"error":{}}}"#, "null");
        assert_eq!(told(Endpoint::Chat, bad.as_bytes(), &Wants::default()).unwrap().status(), 400);
        let late = line("null", r#"{"code":"batch_expired","message":"too late"}"#);
        let refusal = told(Endpoint::Chat, late.as_bytes(), &Wants::default()).unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_str()), (ErrorCode::Unavailable, "batch_expired: too late"));
        let wants = Wants { stream: Some(true), ..Wants::default() };
        let response = told(Endpoint::Chat, good.as_bytes(), &wants).unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        assert!(bytes.starts_with(b"data: {") && bytes.ends_with(b"data: [DONE]\n\n"), "{bytes:?}");
    }
}
