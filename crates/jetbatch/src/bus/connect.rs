use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::{FileError, Files};
use super::limits::{self, SERVER_VERSION_MIN};
use super::{Bus, Inner, Settings, Version, redact, rest};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no nats.url is set and no own server was started")]
    NoUrl,
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("no connection to {url} within {seconds} s: {source}")]
    Unreachable { url: String, seconds: u64, source: async_nats::ConnectError },
    #[error("{url} refused the connection: {source}")]
    Refused { url: String, source: async_nats::ConnectError },
    #[error(
        "the nats-server at {url} is version {found}; jetbatch needs {needed} or newer, because older ones can lose \
         acknowledged messages"
    )]
    Version { url: String, found: String, needed: Version },
    #[error(transparent)]
    Streams(#[from] FileError),
}

/// What the connection tells between requests: that it came back, and what it was forbidden.
#[derive(Clone)]
pub(super) struct Signals {
    connects: Arc<watch::Sender<u64>>,
    denials: Arc<watch::Sender<u64>>,
    denied: Arc<Mutex<HashMap<String, Instant>>>,
}

/// Denied subjects remembered at once.
const DENIED_MAX: usize = 1_000;

impl Signals {
    fn new() -> Self {
        Self { connects: Arc::default(), denials: Arc::default(), denied: Arc::default() }
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
            Event::ClientError(error) => tracing::warn!(%error, "NATS client error"),
            Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection ends"),
        }
    }
}

fn is_denial(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

impl Bus {
    /// Connects, trying again for `connect_s`, and refuses a server older than [`SERVER_VERSION_MIN`].
    pub async fn connect(settings: &Settings, name: &str) -> Result<Self, ConnectError> {
        let url = settings.url.as_deref().ok_or(ConnectError::NoUrl)?;
        let files = Files::load(settings)?;
        let signals = Signals::new();
        let client = reach(settings, url, name, &signals).await?;
        signals.settled().await;
        check_version(&client.server_info().version, url)?;
        let js =
            async_nats::jetstream::context::ContextBuilder::new().timeout(limits::TRY_TIMEOUT).build(client.clone());
        let retry_for = Duration::from_secs(settings.retry_s);
        let inner = Inner { client, js, files, retry_for, signals, counts: Default::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

fn check_version(found: &str, url: &str) -> Result<(), ConnectError> {
    match Version::parse(found) {
        Some(version) if version >= SERVER_VERSION_MIN => Ok(()),
        _ => {
            let found = if found.is_empty() { "unknown" } else { found }.to_owned();
            Err(ConnectError::Version { url: redact(url), found, needed: SERVER_VERSION_MIN })
        }
    }
}

async fn reach(settings: &Settings, url: &str, name: &str, signals: &Signals) -> Result<Client, ConnectError> {
    let until = Instant::now() + Duration::from_secs(settings.connect_s);
    let addresses: Vec<String> = url.split(',').map(|one| one.trim().to_owned()).collect();
    loop {
        let options = options(settings, name, signals).await?;
        match options.connect(addresses.as_slice()).await {
            Ok(client) => return Ok(client),
            Err(source) if is_final(&source.kind()) => return Err(ConnectError::Refused { url: redact(url), source }),
            Err(source) if Instant::now() >= until => {
                return Err(ConnectError::Unreachable { url: redact(url), seconds: settings.connect_s, source });
            }
            Err(error) => tracing::debug!(%error, "no connection to NATS yet"),
        }
        rest().await;
    }
}

fn is_final(kind: &ConnectErrorKind) -> bool {
    use ConnectErrorKind as K;
    matches!(kind, K::ServerParse | K::Authentication | K::AuthorizationViolation | K::Tls)
}

async fn options(settings: &Settings, name: &str, signals: &Signals) -> Result<ConnectOptions, ConnectError> {
    let signals = signals.clone();
    let mut options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(limits::TRY_TIMEOUT))
        .ping_interval(limits::PING)
        .reconnect_delay_callback(|tries| if tries <= 1 { Duration::ZERO } else { super::pause() })
        .event_callback(move |event| {
            signals.take(event);
            std::future::ready(())
        })
        .require_tls(settings.tls.required);
    if let Some(prefix) = &settings.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    if let Some(ca) = &settings.tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&settings.tls.cert, &settings.tls.key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    sign_in(options, settings).await
}

async fn sign_in(mut options: ConnectOptions, settings: &Settings) -> Result<ConnectOptions, ConnectError> {
    let unreadable = |path: &PathBuf| {
        let path = path.clone();
        move |source| ConnectError::File { path, source }
    };
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        options = options.user_and_password(user.clone(), password.reveal().to_owned());
    }
    if let Some(path) = &settings.nkey_file {
        let seed = tokio::fs::read_to_string(path).await.map_err(unreadable(path))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(path) = &settings.credentials_file {
        options = options.credentials_file(path).await.map_err(unreadable(path))?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_refused_in_one_line() {
        let error = check_version("2.14.5", "nats://ann:pw@host:4222").unwrap_err().to_string();
        assert!(error.contains("2.14.5") && error.contains("2.15.1") && error.contains("host:4222"), "{error}");
        assert!(!error.contains('\n') && !error.contains("pw"), "{error}");
        assert!(check_version("2.15.1", "x").is_ok());
        assert!(check_version("", "x").unwrap_err().to_string().contains("unknown"));
    }

    #[test]
    fn a_denied_publish_is_remembered() {
        let (signals, start) = (Signals::new(), Instant::now());
        signals.take(Event::ServerError(ServerError::Other("Permissions Violation for Publish to \"work.a\"".into())));
        assert!(signals.denied_since("work.a", start));
        assert!(!signals.denied_since("work.b", start));
    }
}
