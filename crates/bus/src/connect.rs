use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::{FileError, Files};
use super::limits::{self, SERVER_VERSION_MIN};
use super::login::Login;
use super::server::{Server, until_back};
use super::{Bus, Declared, Inner, Settings, SettingsError, Version, redact, rest, tls};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no nats.url is set and no own server was started")]
    NoUrl,
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot read {} ({field}): {source}", path.display())]
    File { field: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} ({field}) holds no {what}", path.display())]
    Content { field: &'static str, path: PathBuf, what: &'static str },
    #[error("nats.url is no address of a NATS server: {source}")]
    Address { source: async_nats::ConnectError },
    #[error("no connection to {url} within {seconds} s: {source}")]
    Unreachable { url: String, seconds: u64, source: async_nats::ConnectError },
    #[error("no TLS with {url}: {source}; {advice}")]
    Tls { url: String, advice: &'static str, source: async_nats::ConnectError },
    #[error("{url} refuses the login (authorization violation): {advice}")]
    Login { url: String, advice: String },
    #[error(
        "the nats-server at {url} is version {found}; jetbatch needs {needed} or newer, because older ones can lose \
         acknowledged messages"
    )]
    Version { url: String, found: String, needed: Version },
    #[error(transparent)]
    Streams(#[from] FileError),
}

impl ConnectError {
    pub(super) fn content(field: &'static str, path: &Path, what: &'static str) -> Self {
        Self::Content { field, path: path.to_owned(), what }
    }
}

/// A file that a setting names.
pub(super) async fn read(field: &'static str, path: &Path) -> Result<String, ConnectError> {
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|source| ConnectError::File { field, path: path.to_owned(), source })
}

/// What the connection tells between requests: that it came back, and what it was forbidden.
#[derive(Clone)]
pub(super) struct Signals {
    connects: Arc<watch::Sender<u64>>,
    denials: Arc<watch::Sender<u64>>,
    denied: Arc<Mutex<HashMap<String, Instant>>>,
    /// What was told of this outage: each cause once, and not with each try to connect.
    told: Arc<Mutex<HashSet<String>>>,
}

/// Denied subjects remembered at once.
const DENIED_MAX: usize = 1_000;

impl Signals {
    fn new() -> Self {
        Self { connects: Arc::default(), denials: Arc::default(), denied: Arc::default(), told: Arc::default() }
    }

    pub fn connects(&self) -> u64 {
        *self.connects.borrow()
    }

