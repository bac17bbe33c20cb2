//! One server: where it is, how it stands, and one call to it.
use super::{
    limit::Limit,
    load::{self, Load},
    pace::Pace,
    standing::{Outcome, Standing},
    stream::Stream,
    verdict::{self, Response, Verdict},
};
use crate::{Answer, Endpoint, Usage};
use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use serde::Deserialize;
use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Of a look at a server that is not asked to compute anything.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Of a list of models, or of metrics.
const LOOK_BYTES_MAX: usize = 4 << 20;
/// A longer answer is none.
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub struct Server {
    /// Without a login.
    pub name: String,
    /// Up to and with `/v1`.
    base: String,
    standing: Mutex<Standing>,
    started: Instant,
    /// It is one that notices only so that nobody waits any more.
    streams: AtomicBool,
    /// Whether it has figures that are known here.
    is_metered: AtomicBool,
    load: Mutex<Load>,
    pace: Mutex<Pace>,
    /// The model that it serves, where that is one.
    model: OnceLock<String>,
    pub beats: AtomicU64,
}

/// One call.
pub struct Asked<'a> {
    pub endpoint: Endpoint,
    pub body: Bytes,
    pub streams: bool,
    /// Some servers repeat the key that they refuse.
    pub key: Option<&'a str>,
}

/// What came of one try.
pub enum Tried {
    Verdict(Verdict),
    /// No connection.
    Away(String),
    /// The connection was lost before the answer was whole.
    Lost(String),
    /// No answer in time.
    Late,
}

impl Server {
    pub fn new(base: String, limit: Limit) -> Self {
        let name = base.strip_suffix("/v1").unwrap_or(&base).to_owned();
        Self {
            name,
            base,
            standing: Mutex::new(Standing::new(limit)),
            started: Instant::now(),
            streams: AtomicBool::new(false),
            is_metered: AtomicBool::new(false),
            load: Mutex::default(),
            pace: Mutex::default(),
            model: OnceLock::new(),
            beats: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    pub fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn model(&self) -> Option<&str> {
        self.model.get().map(String::as_str)
    }

    pub async fn call(&self, client: &Client, asked: Asked<'_>, within: Duration) -> Tried {
        let url = asked.endpoint.url();
        let path = url.strip_prefix("/v1").unwrap_or(url);
        let request = client.post(format!("{}{path}", self.base)).header(header::CONTENT_TYPE, "application/json");
        let request = if asked.streams { request.header(header::ACCEPT, "text/event-stream") } else { request };
        let request = request.body(asked.body.clone());
        timeout(within, self.exchange(request, &asked)).await.unwrap_or(Tried::Late)
    }

    async fn exchange(&self, request: RequestBuilder, asked: &Asked<'_>) -> Tried {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Tried::Away(words(&error)),
            Err(error) => return Tried::Lost(words(&error)),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let head = |name: &header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_events = head(&header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/event-stream"));
        if asked.streams && is_events && status == StatusCode::OK {
            return self.events(response, asked.endpoint).await;
        }
        let body = match whole(response, ANSWER_BYTES_MAX).await {
            Ok(body) if status.is_success() => body,
            Ok(body) => without(body, asked.key),
            Err(why) => return Tried::Lost(why),
        };
        self.beats.fetch_add(1, Ordering::Relaxed);
        Tried::Verdict(verdict::of(Response {
            status: status.as_u16(),
            retry_after: head(&header::RETRY_AFTER),
            retry_after_ms: headers.get("retry-after-ms").and_then(|value| value.to_str().ok()),
            location: head(&header::LOCATION),
            body: &body,
        }))
    }

    async fn events(&self, mut response: reqwest::Response, endpoint: Endpoint) -> Tried {
        let (mut stream, mut bytes) = (Stream::default(), 0);
        while !stream.is_done() {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    bytes += chunk.len();
                    if bytes > ANSWER_BYTES_MAX {
                        return Tried::Lost(too_long(ANSWER_BYTES_MAX));
                    }
                    self.beats.fetch_add(stream.feed(&chunk) as u64, Ordering::Relaxed);
                }
                Ok(None) => break,
                Err(error) => return Tried::Lost(words(&error)),
            }
        }
        let Some((body, is_error)) = stream.finish(endpoint) else {
            return Tried::Lost("the stream ended before the answer did".to_owned());
        };
        // An error in a stream comes after the status.
        let status = if is_error { 500 } else { 200 };
        let response = Response { status, body: body.as_bytes(), ..Response::default() };
        Tried::Verdict(match verdict::of(response) {
            Verdict::Failed(_) if is_error => verdict::of(Response { status: told(&body).unwrap_or(500), ..response }),
            verdict => verdict,
        })
    }

    /// Whether it is there, and what it is. None of its models is asked anything.
    pub async fn look(&self, client: &Client) {
        let found = self.get(client, &format!("{}/models", self.base)).await;
        let now = self.now();
        match found {
            Err(why) => self.standing().away(why, now),
            Ok((503, body)) => {
                let words = match verdict::of(Response { status: 503, body: &body, ..Response::default() }) {
                    Verdict::Loading(words) => words,
                    _ => "it answered with 503".to_owned(),
                };
                self.standing().away(words, now);
            }
            Ok((status, _)) if status >= 500 => self.standing().away(format!("it answered with {status}"), now),
            // A key that is wrong here is told by the first call.
            Ok((status, body)) => {
                if status == 200 {
                    self.learn(&body);
                }
                self.beats.fetch_add(1, Ordering::Relaxed);
                self.standing().there();
            }
        }
    }

    fn learn(&self, body: &[u8]) {
        #[derive(Deserialize)]
        struct Models {
            data: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            id: String,
            #[serde(default)]
            owned_by: Option<String>,
        }
        let Ok(Models { data }) = serde_json::from_slice(body) else { return };
        let owner = data.first().and_then(|model| model.owned_by.clone()).unwrap_or_default();
        self.streams.fetch_or(owner == "llamacpp", Ordering::Relaxed);
        self.is_metered.store(["llamacpp", "vllm", "sglang"].contains(&owner.as_str()), Ordering::Relaxed);
        if let [model] = &data[..] {
            let _ = self.model.set(model.id.clone());
        }
    }

    /// Its own figures, where it has any.
    pub async fn measure(&self, client: &Client) {
        if !self.is_metered.load(Ordering::Relaxed) {
            return;
        }
        if let Ok((200, body)) = self.get(client, &format!("{}/metrics", self.name)).await {
            let read = load::read(&String::from_utf8_lossy(&body));
            *self.load.lock().unwrap_or_else(PoisonError::into_inner) = read;
        }
    }

    async fn get(&self, client: &Client, url: &str) -> Result<(u16, Bytes), String> {
        let got = async {
            let response = client.get(url).send().await.map_err(|error| words(&error))?;
            let status = response.status().as_u16();
            Ok((status, whole(response, LOOK_BYTES_MAX).await?))
        };
        timeout(LOOK_WITHIN, got).await.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_WITHIN.as_secs())))
    }
}

