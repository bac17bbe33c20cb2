//! jetbatch's own nats-server: a child on loopback with its streams under the data folder, for whoever has no NATS.
mod config;
mod find;
mod login;
mod orphan;
mod port;
mod probe;
mod spawn;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::{fs::DirBuilderExt, process::ExitStatusExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::{Secret, Settings, limits, private};
pub use find::{FindError, Flaw, find};
use orphan::Orphan;
pub(super) use probe::{Running, of as monitor, until_back};
use spawn::{spawn, tail};

const CONFIG: &str = "nats.conf";
const LOCK: &str = "lock";
const LOG: &str = "nats-server.log";
const POLL: Duration = Duration::from_millis(50);
/// Restarts of a server that dies, before it is let go.
const RESTARTS_MAX: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error("cannot use {path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot start {bin}: {source}")]
    Spawn { bin: PathBuf, source: io::Error },
    #[error("nats-server ended at once ({status}): {log}")]
    Ended { status: String, log: String },
    #[error("nats-server did not answer within {seconds} s; its log is {log}")]
    Silent { seconds: u64, log: PathBuf },
    #[error("nats-server came back at {url}, and not at its address")]
    Moved { url: String },
    #[error("nats-server (process {pid}) did not stop within {seconds} s and was killed")]
    Killed { pid: u32, seconds: u64 },
}

/// A nats-server under a data folder. Dropped, it is stopped, unless another process started it.
pub struct Server {
    dir: PathBuf,
    bin: PathBuf,
    url: String,
    /// None: it is another jetbatch's, and that one is of before there were any.
    password: Option<Secret>,
    hold: Hold,
    restarts: u32,
}

/// How this process stands to the server.
enum Hold {
    /// Our child. The lock goes with us, so a second jetbatch on the folder knows that the server has an owner.
    Child {
        child: Box<Child>,
        _lock: File,
    },
    /// Started by a jetbatch that was killed; now ours.
    Adopted {
        orphan: Orphan,
        _lock: File,
    },
    /// Another jetbatch owns it.
    Guest {
        running: Running,
    },
    Gone,
}

