//! The HTTP door against a real nats-server. The rest of jetbatch is played by the test: it reads SUBMIT and writes
//! `status`.
#![allow(clippy::unwrap_used)]
mod files;
mod health;
mod jobs;
mod keys;
mod limits;
mod odd;
mod openai;
mod submit;
mod upload;

use bytes::Bytes;
use domain::{
    Event, JobId, Tenant, Timestamp,
    command::JobCommand,
    event::{At, Input, Priority, Submitted, Usage},
    status::{Counts, Live, State, Status},
    submission::Submission,
    trouble::{Kind, Scope, Trouble},
};
use jetbatch::streams::DECLARED;
use jetbatch::{
    bus::{Bus, Raw, Settings},
    config::Config,
    gateway,
    log::Feed,
    shared::Shared,
    troubles::Troubles,
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Once},
    time::Duration,
};
use store::Store;
use tempfile::TempDir;
use testkit::nats::Server;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::SubscriberInitExt;
use wire::Subject;
use wire::bucket;
use wire::{StoredStatus, envelope, stream::SUBMIT};

const WAIT: Duration = Duration::from_secs(20);

struct Stand {
    server: Server,
    bus: Bus,
    store: Store,
    http: reqwest::Client,
    address: String,
    stop: CancellationToken,
    door: JoinHandle<()>,
    troubles: Troubles,
    _folder: TempDir,
}

async fn stand() -> Stand {
    stand_with(|_| {}).await
}

async fn stand_with(set: impl FnOnce(&mut Config)) -> Stand {
    static LOGS: Once = Once::new();
    // Spans carry the trace only where somebody takes them.
    LOGS.call_once(|| tracing_subscriber::registry().init());
    let (server, folder) = (Server::start().await, TempDir::new().unwrap());
    let settings = Settings { url: Some(server.url()), ..Settings::default() };
    let bus = Bus::connect(&settings, &DECLARED, "test").await.unwrap();
    bus.apply_streams(&[]).await.unwrap();
    let mut config = Config { nats: settings, ..Config::default() };
    set(&mut config);
    let store = Store::open(&store::Settings::local(folder.path())).unwrap();
    let metrics = Arc::default();
    let troubles = Troubles::open(&bus, &metrics, "test");
    let shared = Shared {
        config: Arc::new(config),
        bus: bus.clone(),
        store: store.clone(),
        metrics,
        troubles: troubles.clone(),
        feed: Feed::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap().to_string(), CancellationToken::new());
    let run = gateway::run(shared, listener, stop.clone());
    let door = tokio::spawn(async move { run.await.unwrap() });
    Stand { server, bus, store, http: reqwest::Client::new(), address, stop, door, troubles, _folder: folder }
}

