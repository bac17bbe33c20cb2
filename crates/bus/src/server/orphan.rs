use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::{CONFIG, POLL, probe};
use crate::{SERVER_VERSION_MIN, limits};

/// A server whose jetbatch is gone.
pub struct Orphan {
    pub pid: u32,
    pub url: String,
}

/// Deals with the server that a killed jetbatch left on the folder: gives it if it can be taken over as it is, and
/// else returns only when it has ended. The caller holds the folder's lock.
pub async fn settle(dir: &Path, config: &str) -> Option<Orphan> {
    let alive: Vec<u32> = probe::pids(dir).into_iter().filter(|pid| is_ours(*pid, dir)).collect();
    if alive.is_empty() {
        return None;
    }
    if let Some(running) = answering(dir).await
        && alive.contains(&running.pid)
        && fs::read_to_string(dir.join(CONFIG)).is_ok_and(|text| text == config)
        && crate::version::parse(&running.version).is_some_and(|version| version >= SERVER_VERSION_MIN)
    {
        return Some(Orphan { pid: running.pid, url: running.url });
    }
    for pid in alive {
        tracing::warn!(pid, "stopping the nats-server that a killed jetbatch left behind");
        end(pid).await;
    }
    None
}

/// It may have been started a moment before its jetbatch was killed, and still be reading its streams.
async fn answering(dir: &Path) -> Option<probe::Running> {
    let until = Instant::now() + Duration::from_secs(limits::SERVER_STOP_SECONDS_MAX);
    loop {
        let running = probe::of(dir).await;
        if running.is_some() || Instant::now() >= until {
            return running;
        }
        sleep(POLL).await;
    }
}

async fn end(pid: u32) {
    terminate(pid);
    let until = Instant::now() + Duration::from_secs(limits::SERVER_STOP_SECONDS_MAX);
    while is_alive(pid) {
        if Instant::now() >= until {
            kill(pid);
        }
        sleep(POLL).await;
    }
}

pub fn terminate(pid: u32) {
    send(pid, Signal::SIGTERM);
}

pub fn kill(pid: u32) {
    send(pid, Signal::SIGKILL);
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = signal::kill(Pid::from_raw(pid), signal);
    }
}

/// Whether a process runs. One that ended and was never waited for does not.
pub fn is_alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')),
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => i32::try_from(pid).is_ok_and(|pid| signal::kill(Pid::from_raw(pid), None).is_ok()),
    }
}

/// Whether a process is a server on this folder, and not one that got the number of a server long gone.
fn is_ours(pid: u32, dir: &Path) -> bool {
    let config = dir.join(CONFIG);
    let command = fs::read(format!("/proc/{pid}/cmdline")).or_else(|_| {
        let pid = pid.to_string();
        std::process::Command::new("ps").args(["-o", "command=", "-p", &pid]).output().map(|output| output.stdout)
    });
    is_alive(pid) && command.is_ok_and(|text| String::from_utf8_lossy(&text).contains(&*config.to_string_lossy()))
}
