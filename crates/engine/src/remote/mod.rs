//! Servers elsewhere that speak OpenAI's HTTP, as an engine. A body goes through as it was written, an answer comes back as
//! it is; what a response means says [`verdict`], how many calls a server has [`limit`], and when it is left alone
//! [`standing`]. What passes is tried again here, so that one refused call does not cost a chunk its other answers.
mod bare;
mod body;
mod limit;
mod load;
mod pace;
mod server;
mod standing;
mod stream;
mod text;
mod verdict;

use crate::{
    About, Answer, Call, Endpoint, Engine, Fault, LoadError, Openai, Task,
    spec::{Slots, Stream},
};
pub use bare::{Bare, load as bare};
use body::Set;
use bytes::Bytes;
use domain::{health, request::Refusal};
use futures::{FutureExt, future::BoxFuture, future::join_all};
use limit::Limit;
use load::Load;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use server::{Asked, Server, Tried};
use standing::Outcome;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use verdict::Verdict;

/// Calls at once at a server that sets no limit of its own.
const SLOTS_MAX: usize = 256;
const CALL_WITHIN: Duration = Duration::from_secs(600);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Servers close what is idle after 5 s and more, and some do not say so.
const IDLE_MAX: Duration = Duration::from_secs(4);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How often it is looked whether a server is to be looked at.
const TICK: Duration = Duration::from_millis(100);
/// A server that has calls and gives no sign of life is looked at so often, and asked for its figures.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A call that servers fail with is given up as a failure after so many tries.
const TRIES: u32 = 3;
/// Before a failed call is tried again: doubled each time.
const AGAIN_FIRST: Duration = Duration::from_millis(200);

pub struct Remote {
    shared: Arc<Shared>,
    _looks: AbortOnDropHandle<()>,
}

struct Shared {
    spec: Openai,
    servers: Vec<Server>,
    client: Client,
    /// Of connections that were never used: a kept one may have been closed without a word.
    fresh: Client,
    within: Duration,
    /// What a server says is told without it.
    key: Option<String>,
    changed: Notify,
    slots: watch::Sender<usize>,
}

/// What a call has been through.
#[derive(Default)]
struct Past {
    failed: u32,
    lost: u32,
    /// The server that it failed at last.
    at: Option<usize>,
}

impl Past {
    /// The first connection may have been an old one; what fails again is given time.
    async fn rest(&self) {
        let failures = self.failed + self.lost.saturating_sub(1);
        if failures > 0 {
            sleep(AGAIN_FIRST * (1 << (failures - 1).min(4))).await;
        }
    }
}

/// Servers that are looked at from now on. Whether they are there is known later.
pub fn start(spec: &Openai) -> Result<Remote, LoadError> {
    let wrong = |field, why: String| LoadError::Spec { field, why };
    if spec.base_urls.is_empty() {
        return Err(wrong("base_urls", "it names no server".to_owned()));
    }
    let bases: Result<Vec<String>, LoadError> =
        spec.base_urls.iter().map(|url| base(url).map_err(|why| wrong("base_urls", why))).collect();
    let key = spec.api_key_env.as_deref().map(key).transpose().map_err(|why| wrong("api_key_env", why))?;
    let (headers, most) = (headers(spec, key.as_deref())?, spec.slots_max.unwrap_or(SLOTS_MAX));
    let limit = match spec.slots {
        Slots::Auto => Limit::auto(most),
        Slots::Fixed(slots) => Limit::fixed(slots),
    };
    let servers: Vec<Server> = bases?.into_iter().map(|base| Server::new(base, limit.clone())).collect();
    let slots = watch::Sender::new(servers.len() * limit.now());
    let client = |idle| client(spec, &headers, idle);
    let shared = Arc::new(Shared {
        spec: spec.clone(),
        servers,
        client: client(usize::MAX)?,
        fresh: client(0)?,
        within: spec.call_seconds_max.map_or(CALL_WITHIN, Duration::from_secs),
        key,
        changed: Notify::new(),
        slots,
    });
    let looks = AbortOnDropHandle::new(tokio::spawn(look(shared.clone())));
    Ok(Remote { shared, _looks: looks })
}