    /// Changes when the connection is made anew: replies to what was asked before will not come.
    pub fn epoch(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// Resolves when a message on the subject is denied: it is never answered, the server says so on the side.
    pub async fn denied(&self, subject: &str, since: Instant) {
        let mut denials = self.denials.subscribe();
        while !self.denied_since(subject, since) {
            if denials.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The first connection is told of, too, and late.
    async fn settled(&self) {
        let mut epoch = self.epoch();
        let _ = tokio::time::timeout(limits::TRY_TIMEOUT, epoch.wait_for(|connects| *connects > 0)).await;
    }

    fn denied_since(&self, subject: &str, when: Instant) -> bool {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.get(subject).is_some_and(|at| *at >= when)
    }

    fn is_news(&self, error: &ClientError) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(error.to_string())
    }

    fn note_denied(&self, text: &str) {
        let Some(subject) = text.split('"').nth(1) else { return };
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= DENIED_MAX {
            denied.clear();
        }
        denied.insert(subject.to_owned(), Instant::now());
        self.denials.send_modify(|n| *n += 1);
    }

    fn take(&self, event: Event) {
        match event {
            Event::Connected => {
                self.connects.send_modify(|n| *n += 1);
                self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
                tracing::debug!("connected to NATS");
            }
            Event::Disconnected => tracing::warn!("disconnected from NATS; reconnecting"),
            Event::LameDuckMode => tracing::info!("the NATS server is shutting down; moving to another"),
            Event::SlowConsumer(id) => tracing::warn!(subscription = id, "slow consumer: messages were dropped"),
            Event::ServerError(ServerError::Other(text)) if is_denial(&text) => {
                self.note_denied(&text);
                tracing::error!(%text, "NATS denies a permission that jetbatch needs");
            }
            Event::ServerError(error) => tracing::error!(%error, "NATS reports an error"),
            Event::ClientError(error) if self.is_news(&error) => tracing::warn!(%error, "NATS client error"),
            Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
            Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection ends"),
        }
    }
}

fn is_denial(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

impl Bus {
    /// Connects, trying again for `connect_s`, and refuses a server older than [`SERVER_VERSION_MIN`].
    pub async fn connect(settings: &Settings, declared: &Declared, name: &str) -> Result<Self, ConnectError> {
        Self::open(settings, declared, name, None).await
    }

    /// The same, to our own server. Should that die, another installation may take its port before it is back: this
    /// connection is made anew only with the server that has our folder.
    pub async fn connect_own(
        settings: &Settings,
        declared: &Declared,
        name: &str,
        server: &Server,
    ) -> Result<Self, ConnectError> {
        Self::open(&server.settings(settings), declared, name, Some(server)).await
    }

    async fn open(
        settings: &Settings,
        declared: &Declared,
        name: &str,
        own: Option<&Server>,
    ) -> Result<Self, ConnectError> {
        let url = &redact(settings.url.as_deref().ok_or(ConnectError::NoUrl)?);
        let files = Files::load(declared, settings)?;
        let signals = Signals::new();
        let options = options(settings, name, &signals).await?;
        let options = match own {
            Some(server) => faithful(options, server),
            None => options,
        };
        let client = reach(settings, url, options).await?;
        signals.settled().await;
        check_version(&client.server_info().version, url)?;
        let js =
            async_nats::jetstream::context::ContextBuilder::new().timeout(limits::READ_TIMEOUT).build(client.clone());
        let retry_for = Duration::from_secs(settings.retry_s);
        let (counts, forbidden, asked) = Default::default();
        let inner = Inner { client, js, files, retry_for, signals, counts, forbidden, asked };
        Ok(Self { inner: Arc::new(inner) })
    }
}

fn check_version(found: &str, url: &str) -> Result<(), ConnectError> {
    match crate::version::parse(found) {
        Some(version) if version >= SERVER_VERSION_MIN => Ok(()),
        _ => {
            let found = if found.is_empty() { "unknown" } else { found }.to_owned();
            Err(ConnectError::Version { url: url.to_owned(), found, needed: SERVER_VERSION_MIN })
        }
    }
}

async fn reach(settings: &Settings, url: &str, options: ConnectOptions) -> Result<Client, ConnectError> {
    let until = Instant::now() + Duration::from_secs(settings.connect_s);
    let login = settings.login()?;
    let options = login.sign_in(options).await?;
    let addresses: Vec<&str> = url.split(',').collect();
    loop {
        match options.clone().connect(addresses.as_slice()).await {
            Ok(client) => return Ok(client),
            Err(source) => pass(source, url, settings, &login, until)?,
        }
        rest().await;
    }
}

/// An error if no further try is worth it.
fn pass(
    source: async_nats::ConnectError,
    url: &str,
    settings: &Settings,
    login: &Login,
    until: Instant,
) -> Result<(), ConnectError> {
    use ConnectErrorKind as K;
    let url = url.to_owned();
    match (source.kind(), settings.tls.advice(&source)) {
        (_, Some(advice)) => Err(ConnectError::Tls { url, advice, source }),
        (K::ServerParse, _) => Err(ConnectError::Address { source }),
        (K::Authentication | K::AuthorizationViolation, _) => Err(ConnectError::Login { url, advice: login.advice() }),
        _ if Instant::now() >= until => Err(ConnectError::Unreachable { url, seconds: settings.connect_s, source }),
        _ => {
            tracing::debug!(error = %source, "no connection to NATS yet");
            Ok(())
        }
    }
}

async fn options(settings: &Settings, name: &str, signals: &Signals) -> Result<ConnectOptions, ConnectError> {
    tls::choose_provider();
    let signals = signals.clone();
    let options = ConnectOptions::new()
        .name(name)
        .connection_timeout(limits::LOGIN_TIMEOUT)
        .request_timeout(Some(limits::TRY_TIMEOUT))
        .ping_interval(limits::PING)
        .reconnect_delay_callback(|tries| if tries <= 1 { Duration::ZERO } else { super::pause() })
        .event_callback(move |event| {
            signals.take(event);
            std::future::ready(())
        });
    let options = settings.tls.apply(options).await?;
    Ok(match &settings.inbox_prefix {
        Some(prefix) => options.custom_inbox_prefix(prefix),
        None => options,
    })
}

/// The first connection needs no such care: the server was heard a moment ago.
fn faithful(options: ConnectOptions, server: &Server) -> ConnectOptions {
    let (dir, url) = (server.dir().to_owned(), server.url().to_owned());
    options.reconnect_to_server_callback(move |servers, _| {
        let (dir, url) = (dir.clone(), url.clone());
        async move {
            if servers.iter().any(|server| server.did_connect) {
                until_back(&dir, &url).await;
            }
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_refused_in_one_line() {
        let error = check_version("2.14.5", "nats://host:4222").unwrap_err().to_string();
        assert!(error.contains("2.14.5") && error.contains("2.15.1") && error.contains("host:4222"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert!(check_version("2.15.1", "x").is_ok());
        assert!(check_version("", "x").unwrap_err().to_string().contains("unknown"));
    }

    #[test]
    fn each_cause_of_an_outage_is_told_once() {
        let (signals, error) = (Signals::new(), |text: &str| ClientError::Other(text.to_owned()));
        let told = ["away", "away", "login", "away"].map(|text| signals.is_news(&error(text)));
        assert_eq!(told, [true, false, true, false]);
        signals.take(Event::Connected);
        assert!(signals.is_news(&error("away")));
    }

    #[test]
    fn a_denied_publish_is_remembered() {
        let (signals, start) = (Signals::new(), Instant::now());
        signals.take(Event::ServerError(ServerError::Other("Permissions Violation for Publish to \"work.a\"".into())));
        assert!(signals.denied_since("work.a", start));
        assert!(!signals.denied_since("work.b", start));
    }
}
