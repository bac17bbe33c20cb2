//! Contexts of the `nats` command: where a NATS is, and who one is there. A file each, in
//! `$XDG_CONFIG_HOME/nats/context` or `~/.config/nats/context`.
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fmt, fs, io};

use serde::{Deserialize, Serialize};

use super::{Secret, Settings, SettingsError, Tls, private};

/// Where the `nats` command looks where a context names no address.
const URL_DEFAULT: &str = "nats://127.0.0.1:4222";

/// What a context is called: its file's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ContextName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no context: use letters, digits, '-', '_' and '.', and no '..'")]
pub struct BadName(String);

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for contexts")]
    NoHome,
    #[error("there is no context at {}; `nats context ls` lists them, `jetbatch nats context` writes one", .0.display())]
    Missing(PathBuf),
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no context: {source}", path.display())]
    Content { path: PathBuf, source: serde_json::Error },
    #[error("{} sets '{field}', which jetbatch does not know how to use", path.display())]
    Foreign { path: PathBuf, field: &'static str },
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// The file, as the `nats` command writes it. What is not set is empty.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    description: String,
    url: String,
    token: String,
    user: String,
    password: String,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    inbox_prefix: String,
    tls_first: bool,
    /// And what is only refused.
    socks_proxy: String,
    nsc: String,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    user_jwt: String,
}

impl FromStr for ContextName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let is_name = is_legal && !text.is_empty() && !text.starts_with('.') && !text.contains("..");
        if is_name { Ok(Self(text.to_owned())) } else { Err(BadName(text.to_owned())) }
    }
}

impl TryFrom<String> for ContextName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The settings, with address and login of the context that they name.
pub fn resolve(settings: &Settings) -> Result<Settings, ContextError> {
    let Some(name) = &settings.context else { return Ok(settings.clone()) };
    settings.check()?;
    let path = path(name)?;
    let content = read(&path)?;
    if let Some(field) = content.foreign() {
        return Err(ContextError::Foreign { path, field });
    }
    let resolved = content.over(settings);
    resolved.check()?;
    Ok(resolved)
}

/// Writes a context that leads where these settings do, and gives its file.
pub fn write(name: &ContextName, description: &str, settings: &Settings) -> Result<PathBuf, ContextError> {
    let path = path(name)?;
    let failed = |source| ContextError::File { path: path.clone(), source };
    fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
    let content = Content::of(description, settings).map_err(failed)?;
    let text = serde_json::to_string_pretty(&content).expect("a context is plain JSON");
    private::write(&path, &text).map_err(failed)?;
    Ok(path)
}

fn path(name: &ContextName) -> Result<PathBuf, ContextError> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    Ok(folder.ok_or(ContextError::NoHome)?.join("nats/context").join(format!("{name}.json")))
}

fn read(path: &Path) -> Result<Content, ContextError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ContextError::Missing(path.to_owned()),
        _ => ContextError::File { path: path.to_owned(), source },
    })?;
    serde_json::from_str(&text).map_err(|source| ContextError::Content { path: path.to_owned(), source })
}

impl Content {
    fn of(description: &str, settings: &Settings) -> io::Result<Self> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|it| it.reveal().to_owned()).unwrap_or_default();
        // The `nats` command runs elsewhere.
        let file = |path: &Option<PathBuf>| {
            let full = path.as_ref().map(std::path::absolute).transpose()?;
            Ok::<_, io::Error>(full.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default())
        };
        Ok(Self {
            description: description.to_owned(),
            url: text(&settings.url),
            token: secret(&settings.token),
            user: text(&settings.user),
            password: secret(&settings.password),
            creds: file(&settings.credentials_file)?,
            nkey: file(&settings.nkey_file)?,
            cert: file(&settings.tls.cert)?,
            key: file(&settings.tls.key)?,
            ca: file(&settings.tls.ca)?,
            inbox_prefix: text(&settings.inbox_prefix),
            tls_first: settings.tls.first,
            ..Self::default()
        })
    }

    /// What cannot be left out without going elsewhere.
    fn foreign(&self) -> Option<&'static str> {
        let Self { socks_proxy, nsc, jetstream_domain, jetstream_api_prefix, user_jwt, .. } = self;
        let all = [
            ("socks_proxy", socks_proxy),
            ("nsc", nsc),
            ("jetstream_domain", jetstream_domain),
            ("jetstream_api_prefix", jetstream_api_prefix),
            ("user_jwt", user_jwt),
        ];
        all.into_iter().find(|(_, value)| !value.is_empty()).map(|(name, _)| name)
    }

    fn over(self, settings: &Settings) -> Settings {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let file = |text: String| some(text).map(at_home);
        let tls = Tls {
            required: settings.tls.required,
            ca: file(self.ca).or_else(|| settings.tls.ca.clone()),
            cert: file(self.cert).or_else(|| settings.tls.cert.clone()),
            key: file(self.key).or_else(|| settings.tls.key.clone()),
            first: self.tls_first || settings.tls.first,
        };
        Settings {
            context: None,
            url: some(self.url).or_else(|| Some(URL_DEFAULT.to_owned())),
            token: some(self.token).map(Secret::new),
            user: some(self.user),
            password: some(self.password).map(Secret::new),
            credentials_file: file(self.creds),
            nkey_file: file(self.nkey),
            inbox_prefix: some(self.inbox_prefix).or_else(|| settings.inbox_prefix.clone()),
            tls,
            ..settings.clone()
        }
    }
}

/// `~/` is the user's own folder.
fn at_home(text: String) -> PathBuf {
    match (text.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_files() {
        for name in ["jetbatch", "a-b_c.d", "7"] {
            assert_eq!(name.parse::<ContextName>().unwrap().to_string(), name);
        }
        for bad in ["", ".", "..", "a/b", "a..b", "../a", "a b", "a\\b", ".a"] {
            assert!(bad.parse::<ContextName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let from = Settings { inbox_prefix: Some("_IN".into()), ..Settings::default().with_url("nats://h:1") };
        let from = from.signed("ann", &Secret::new("hunter2"));
        let text = serde_json::to_string(&Content::of("what for", &from).unwrap()).unwrap();
        let content: Content = serde_json::from_str(&text).unwrap();
        assert_eq!(content.foreign(), None);
        let to = content.over(&Settings { replicas: 3, ..Settings::default() });
        assert_eq!((to.url, to.user, to.inbox_prefix, to.replicas), (from.url, from.user, from.inbox_prefix, 3));
        assert_eq!(to.password.unwrap().reveal(), "hunter2");
        assert!(to.token.is_none() && to.credentials_file.is_none() && to.tls.ca.is_none());
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let content = |text: &str| serde_json::from_str::<Content>(text).unwrap();
        let plain = content(r#"{"url":"","creds":"/a.creds","color_scheme":"x","windows_ca_certs_match":null}"#);
        assert_eq!(plain.foreign(), None);
        let plain = plain.over(&Settings::default());
        assert_eq!(plain.url.as_deref(), Some(URL_DEFAULT));
        assert_eq!(plain.credentials_file.as_deref(), Some(Path::new("/a.creds")));
        assert_eq!(content(r#"{"jetstream_domain":"hub"}"#).foreign(), Some("jetstream_domain"));
    }
}
