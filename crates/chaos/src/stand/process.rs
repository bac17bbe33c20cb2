//! A process that is killed, frozen and started again. All that it says goes into one file.
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, Command};

pub struct Process {
    pub name: String,
    log: PathBuf,
    make: Box<dyn Fn() -> Command + Send + Sync>,
    child: Option<Child>,
}

/// Every process of a run has this in its environment, with the run's folder.
pub const MARK: &str = "JETBATCH_CHAOS";

impl Process {
    pub fn new(name: &str, dir: &Path, make: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        let log = dir.join("logs").join(format!("{name}.log"));
        Self { name: name.to_owned(), log, make: Box::new(make), child: None }
    }

    /// Starts it where it does not run.
    pub fn start(&mut self, dir: &Path) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = (self.make)();
        command.current_dir(dir).env(MARK, dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A group of its own: what it starts ends with it.
        command.process_group(0).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// SIGKILL to the process alone, and waits for its end.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// The last lines that it said.
    pub fn last_words(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    fn pid(&self) -> Option<Pid> {
        let pid = self.child.as_ref()?.id()?;
        i32::try_from(pid).ok().map(Pid::from_raw)
    }

    /// A process that has just ended takes no signal, and needs none.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

/// Ends what the processes of a run have left behind, and says what it was.
pub fn reap(dir: &Path) -> Vec<String> {
    let mark = format!("{MARK}={}", dir.display());
    let mut found = Vec::new();
    for pid in pids().filter(|pid| *pid != std::process::id() && has_mark(*pid, &mark)) {
        let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        found.push(String::from_utf8_lossy(&said).replace('\0', " ").trim().to_owned());
        if let Ok(pid) = i32::try_from(pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    found
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_mark(pid: u32, mark: &str) -> bool {
    let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
}
