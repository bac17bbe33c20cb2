//! The service `jetbatch` on NATS: what `nats micro ls` shows, and clients of NATS ask who speak no HTTP. Whose a request
//! is stands in its subject, and NATS sees to it who may publish there. The handlers are those of HTTP.
use super::{
    app::App,
    audit,
    auth::Caller,
    commands,
    error::{Answer, Rejection, cut},
    jobs, limits,
    places::{Place, Places},
    quote, resubmit,
    state::AppState,
    submit,
};
use crate::{audit as recorded, payload};
use api::{IDEMPOTENCY_KEY, JSON, schema};
use async_nats::{
    Message,
    service::{Request, ServiceExt, error::Error as Refusal},
};
use axum::{
    body::{Body, to_bytes},
    extract::Path,
    http::{self, header::CONTENT_TYPE},
};
use bytes::Bytes;
use domain::{
    JobId, Tenant,
    audit::What,
    command::{CommandKind, JobCommand},
};
use futures::{StreamExt, stream::SelectAll};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Ask, Asks, envelope};

const NAME: &str = "jetbatch";
const MESSAGE_ID: &str = "Nats-Msg-Id";
const WHAT: &str = "Batch inference: a file of prompts and a deadline, each answered once.";

/// Answers until `stop`.
pub async fn run(app: &Arc<AppState>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = serve(app, &stop).await {
            tracing::debug!(error, "the service on NATS cannot be offered; trying again");
        }
        stop.run_until_cancelled(sleep(limits::MICRO_PAUSE)).await;
    }
}

async fn serve(app: &Arc<AppState>, stop: &CancellationToken) -> Result<(), async_nats::Error> {
    let client = app.shared.bus.client();
    let service = client.service_builder().description(WHAT).start(NAME, env!("CARGO_PKG_VERSION")).await?;
    let mut asked = SelectAll::new();
    for ask in Ask::ALL {
        let endpoint = service.endpoint_builder().name(ask.as_str()).metadata(metadata(ask));
        asked.push(endpoint.add(Asks(None, ask)).await?.map(move |request| (ask, request)));
    }
    let (tasks, places) = (TaskTracker::new(), Arc::new(Places::new(limits::MICRO_MAX)));
    while let Some(Some((ask, request))) = stop.run_until_cancelled(asked.next()).await {
        let asker = asker(&request.message, ask).and_then(|tenant| {
            let place = places.take(tenant).ok_or_else(|| Rejection::busy("requests over NATS"))?;
            Ok((tenant, place))
        });
        tasks.spawn(respond(app.clone(), ask, request, asker));
    }
    tasks.close();
    tasks.wait().await;
    service.stop().await
}

fn asker(message: &Message, ask: Ask) -> Result<Tenant, Rejection> {
    Asks(None, ask).tenant(&message.subject).map_err(|error| Rejection::invalid(error.to_string()))
}

async fn respond(app: Arc<AppState>, ask: Ask, request: Request, asker: Result<(Tenant, Place<Tenant>), Rejection>) {
    if request.message.reply.as_ref().is_some_and(|reply| is_taken(reply)) {
        return;
    }
    let said = match &asker {
        Ok((tenant, _place)) => answer(App::of(app, Caller::Tenant(*tenant)), ask, &request.message).await,
        Err(refused) => Err(refused.clone()),
    };
    let said = said.map_err(|refused| Refusal { code: refused.status().as_u16().into(), status: words(refused) });
    if let Err(error) = request.respond(said).await {
        tracing::debug!(%error, ask = ask.as_str(), "a request was not answered");
    }
}

/// Whether an answer there would be a message of our own, or to NATS itself: who asks must not speak with our rights.
fn is_taken(reply: &str) -> bool {
    reply.starts_with('$') || wire::is_own(reply)
}

