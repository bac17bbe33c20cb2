use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::context::ContextName;
use super::limits;
use super::login::{self, Login};

/// The `[nats]` table of the configuration. Without `url` jetbatch runs its own server under `data_dir`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A context of the `nats` command, in the place of an address and a login.
    pub context: Option<ContextName>,
    /// One or more server addresses, comma separated. The first user and password in them hold for all.
    pub url: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub nkey_file: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub token: Option<Secret>,
    pub tls: Tls,
    /// The only subjects that this client may subscribe to, where its permissions are narrow.
    pub inbox_prefix: Option<String>,
    pub replicas: usize,
    pub storage: Storage,
    /// Folder of jetbatch's own server: its streams, log and address.
    pub data_dir: PathBuf,
    pub server_bin: Option<PathBuf>,
    /// The own server's port where it is free and the folder had no other; 0: any that is free.
    pub server_port: u16,
    /// How often the own server syncs to disk: a duration of nats-server (`1s`) or `always`.
    pub sync_interval: String,
    /// A folder whose files replace the built-in stream and consumer files of the same name.
    pub streams_dir: Option<PathBuf>,
    pub ack_wait_s: u64,
    /// How long a publish or request is tried again before it fails.
    pub retry_s: u64,
    pub connect_s: u64,
}

/// Off where all is left out and the server does not ask for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub required: bool,
    /// Trusted instead of the system's authorities.
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The handshake comes before the server says anything, as it is told to.
    pub first: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    #[default]
    File,
    Memory,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{one} is set without {other}")]
    Half { one: &'static str, other: &'static str },
    #[error("{one} and {other} are both set; keep one of them")]
    Two { one: &'static str, other: &'static str },
}

impl Settings {
    pub fn check(&self) -> Result<(), SettingsError> {
        let login = self.login()?;
        match &self.context {
            Some(_) if self.url.is_some() => Err(SettingsError::Two { one: "nats.context", other: "nats.url" }),
            Some(_) if !matches!(login, Login::Nobody) => {
                Err(SettingsError::Two { one: "nats.context", other: login.field() })
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn login(&self) -> Result<Login, SettingsError> {
        self.tls.check()?;
        Login::of(self)
    }

    pub fn with_url(&self, url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..self.clone() }
    }

    /// The same where a context says, and as whom.
    pub fn in_context(&self, name: &ContextName) -> Self {
        Self { context: Some(name.clone()), url: None, ..self.as_nobody() }
    }

    /// The same as this user, and as nobody else.
    pub(super) fn signed(&self, user: &str, password: &Secret) -> Self {
        let (user, password) = (Some(user.to_owned()), Some(password.clone()));
        Self { user, password, ..self.as_nobody() }
    }

    pub(super) fn as_nobody(&self) -> Self {
        let (credentials_file, nkey_file, user, password, token) = Default::default();
        Self { credentials_file, nkey_file, user, password, token, ..self.clone() }
    }

    /// Whether they name this port of this machine, and no login.
    pub(super) fn is_nobody_at(&self, port: u16) -> bool {
        let is_it = |address: &str| {
            login::parse(address).is_some_and(|url| {
                let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
                is_here && url.port().unwrap_or(limits::SERVER_PORT_DEFAULT) == port
            })
        };
        let is_there = self.url.iter().flat_map(|url| url.split(',')).all(is_it);
        is_there && matches!(self.login(), Ok(Login::Nobody))
    }
}

impl Storage {
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

/// A password: it can be read by name only, and never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            context: None,
            url: None,
            credentials_file: None,
            nkey_file: None,
            user: None,
            password: None,
            token: None,
            tls: Tls::default(),
            inbox_prefix: None,
            replicas: 1,
            storage: Storage::File,
            data_dir: PathBuf::from("jetbatch-data/nats"),
            server_bin: None,
            server_port: limits::SERVER_PORT_DEFAULT,
            sync_interval: "1s".to_owned(),
            streams_dir: None,
            ack_wait_s: limits::ACK_WAIT_SECONDS_DEFAULT,
            retry_s: limits::RETRY_SECONDS_DEFAULT,
            connect_s: limits::CONNECT_SECONDS_DEFAULT,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("context", &self.context)
            .field("url", &self.url.as_deref().map(redact))
            .field("credentials_file", &self.credentials_file)
            .field("nkey_file", &self.nkey_file)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .field("replicas", &self.replicas)
            .field("storage", &self.storage)
            .field("data_dir", &self.data_dir)
            .field("server_port", &self.server_port)
            .field("streams_dir", &self.streams_dir)
            .finish_non_exhaustive()
    }
}

/// The addresses without the user and password that a NATS URL may carry.
pub fn redact(url: &str) -> String {
    let bare = |one: &str| match (one.find("://"), one.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &one[..scheme + 3], &one[at + 1..]),
        (None, Some(at)) => one[at + 1..].to_owned(),
        _ => one.to_owned(),
    };
    url.split(',').map(|one| bare(one.trim())).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let mut settings = Settings { url: Some("nats://ann:hunter2@a:4222, b".into()), ..Settings::default() };
        settings.password = Some(Secret::new("hunter2"));
        let shown = format!("{settings:?} {:?}", settings.password);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("nats://a:4222,b"), "{shown}");
    }

    #[test]
    fn a_context_stands_alone() {
        let check = |text: &str| serde_json::from_str::<Settings>(text).unwrap().check();
        assert_eq!(check(r#"{"context":"jetbatch"}"#), Ok(()));
        for (text, other) in [
            (r#"{"context":"a","url":"nats://b"}"#, "nats.url"),
            (r#"{"context":"a","token":"b"}"#, "nats.token"),
            (r#"{"context":"a","nkey_file":"b"}"#, "nats.nkey_file"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains("nats.context") && error.contains(other), "{error}");
        }
        assert!(serde_json::from_str::<Settings>(r#"{"context":"../a"}"#).is_err());
    }

    #[test]
    fn who_names_an_address_of_this_machine_and_no_login() {
        let of = |text: &str| serde_json::from_str::<Settings>(text).unwrap().is_nobody_at(4222);
        assert!(of(r#"{"url":"nats://127.0.0.1:4222"}"#) && of(r#"{"url":"localhost"}"#));
        for other in [
            r#"{"url":"nats://127.0.0.1:4223"}"#,
            r#"{"url":"nats://127.0.0.1:4222,nats://far:4222"}"#,
            r#"{"url":"nats://a:b@127.0.0.1:4222"}"#,
            r#"{"url":"nats://127.0.0.1:4222","token":"t"}"#,
        ] {
            assert!(!of(other), "{other}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let err = serde_json::from_str::<Settings>(r#"{"urll":"x"}"#).unwrap_err();
        assert!(err.to_string().contains("urll"), "{err}");
    }
}
