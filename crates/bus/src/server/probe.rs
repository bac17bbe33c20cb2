use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The process that the server notes at its start.
pub const PID: &str = "nats-server.pid";
/// The server writes its addresses into `<executable>_<pid>.ports`.
const PORTS: &str = ".ports";
const TIMEOUT: Duration = Duration::from_secs(2);

/// A server that answers and serves the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    pub pid: u32,
    pub url: String,
    pub port: u16,
    /// What it calls itself, to its clients too: anew at every start.
    pub id: String,
    pub monitor: String,
    pub version: String,
}

#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

#[derive(Deserialize)]
struct Varz {
    server_id: String,
    port: u16,
    version: String,
    jetstream: JetStream,
}

#[derive(Deserialize)]
struct JetStream {
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    store_dir: PathBuf,
}

/// The server that serves this folder and says so itself: a ports file may be left over, and its ports another's.
pub async fn of(dir: &Path) -> Option<Running> {
    for (pid, path) in notes(dir) {
        let Some(ports) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Ports>(&text).ok()) else {
            continue;
        };
        let (Some(url), Some(monitor)) = (ports.nats.first(), ports.monitoring.first()) else { continue };
        let Some(varz) = ask(monitor).await else { continue };
        let serves = varz.jetstream.config.is_some_and(|config| config.store_dir.starts_with(dir));
        if serves && url.ends_with(&format!(":{}", varz.port)) {
            let (url, monitor) = (url.clone(), monitor.clone());
            return Some(Running { pid, url, port: varz.port, id: varz.server_id, monitor, version: varz.version });
        }
    }
    None
}

/// Waits until the folder's server answers at its address. Whoever else took that meanwhile is not it.
pub async fn until_back(dir: &Path, url: &str) {
    while of(dir).await.is_none_or(|running| running.url != url) {
        tokio::time::sleep(super::POLL).await;
    }
}

pub async fn answers(monitor: &str) -> bool {
    ask(monitor).await.is_some()
}

/// Processes that noted themselves in the folder, running or not.
pub fn pids(dir: &Path) -> Vec<u32> {
    let noted = fs::read_to_string(dir.join(PID)).ok().and_then(|text| text.trim().parse().ok());
    notes(dir).into_iter().map(|(pid, _)| pid).chain(noted).collect()
}

/// Removes the notes of servers that are gone.
pub fn forget(dir: &Path) {
    for (_, path) in notes(dir) {
        let _ = fs::remove_file(path);
    }
    let _ = fs::remove_file(dir.join(PID));
}

fn notes(dir: &Path) -> Vec<(u32, PathBuf)> {
    let paths = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let notes = paths.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(PORTS)?;
        let pid = name.rsplit('_').next()?.parse().ok()?;
        Some((pid, path))
    });
    notes.collect()
}

/// Never through a proxy: the server is on this machine.
async fn ask(monitor: &str) -> Option<Varz> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().ok()?;
    client.get(format!("{monitor}/varz")).send().await.ok()?.json().await.ok()
}
