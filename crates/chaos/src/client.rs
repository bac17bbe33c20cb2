//! A client of both doors that does not give up: it asks another head, and sends again under the same key.
use crate::{
    check::{Lines, Says, Tally},
    nats::Nats,
    oracle::Oracle,
    plan::{Door, Fate, Job},
};
use api::{Accepted, IDEMPOTENCY_KEY, JSON, NDJSON, Route};
use bytes::Bytes;
use domain::{JobId, command::CommandKind};
use futures::{StreamExt, future::join_all};
use reqwest::{Client as Http, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use wire::Subject;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A head that is well tells a status at once.
const SAY_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(250);
/// The longest that a door may stay shut.
const DOOR_WITHIN: Duration = Duration::from_secs(300);

pub struct Client {
    pub nats: Nats,
    pub oracle: Oracle,
    http: Http,
    bases: Vec<String>,
    turn: AtomicUsize,
    inputs: PathBuf,
    /// Of the job keys: no two runs share one.
    seed: u64,
}

/// A submission as it goes over the wire, the same at each try.
struct Offer {
    key: String,
    /// Query and content type, for HTTP.
    path: String,
    media: &'static str,
    body: Bytes,
}

impl Client {
    pub fn new(nats: Nats, oracle: Oracle, bases: Vec<String>, dir: &Path, seed: u64) -> reqwest::Result<Self> {
        let http = Http::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
        Ok(Self { nats, oracle, http, bases, turn: AtomicUsize::new(0), inputs: dir.join("inputs"), seed })
    }

    pub fn id(&self, job: &Job) -> JobId {
        JobId::keyed("default", &self.key(job))
    }

    fn key(&self, job: &Job) -> String {
        format!("chaos-{}-{}", self.seed, job.number)
    }

    /// Submits until it is taken. Gives the number of tries.
    pub async fn submit(&self, job: &Job) -> Result<u32, String> {
        let offer = self.offer(job).map_err(|error| error.to_string())?;
        match job.door {
            Door::Upload | Door::Json => self.by_http(job, &offer).await,
            Door::Nats | Door::File => {
                let give_up = Instant::now() + DOOR_WITHIN;
                self.nats.publish(&Subject::Submit, &offer.key, offer.body, give_up).await
            }
        }
    }

    fn offer(&self, job: &Job) -> std::io::Result<Offer> {
        let window = match job.fate {
            Fate::Expired { window_s } => format!("{window_s}s"),
            _ => "24h".to_owned(),
        };
        let last = job.requests - 1;
        let is_valid = |n| n != last || job.fate != Fate::Rejected;
        let requests = (0..job.requests).map(|n| self.oracle.request(job, n, is_valid(n)));
        let submission = |name: &str, value: Value| json!({"completion_window": window, name: value}).to_string();
        let (media, body) = match job.door {
            Door::Upload => (NDJSON, lines(requests)),
            Door::Json | Door::Nats => (JSON, submission("requests", requests.collect())),
            Door::File => {
                let path = self.inputs.join(format!("{}.jsonl", job.number));
                std::fs::write(&path, lines(requests))?;
                (JSON, submission("input", json!(format!("file://{}", path.display()))))
            }
        };
        let query = if job.door == Door::Upload { format!("?completion_window={window}") } else { String::new() };
        Ok(Offer { key: self.key(job), path: format!("{}{query}", Route::Submit.path()), media, body: body.into() })
    }

    async fn by_http(&self, job: &Job, offer: &Offer) -> Result<u32, String> {
        let (give_up, mut tries) = (Instant::now() + DOOR_WITHIN, 0);
        loop {
            tries += 1;
            let request = self.post(&offer.path).header("Content-Type", offer.media);
            match ask(request.header(IDEMPOTENCY_KEY, &offer.key).body(offer.body.clone())).await {
                Some((code, body)) if code.is_success() => {
                    let id = self.id(job);
                    return match serde_json::from_value::<Accepted>(body) {
                        Ok(accepted) if accepted.id == id => Ok(tries),
                        other => Err(format!("it should be accepted as {id}, and was so: {other:?}")),
                    };
                }
                Some((code, body)) if is_final(code) => return Err(format!("{code}: {body}")),
                other if Instant::now() > give_up => return Err(format!("no head takes it: {other:?}")),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Tells jetbatch to do something with a job, by one door or the other, until it is taken.
    pub async fn command(&self, job: &Job, kind: CommandKind) -> Result<(), String> {
        let (id, verb, give_up) = (self.id(job), kind.as_str(), Instant::now() + DOOR_WITHIN);
        if job.seed.is_multiple_of(2) {
            let payload = json!({"command": verb, "job": id}).to_string();
            let key = format!("{}-{verb}", self.key(job));
            return self.nats.publish(&Subject::Control, &key, payload.into(), give_up).await.map(drop);
        }
        loop {
            match ask(self.post(&Route::command(kind).of(id))).await {
                // Too late, which it may be.
                Some((code, _)) if code.is_success() || code == StatusCode::CONFLICT => return Ok(()),
                // A job that is stored and not folded yet has no status.
                Some((code, body)) if is_final(code) && code != StatusCode::NOT_FOUND => {
                    return Err(format!("{verb}: {code}: {body}"));
                }
                other if Instant::now() > give_up => return Err(format!("no head takes the {verb}: {other:?}")),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// A job's status, if a head tells it.
    pub async fn view(&self, id: JobId) -> Option<api::Job> {
        let (code, body) = ask(self.get(&Route::Job.of(id))).await?;
        serde_json::from_value(body).ok().filter(|_| code.is_success())
    }

    /// What the heads say of a job that stands still.
    pub async fn says(&self, id: JobId) -> Says {
        let ask = |base| async move {
            let request = self.http.get(format!("{base}{}", Route::Job.of(id))).timeout(SAY_WITHIN);
            let (code, body) = ask(request).await?;
            serde_json::from_value::<api::Job>(body).ok().filter(|_| code.is_success())
        };
        let told: Vec<api::Job> = join_all(self.bases.iter().map(ask)).await.into_iter().flatten().collect();
        match told.iter().any(|view| view.stalled.is_some()) {
            true => Says::Why,
            false if told.is_empty() => Says::Unread,
            false => Says::Nothing,
        }
    }

    /// Reads both files of a job that has ended, as a client does, and holds them against what was asked. None where
    /// a head went away in the middle.
    pub async fn check(&self, job: &Job, view: &api::Job) -> Option<Tally> {
        let mut checked = Lines::new(job, &self.oracle, view.state, view.requests.total);
        self.read(job, Route::Results, |line| checked.output(line)).await?;
        self.read(job, Route::Errors, |line| checked.error(line)).await?;
        Some(checked.end())
    }

    async fn read(&self, job: &Job, which: Route, mut each: impl FnMut(&[u8])) -> Option<()> {
        let answer = self.get(&which.of(self.id(job))).send().await.ok()?;
        let mut blocks = answer.error_for_status().ok()?.bytes_stream();
        let mut open: Vec<u8> = Vec::new();
        while let Some(block) = blocks.next().await {
            open.extend_from_slice(&block.ok()?);
            while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
                each(&open[..end]);
                open.drain(..=end);
            }
        }
        if !open.is_empty() {
            each(&open);
        }
        Some(())
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base()))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base()))
    }

    /// The heads in turn.
    fn base(&self) -> &str {
        &self.bases[self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len()]
    }
}

async fn ask(request: RequestBuilder) -> Option<(StatusCode, Value)> {
    let answer = request.send().await.ok()?;
    let code = answer.status();
    let bytes = answer.bytes().await.ok()?;
    Some((code, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// Whether trying again cannot help.
fn is_final(code: StatusCode) -> bool {
    code.is_client_error() && code != StatusCode::REQUEST_TIMEOUT && code != StatusCode::TOO_MANY_REQUESTS
}

fn lines(requests: impl Iterator<Item = Value>) -> String {
    requests.fold(String::new(), |mut text, request| {
        text.push_str(&request.to_string());
        text.push('\n');
        text
    })
}