/// On one line, as a header is.
fn words(refused: Rejection) -> String {
    let param = refused.param.map(|param| format!(" ({param})")).unwrap_or_default();
    let text = format!("{}{param}", cut(refused.message));
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

async fn answer(app: App, ask: Ask, message: &Message) -> Result<Bytes, Rejection> {
    app.count_request()?;
    let response = match ask {
        Ask::Submit => submit(app, message).await,
        Ask::Quote => quote::quote(app, None, posted(message)?).await,
        Ask::Status => jobs::one(app, Path(job(&message.payload)?)).await,
        Ask::Control => control(app, message).await,
    };
    to_bytes(response?.into_body(), usize::MAX).await.map_err(Rejection::cut_off)
}

/// As it would come over HTTP. A message id is an idempotency key here, too.
fn posted(message: &Message) -> Result<axum::extract::Request, Rejection> {
    let header = |name: &str| message.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned());
    let kind = header(envelope::CONTENT_TYPE).unwrap_or_else(|| JSON.to_owned());
    let mut request = http::Request::post("/").header(CONTENT_TYPE, kind);
    if let Some(key) = header(IDEMPOTENCY_KEY).or_else(|| header(MESSAGE_ID)) {
        request = request.header(IDEMPOTENCY_KEY, key);
    }
    let request = request.body(Body::from(message.payload.clone()));
    request.map_err(|_| Rejection::invalid("a header of the message is no header of HTTP"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    job: String,
}

/// `{"job":"..."}`, or the id alone.
fn job(payload: &[u8]) -> Result<String, Rejection> {
    let text = std::str::from_utf8(payload).unwrap_or_default().trim();
    if !text.starts_with('{') {
        return Ok(text.to_owned());
    }
    let named = serde_json::from_str::<Named>(text);
    named
        .map(|named| named.job)
        .map_err(|error| Rejection::invalid(format!("the body is not what is expected: {error}")))
}

/// Recorded, where it came to a job, whatever is answered.
async fn submit(app: App, message: &Message) -> Answer {
    let said = submit::create(app.clone(), posted(message)?).await;
    audit::asked(&app, What::Submit, None).await;
    said
}

async fn control(app: App, message: &Message) -> Answer {
    let kind = message.headers.as_ref().and_then(|headers| headers.get(envelope::CONTENT_TYPE));
    let read = payload::read(kind.map(|kind| kind.as_str()), &message.payload);
    let command: JobCommand = read.map_err(|why| Rejection::invalid(format!("the command is {why}")))?;
    let (what, job) = (recorded::what(command.kind), command.job);
    let said = match command.kind {
        CommandKind::Retry => resubmit::retry(&app, job).await?,
        _ => commands::carry_out(&app, command).await.map(commands::told)?,
    };
    audit::asked(&app, what, Some(job)).await;
    Ok(said)
}

/// What an endpoint takes and gives, as JSON Schemas.
fn metadata(ask: Ask) -> HashMap<String, String> {
    let (takes, gives) = match ask {
        Ask::Submit => (schema("Submission"), schema("Accepted")),
        Ask::Quote => (schema("Submission"), schema("Quote")),
        Ask::Status => (asks(&json!({"job": id()})), schema("Job")),
        Ask::Control => (command(), schema("Job")),
    };
    let entries =
        [("format", JSON.to_owned()), ("request_schema", takes.to_string()), ("response_schema", gives.to_string())];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn command() -> Value {
    let kinds: Vec<&str> = CommandKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut schema = asks(&json!({
        "command": {"enum": kinds},
        "job": id(),
        "completion_window": {"type": "string", "description": "For deadline: a duration such as 48h, counted from the submission."},
        "priority": schema("Priority"),
    }));
    schema["required"] = json!(["command", "job"]);
    schema
}

fn asks(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties, "required": ["job"], "additionalProperties": false})
}

fn id() -> Value {
    json!({"type": "string", "format": "uuid", "examples": [JobId::keyed("default", "monday").to_string()]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_in_json_or_plainly() {
        let id = JobId::keyed("default", "monday").to_string();
        assert_eq!(job(format!(" {id}\n").as_bytes()), Ok(id.clone()));
        assert_eq!(job(json!({"job": id}).to_string().as_bytes()), Ok(id));
        for bad in [&br#"{"id":"x"}"#[..], br#"{"job":7}"#, b"{"] {
            assert!(job(bad).is_err());
        }
    }

    #[test]
    fn each_endpoint_says_what_it_takes_and_gives() {
        for ask in Ask::ALL {
            let metadata = metadata(ask);
            for name in ["request_schema", "response_schema"] {
                let schema: Value = serde_json::from_str(&metadata[name]).unwrap();
                assert_eq!(schema["type"], "object", "{} of {}", name, ask.as_str());
            }
        }
    }

    #[test]
    fn no_answer_is_a_message_of_our_own() {
        for reply in ["jobs.submit", "tenant.blue.ask.control", "worker.tiny.w1", "$KV.keys.a", "$JS.API.INFO"] {
            assert!(is_taken(reply), "{reply}");
        }
        assert!(!is_taken("_INBOX_submitter-blue.x.1") && !is_taken("_INBOX.abc"));
    }

    #[test]
    fn a_refusal_is_one_line() {
        let refused = Rejection::invalid("two\nlines").param("body");
        assert_eq!(words(refused), "two lines (body)");
        assert!(words(Rejection::invalid("x".repeat(1 << 20))).len() < 2_000, "a header is no place for what was sent");
    }
}
