use std::path::PathBuf;

use async_nats::ConnectOptions;
use percent_encoding::percent_decode_str;
use url::Url;

use super::connect::{ConnectError, read};
use super::{Secret, Settings, SettingsError};

const NKEY: &str = "nats.nkey_file";
const CREDENTIALS: &str = "nats.credentials_file";

/// Whom jetbatch says it is. One way at a time, so that a refusal can name the setting that is wrong.
#[derive(Debug, Clone)]
pub(super) enum Login {
    Nobody,
    /// A user and password in `nats.url`.
    Url(String, Secret),
    User(String, Secret),
    Token(Secret),
    Nkey(PathBuf),
    Credentials(PathBuf),
}

impl Login {
    pub fn of(settings: &Settings) -> Result<Self, SettingsError> {
        let nkey = settings.nkey_file.clone().map(Self::Nkey);
        let credentials = settings.credentials_file.clone().map(Self::Credentials);
        let token = settings.token.clone().map(Self::Token);
        let mut all = [in_url(settings)?, by_name(settings)?, token, nkey, credentials].into_iter().flatten();
        let login = all.next().unwrap_or(Self::Nobody);
        match all.next() {
            Some(other) => Err(SettingsError::Two { one: login.field(), other: other.field() }),
            None => Ok(login),
        }
    }

    pub fn field(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Url(..) => "a user in nats.url",
            Self::User(..) => "nats.user",
            Self::Token(_) => "nats.token",
            Self::Nkey(_) => NKEY,
            Self::Credentials(_) => CREDENTIALS,
        }
    }

    /// What to do where the server does not let it in.
    pub fn advice(&self) -> String {
        match self {
            Self::Nobody => {
                format!("set nats.context, {CREDENTIALS}, {NKEY}, nats.token, or nats.user and nats.password")
            }
            Self::Url(..) => "correct the user and password in nats.url".to_owned(),
            Self::User(..) => "correct nats.user and nats.password".to_owned(),
            Self::Token(_) => "correct nats.token".to_owned(),
            Self::Nkey(path) => format!("give it the public key of {} ({NKEY}), or name another", path.display()),
            Self::Credentials(path) => {
                format!("renew {} ({CREDENTIALS}), which is expired, revoked or of an unknown account", path.display())
            }
        }
    }

    pub async fn sign_in(&self, options: ConnectOptions) -> Result<ConnectOptions, ConnectError> {
        match self {
            Self::Nobody => Ok(options),
            Self::Url(user, password) | Self::User(user, password) => {
                Ok(options.user_and_password(user.clone(), password.reveal().to_owned()))
            }
            Self::Token(token) => Ok(options.token(token.reveal().to_owned())),
            Self::Nkey(path) => {
                let text = read(NKEY, path).await?;
                let seed = seed(&text).ok_or_else(|| ConnectError::content(NKEY, path, "seed of an nkey (SU...)"))?;
                Ok(options.nkey(seed.to_owned()))
            }
            Self::Credentials(path) => {
                // async-nats asks for the end of the last line, which secret stores like to trim.
                let text = read(CREDENTIALS, path).await? + "\n";
                let unfit = |_| ConnectError::content(CREDENTIALS, path, "JWT with the seed of its user");
                options.credentials(&text).map_err(unfit)
            }
        }
    }
}

fn by_name(settings: &Settings) -> Result<Option<Login>, SettingsError> {
    const USER: &str = "nats.user";
    const PASSWORD: &str = "nats.password";
    match (settings.user.clone(), settings.password.clone()) {
        (Some(user), Some(password)) => Ok(Some(Login::User(user, password))),
        (Some(_), None) => Err(SettingsError::Half { one: USER, other: PASSWORD }),
        (None, Some(_)) => Err(SettingsError::Half { one: PASSWORD, other: USER }),
        (None, None) => Ok(None),
    }
}

/// What the first address with a user says; async-nats itself leaves it out.
fn in_url(settings: &Settings) -> Result<Option<Login>, SettingsError> {
    let mut all = settings.url.iter().flat_map(|url| url.split(',')).filter_map(parse);
    let Some(url) = all.find(|url| !url.username().is_empty()) else { return Ok(None) };
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match url.password() {
        Some(password) => Ok(Some(Login::Url(plain(url.username()), Secret::new(plain(password))))),
        None => Err(SettingsError::Half { one: "a user in nats.url", other: "a password after it" }),
    }
}

/// As async-nats reads it: the scheme may be left out.
pub(super) fn parse(address: &str) -> Option<Url> {
    let address = address.trim();
    let url = if address.contains("://") { Url::parse(address) } else { Url::parse(&format!("nats://{address}")) };
    url.ok()
}

/// The seed alone, or between the lines that `nsc` draws around it.
fn seed(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| nkeys::KeyPair::from_seed(word).is_ok())
}