/// Up to and with `/v1`; what stands there is taken where it is a path.
fn base(url: &str) -> Result<String, String> {
    // A login that stands in it by mistake is not told.
    let url = url.trim();
    let told = url.rsplit('@').next().unwrap_or_default();
    let parsed: Url = url.parse().map_err(|error| format!("'{told}' is no URL: {error}"))?;
    if !["http", "https"].contains(&parsed.scheme()) || parsed.host_str().is_none() {
        return Err(format!("'{told}' is no http:// or https:// URL"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("a login does not belong into a URL: put it into api_key_env or headers".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("'{url}' ends in more than a path"));
    }
    let base = parsed.as_str().trim_end_matches('/');
    let is_bare = parsed.path().trim_matches('/').is_empty();
    Ok(if is_bare { format!("{base}/v1") } else { base.to_owned() })
}

fn key(variable: &str) -> Result<String, String> {
    match std::env::var(variable) {
        Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
        _ => Err(format!("the environment variable {variable} is to hold the key, and does not")),
    }
}

fn headers(spec: &Openai, key: Option<&str>) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &spec.headers {
        let wrong = |why: String| LoadError::Spec { field: "headers", why: format!("{name}: {why}") };
        let header: HeaderName = name.parse().map_err(|_| wrong("no name of a header".to_owned()))?;
        let mut value: HeaderValue = value.parse().map_err(|_| wrong("no value of a header".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    if let Some(key) = key {
        let bearer = HeaderValue::try_from(format!("Bearer {key}"));
        let why = "it holds what no header can".to_owned();
        let mut bearer = bearer.map_err(|_| LoadError::Spec { field: "api_key_env", why })?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

fn client(spec: &Openai, headers: &HeaderMap, idle: usize) -> Result<Client, LoadError> {
    let wrong = |why: String| LoadError::Spec { field: "ca", why };
    let mut builder = Client::builder()
        .default_headers(headers.clone())
        .user_agent(concat!("jetbatch/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .tcp_keepalive(KEEPALIVE)
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(idle);
    if let Some(path) = &spec.ca {
        let pem = std::fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem);
        for certificate in found.map_err(|error| wrong(format!("{}: {error}", path.display())))? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// Looks at servers: at those that are away when their rest is over, and at those that are busy and silent.
async fn look(shared: Arc<Shared>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked: Vec<(Instant, u64)> = shared.servers.iter().map(|_| (Instant::now(), 0)).collect();
    loop {
        tick.tick().await;
        join_all(shared.servers.iter().zip(&mut looked).map(|(server, (at, beats))| async {
            let (due, busy) = {
                let standing = server.standing();
                (standing.look().is_some_and(|at| server.now() >= at), standing.load().0)
            };
            let is_stale = at.elapsed() >= LOOK_EVERY;
            let is_silent = is_stale && busy > 0 && server.beats.load(Ordering::Relaxed) == *beats;
            if due || is_silent {
                server.look(&shared.fresh).await;
            }
            if due || is_stale {
                server.measure(&shared.client).await;
                (*at, *beats) = (Instant::now(), server.beats.load(Ordering::Relaxed));
            }
        }))
        .await;
        shared.changed();
    }
}

impl Engine for Remote {
    fn run(&self, call: Call) -> BoxFuture<'_, Result<Answer, Fault>> {
        self.shared.run(call).boxed()
    }

    fn about(&self) -> About {
        let shared = &self.shared;
        let listed = || shared.servers.iter().find_map(Server::model);
        let model = shared.spec.model.as_deref().or_else(listed).unwrap_or("as asked for").to_owned();
        let names: Vec<&str> = shared.servers.iter().map(|server| server.name.as_str()).collect();
        About { model, engine: "openai", task: Task::Chat, slots: *shared.slots.borrow(), device: names.join(" ") }
    }

    fn slots(&self) -> Option<watch::Receiver<usize>> {
        Some(self.shared.slots.subscribe())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        self.shared.ready().boxed()
    }

    fn beats(&self) -> u64 {
        self.shared.servers.iter().map(|server| server.beats.load(Ordering::Relaxed)).sum()
    }

    fn broken(&self) -> Option<String> {
        self.shared.broken()
    }

    fn servers(&self) -> Vec<health::Server> {
        let seen = |server: &Server| {
            let standing = server.standing();
            let (busy, slots) = standing.load();
            let (url, state) = (server.name.clone(), standing.word().to_owned());
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let Load { running, waiting, cache } = server.load();
            health::Server { url, state, busy: count(busy), slots: count(slots), running, waiting, cache }
        };
        self.shared.servers.iter().map(seen).collect()
    }
}

impl Shared {
    async fn run(&self, call: Call) -> Result<Answer, Fault> {
        let (mut past, begun) = (Past::default(), Instant::now());
        // A server that refuses again and again keeps no call for ever.
        while begun.elapsed() < 2 * self.within {
            let place = self.place(past.at).await?;
            let (at, server) = (place.server, &self.servers[place.server]);
            let streams = self.streams(server) && call.endpoint != Endpoint::Embeddings;
            let set = Set { model: self.spec.model.as_deref(), model_else: server.model(), stream: streams };
            let body = match body::set(&call.body, set) {
                Ok(body) => body,
                Err(error) => return Ok(Refusal::json(&error).into()),
            };
            let tried = self.once(place, call.endpoint, body, streams, past.lost).await;
            if let Some(done) = self.settle(tried, &mut past) {
                return done;
            }
            past.at = Some(at);
            past.rest().await;
        }
        Err(Fault::Overloaded)
    }

    async fn once(&self, place: Place<'_>, endpoint: Endpoint, body: Bytes, streams: bool, lost: u32) -> Tried {
        // After a streamed answer llama.cpp closes the connection that it has called kept.
        let client = if lost == 0 && !streams { &self.client } else { &self.fresh };
        let server = &self.servers[place.server];
        let asked = Asked { endpoint, body, streams, key: self.key.as_deref() };
        let begun = Instant::now();
        let tried = server.call(client, asked, self.within).await;
        if let Tried::Verdict(Verdict::Answer(answer)) = &tried {
            server.pace().note(answer.usage.completion, begun.elapsed());
        }
        // The first connection may have been closed while it was kept.
        let is_stale = lost == 0 && matches!(tried, Tried::Lost(_));
        let outcome = if is_stale { Outcome::Dropped } else { tried.outcome() };
        place.end(outcome, matches!(tried, Tried::Late));
        tried
    }

    /// Whether its answers come in pieces. That costs it and us, and is for those alone that take long.
    fn streams(&self, server: &Server) -> bool {
        match self.spec.stream {
            Stream::On => true,
            Stream::Off => false,
            Stream::Auto => server.streams() && !server.pace().is_short(),
        }
    }

    /// None: it is tried again.
    fn settle(&self, tried: Tried, past: &mut Past) -> Option<Result<Answer, Fault>> {
        match tried {
            Tried::Verdict(Verdict::Answer(answer)) => return Some(Ok(answer)),
            Tried::Late => return Some(Err(Fault::Timeout { seconds: self.within.as_secs() })),
            Tried::Verdict(Verdict::Failed(words)) => {
                past.failed += 1;
                if past.failed >= TRIES {
                    return Some(Err(Fault::Internal { message: words }));
                }
            }
            Tried::Lost(words) => {
                past.lost += 1;
                if past.lost > TRIES {
                    let message = format!("the connection was lost before the answer came, {TRIES} times: {words}");
                    return Some(Err(Fault::Died { message }));
                }
            }
            // The server is left alone now: another one, or the same one later.
            Tried::Verdict(Verdict::Full(_) | Verdict::Loading(_) | Verdict::Closed(_)) | Tried::Away(_) => {}
        }
        None
    }

    /// A place at the least busy server, at another than `not` where there is one; waits until there is one.
    async fn place(&self, not: Option<usize>) -> Result<Place<'_>, Fault> {
        let waited = timeout(self.within, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(place) = self.take(not) {
                    return Ok(place);
                }
                if let Some(message) = self.broken() {
                    return Err(Fault::Away { message });
                }
                let _ = timeout(TICK, changed).await;
            }
        });
        waited.await.unwrap_or(Err(Fault::Overloaded))
    }

    fn take(&self, not: Option<usize>) -> Option<Place<'_>> {
        let is_up = |at: &usize| self.servers[*at].standing().word() == "up";
        // Another one that is up has room in a moment.
        let not = not.filter(|not| (0..self.servers.len()).any(|at| at != *not && is_up(&at)));
        let free = (0..self.servers.len()).filter(|at| {
            let server = &self.servers[*at];
            Some(*at) != not && server.standing().room(server.now()) > 0
        });
        let load = |at: &usize| {
            let (busy, slots) = self.servers[*at].standing().load();
            busy * 1_000 / slots.max(1)
        };
        let server = free.min_by_key(load)?;
        let standing = &self.servers[server];
        let mut standing_now = standing.standing();
        if standing_now.room(standing.now()) == 0 {
            return None;
        }
        standing_now.begin();
        drop(standing_now);
        Some(Place { shared: self, server, is_ended: false })
    }

    async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let is_up = |server: &Server| {
                let standing = server.standing();
                standing.word() == "up" || standing.room(server.now()) > 0
            };
            if self.servers.iter().any(is_up) {
                return;
            }
            let _ = timeout(TICK, changed).await;
        }
    }

    /// Why none of them takes anything.
    fn broken(&self) -> Option<String> {
        let why = |server: &Server| {
            let words = server.standing().broken(server.now())?.to_owned();
            Some(format!("{}: {words}", server.name))
        };
        let all: Option<Vec<String>> = self.servers.iter().map(why).collect();
        all.map(|all| all.join("; "))
    }

    fn changed(&self) {
        let slots = self.servers.iter().map(|server| server.standing().load().1).sum();
        self.slots.send_if_modified(|told| std::mem::replace(told, slots) != slots);
        self.changed.notify_waiters();
    }
}

/// A call's place at a server.
struct Place<'a> {
    shared: &'a Shared,
    server: usize,
    is_ended: bool,
}

impl Place<'_> {
    fn end(mut self, outcome: Outcome, is_late: bool) {
        self.is_ended = true;
        let server = &self.shared.servers[self.server];
        let mut standing = server.standing();
        if is_late {
            standing.late(server.now());
        }
        standing.end(outcome, server.now());
        drop(standing);
        self.shared.changed();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            let server = &self.shared.servers[self.server];
            server.standing().end(Outcome::Dropped, server.now());
            self.shared.changed();
        }
    }
}

#[cfg(test)]
mod tests;