impl Server {
    /// Starts a server on the folder, or takes the one that runs there. Never two servers on one folder.
    pub async fn start(settings: &Settings) -> Result<Self, ServerError> {
        let dir = folder(&settings.data_dir)?;
        let until = Instant::now() + Duration::from_secs(limits::SERVER_START_SECONDS_MAX);
        loop {
            if let Some(lock) = lock(&dir)? {
                return Self::own(dir, settings, lock).await;
            }
            if let Some(running) = probe::of(&dir).await {
                tracing::info!(url = running.url, "using the nats-server of another jetbatch on this folder");
                let password = login::find(&dir).map_err(|source| unusable(&dir, source))?;
                let (url, bin, hold) = (running.url.clone(), PathBuf::new(), Hold::Guest { running });
                return Ok(Self { dir, bin, url, password, hold, restarts: 0 });
            }
            if Instant::now() >= until {
                return Err(silent(&dir));
            }
            sleep(POLL).await;
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn settings(&self, settings: &Settings) -> Settings {
        match &self.password {
            Some(password) => settings.with_url(&self.url).signed(login::USER, password),
            None => settings.with_url(&self.url),
        }
    }

    /// The server's process, if it is ours.
    pub fn pid(&self) -> Option<u32> {
        match &self.hold {
            Hold::Child { child, .. } => child.id(),
            Hold::Adopted { orphan, .. } => Some(orphan.pid),
            Hold::Guest { .. } | Hold::Gone => None,
        }
    }

    /// Resolves when the server has ended for good. One of ours that dies is started again on the same port.
    pub async fn ended(&mut self) {
        loop {
            self.gone().await;
            self.restarts += 1;
            if matches!(self.hold, Hold::Guest { .. } | Hold::Gone) || self.restarts > RESTARTS_MAX {
                return;
            }
            tracing::error!(log = %self.dir.join(LOG).display(), "nats-server ended; starting it again");
            if let Err(error) = self.again().await {
                tracing::error!(%error, "nats-server cannot be started again");
                return;
            }
        }
    }

    /// Stops the server and waits for its end.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        orphan::terminate(pid);
        let limit = Duration::from_secs(limits::SERVER_STOP_SECONDS_MAX);
        let stopped = tokio::time::timeout(limit, self.gone()).await;
        if stopped.is_err() {
            orphan::kill(pid);
            self.gone().await;
        }
        self.hold = Hold::Gone;
        stopped.map_err(|_| ServerError::Killed { pid, seconds: limits::SERVER_STOP_SECONDS_MAX })
    }

    async fn own(dir: PathBuf, settings: &Settings, lock: File) -> Result<Self, ServerError> {
        let bin = find(settings.server_bin.as_deref())?;
        let password = login::password(&dir).map_err(|source| unusable(&dir, source))?;
        let config = config::text(&dir, settings, &password);
        if let Some(orphan) = orphan::settle(&dir, &config).await {
            tracing::info!(pid = orphan.pid, url = orphan.url, "adopted the nats-server of a jetbatch that was killed");
            let (url, hold) = (orphan.url.clone(), Hold::Adopted { orphan, _lock: lock });
            return Ok(Self { dir, bin, url, password: Some(password), hold, restarts: 0 });
        }
        let path = dir.join(CONFIG);
        private::write(&path, &config).map_err(|source| unusable(&path, source))?;
        let port = port::choose(&dir, settings.server_port);
        let child = Box::new(spawn(&bin, &dir, port)?);
        let (url, hold) = (String::new(), Hold::Child { child, _lock: lock });
        let mut server = Self { dir, bin, url, password: Some(password), hold, restarts: 0 };
        match server.ready().await {
            // Another one was quicker: many may start at the same moment, and all want the same port.
            Err(ServerError::Ended { .. }) if port.is_some_and(|port| !port::is_free(port)) => {
                server.respawn(None)?;
                server.ready().await?;
            }
            ready => ready?,
        }
        Ok(server)
    }

    async fn again(&mut self) -> Result<(), ServerError> {
        let before = self.url.clone();
        self.respawn(port::choose(&self.dir, 0))?;
        self.ready().await?;
        if self.url == before { Ok(()) } else { Err(ServerError::Moved { url: self.url.clone() }) }
    }

    fn respawn(&mut self, port: Option<u16>) -> Result<(), ServerError> {
        let lock = match std::mem::replace(&mut self.hold, Hold::Gone) {
            Hold::Child { _lock, .. } | Hold::Adopted { _lock, .. } => _lock,
            Hold::Guest { .. } | Hold::Gone => return Ok(()),
        };
        self.hold = Hold::Child { child: Box::new(spawn(&self.bin, &self.dir, port)?), _lock: lock };
        Ok(())
    }

    /// Waits until the child answers, and notes its port for the next start, so that its address stays.
    async fn ready(&mut self) -> Result<(), ServerError> {
        let until = Instant::now() + Duration::from_secs(limits::SERVER_START_SECONDS_MAX);
        loop {
            let Hold::Child { child, .. } = &mut self.hold else { return Ok(()) };
            if let Ok(Some(status)) = child.try_wait() {
                return Err(ServerError::Ended { status: status.to_string(), log: tail(&self.dir) });
            }
            if let Some(running) = probe::of(&self.dir).await.filter(|running| Some(running.pid) == child.id()) {
                port::note(&self.dir, running.port).map_err(|source| unusable(&self.dir, source))?;
                self.url = running.url;
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(silent(&self.dir));
            }
            sleep(POLL).await;
        }
    }

    async fn gone(&mut self) {
        match &mut self.hold {
            Hold::Child { child, .. } => {
                let status = child.wait().await;
                let signal = status.as_ref().ok().and_then(ExitStatusExt::signal);
                tracing::debug!(?status, ?signal, "nats-server ended");
            }
            Hold::Adopted { orphan, .. } => {
                while orphan::is_alive(orphan.pid) {
                    sleep(POLL).await;
                }
            }
            Hold::Guest { running } => {
                while probe::answers(&running.monitor).await {
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Hold::Gone => {}
        }
    }
}

impl Drop for Server {
    /// Waits, because a start right after must not meet a server that is about to end.
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        orphan::terminate(pid);
        let until = std::time::Instant::now() + Duration::from_secs(limits::SERVER_STOP_SECONDS_MAX);
        while std::time::Instant::now() < until {
            let gone = match &mut self.hold {
                Hold::Child { child, .. } => !matches!(child.try_wait(), Ok(None)),
                _ => !orphan::is_alive(pid),
            };
            if gone {
                return;
            }
            std::thread::sleep(POLL);
        }
        orphan::kill(pid);
    }
}

/// Where the server on the folder is reached, or would be if it started now. None: nobody knows before it does.
pub async fn address(settings: &Settings) -> Option<String> {
    let dir = fs::canonicalize(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
    match probe::of(&dir).await {
        Some(running) => Some(running.url),
        None => port::choose(&dir, settings.server_port).map(port::url),
    }
}

/// The settings with the own server's login, where they name its address and nobody to be there.
pub async fn signed(settings: &Settings) -> Settings {
    let dir = fs::canonicalize(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
    let Ok(Some(password)) = login::find(&dir) else { return settings.clone() };
    match probe::of(&dir).await {
        Some(running) if settings.is_nobody_at(running.port) => settings.signed(login::USER, &password),
        Some(_) | None => settings.clone(),
    }
}

/// The settings by which the folder's own server is reached: where it is, or would be if it started now, and its login.
pub async fn reached(settings: &Settings) -> Result<Option<Settings>, ServerError> {
    let password = login::find(&settings.data_dir).map_err(|source| unusable(&settings.data_dir, source))?;
    let (Some(url), Some(password)) = (address(settings).await, password) else { return Ok(None) };
    Ok(Some(settings.with_url(&url).signed(login::USER, &password)))
}

fn folder(dir: &Path) -> Result<PathBuf, ServerError> {
    // Streams hold prompts: no other user of the machine reads them.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).and_then(|()| fs::canonicalize(dir));
    made.map_err(|source| unusable(dir, source))
}

/// The lock of the folder's owner. It ends with the process, however that ends.
fn lock(dir: &Path) -> Result<Option<File>, ServerError> {
    let path = dir.join(LOCK);
    let failed = |source| unusable(&path, source);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn unusable(path: &Path, source: io::Error) -> ServerError {
    ServerError::Folder { path: path.to_owned(), source }
}

fn silent(dir: &Path) -> ServerError {
    ServerError::Silent { seconds: limits::SERVER_START_SECONDS_MAX, log: dir.join(LOG) }
}