impl Stand {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.at(&self.address, method, path)
    }

    fn at(&self, door: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{door}{path}")).timeout(WAIT)
    }

    /// The address of a second door, which has seen nothing of what the first did.
    async fn other_door(&self) -> String {
        let settings = Settings { url: Some(self.server.url()), ..Settings::default() };
        let bus = Bus::connect(&settings, &DECLARED, "other").await.unwrap();
        let config = Arc::new(Config { nats: settings, ..Config::default() });
        let metrics = Arc::default();
        let troubles = Troubles::open(&bus, &metrics, "test");
        let shared = Shared { config, bus, store: self.store.clone(), metrics, troubles, feed: Feed::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(gateway::run(shared, listener, self.stop.clone()));
        address
    }

    /// Appends a job's first event, as intake does.
    async fn begin(&self, id: JobId) {
        self.begin_with(id, |_| {}).await;
    }

    async fn begin_with(&self, id: JobId, set: impl FnOnce(&mut Submitted)) {
        let mut submitted = Submitted {
            fingerprint: "f".into(),
            ..Submitted::new(Timestamp::new(1_700_000_000_000), Input::Inline, 1_000)
        };
        set(&mut submitted);
        let event = envelope::event(id, &Event::JobSubmitted(submitted), None);
        self.bus.publish(event.id(format!("begin:{id}"))).await.unwrap();
    }

    /// Appends what follows.
    async fn append(&self, id: JobId, event: &Event) {
        self.bus.publish(envelope::event(id, event, None).id(event.name())).await.unwrap();
    }

    /// The commands that went out.
    async fn commands(&self) -> Vec<JobCommand> {
        let (mut all, last) = (Vec::new(), self.bus.state(SUBMIT).await.unwrap().last_seq);
        for seq in 1..=last {
            let Some(raw) = self.bus.at(SUBMIT, seq).await.unwrap() else { continue };
            if matches!(raw.subject.parse(), Ok(Subject::ControlJob(_))) {
                all.push(envelope::decode("command", &raw.payload).unwrap());
            }
        }
        all
    }

    async fn tombstone(&self, id: JobId) {
        let deleted = Event::JobDeleted(At { at: Timestamp::new(1_700_000_001_000) });
        self.bus.publish(envelope::event(id, &deleted, None).id("tombstone")).await.unwrap();
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, json: &Value) -> Response {
        self.request(Method::POST, path).json(json).send().await.unwrap()
    }

    /// The submissions that went out, with their messages.
    async fn submitted(&self) -> Vec<(Submission, Raw)> {
        let (mut all, last) = (Vec::new(), self.bus.state(SUBMIT).await.unwrap().last_seq);
        for seq in 1..=last {
            let Some(raw) = self.bus.at(SUBMIT, seq).await.unwrap() else { continue };
            if matches!(raw.subject.parse(), Ok(Subject::SubmitJob(_))) {
                all.push((envelope::decode("submission", &raw.payload).unwrap(), raw));
            }
        }
        all
    }

    async fn put(&self, status: Status) {
        let stored = StoredStatus { v: 1, seq: 1, status, live: Live::default() };
        let json = serde_json::to_vec(&stored).unwrap();
        self.bus.bucket(bucket::STATUS).put(&stored.status.id.to_string(), json).await.unwrap();
    }

    async fn files(&self) -> Vec<String> {
        self.store.list("").await.unwrap().into_iter().map(|(path, _)| path).collect()
    }

    async fn read(&self, path: &str) -> Bytes {
        let size = self.store.size(path).await.unwrap().unwrap();
        self.store.range(path, 0..size).await.unwrap()
    }
}

/// A job as the projector would show it.
fn status(id: JobId, state: State) -> Status {
    Status {
        id,
        tenant: Tenant::default(),
        state,
        fingerprint: "f".into(),
        model: Some("tiny".into()),
        endpoint: None,
        priority: Priority::Normal,
        metadata: BTreeMap::new(),
        requests: Counts::default(),
        usage: Usage::default(),
        attempts: 0,
        retries: 0,
        submitted_at: Timestamp::new(1_700_000_000_000),
        validated_at: None,
        started_at: None,
        closing_at: None,
        ended_at: None,
        deadline: Timestamp::new(1_700_086_400_000),
        segments: 0,
        archived_prefix: 0,
        errors: Vec::new(),
        errors_total: 0,
        losses: 0,
        warnings: Vec::new(),
        output: None,
        error_file: None,
        reason: None,
        trace: None,
        webhook_host: None,
    }
}

fn job(name: &str) -> JobId {
    JobId::keyed("test", name)
}

async fn json(response: Response) -> Value {
    response.json().await.unwrap()
}

/// The status and the `code` and `param` of an answer that says no.
async fn refusal(response: Response) -> (u16, String, Option<String>) {
    let status = response.status().as_u16();
    let error = json(response).await["error"].clone();
    assert!(!error["message"].as_str().unwrap().is_empty());
    (status, error["code"].as_str().unwrap().to_owned(), error["param"].as_str().map(str::to_owned))
}