fn without(body: Bytes, key: Option<&str>) -> Bytes {
    let found = key.and_then(|key| Some((key, std::str::from_utf8(&body).ok().filter(|text| text.contains(key))?)));
    found.map_or(body.clone(), |(key, text)| text.replace(key, "***").into())
}

async fn whole(mut response: reqwest::Response, most: usize) -> Result<Bytes, String> {
    let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(most as u64) as usize);
    while let Some(chunk) = response.chunk().await.map_err(|error| words(&error))? {
        if body.len() + chunk.len() > most {
            return Err(too_long(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn too_long(most: usize) -> String {
    format!("an answer of more than {} MiB", most >> 20)
}

/// The status that an error in a stream names.
fn told(body: &str) -> Option<u16> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    u16::try_from(value["error"]["code"].as_u64()?).ok().filter(|code| (400..600).contains(code))
}

/// What an error says, and what is behind it, without the URL, which may hold a login.
fn words(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// What a call cost, in what adds up: tokens where they are told.
fn work(answer: &Answer) -> u64 {
    let Usage { prompt, completion, .. } = answer.usage;
    1 + completion + prompt / 16
}

impl Tried {
    /// What it says of the server.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Verdict(Verdict::Answer(answer)) => Outcome::Answered(work(answer)),
            Self::Verdict(Verdict::Full(after)) => Outcome::Full(*after),
            Self::Verdict(Verdict::Closed(words)) => Outcome::Closed(words.clone()),
            Self::Verdict(Verdict::Failed(words)) | Self::Lost(words) => Outcome::Failed(words.clone()),
            Self::Verdict(Verdict::Loading(words)) | Self::Away(words) => Outcome::Away(words.clone()),
            Self::Late => Outcome::Failed("no answer in time".to_owned()),
        }
    }
}
