use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A jetbatch process with its output in files. Dropped, it is killed.
pub struct Jetbatch {
    child: Child,
    output: TempDir,
}

/// How a process is started: program, arguments, environment, folder.
pub struct Start {
    command: Command,
}

/// The jetbatch binary: `JETBATCH_BIN`, else the one built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("JETBATCH_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let built = test.ancestors().map(|dir| dir.join("jetbatch")).find(|path| path.is_file());
    built.expect("no jetbatch beside the tests: run `cargo build --workspace --all-targets`, or set JETBATCH_BIN")
}

/// Lets this process have as many sockets as it is allowed.
pub fn raise_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("a process may have what it is allowed");
}

impl Start {
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self { command: Command::new(program.as_ref()) }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn spawn(mut self) -> Jetbatch {
        let output = TempDir::with_prefix("jetbatch-run-").expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("the folder can be written");
        self.command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).kill_on_drop(true);
        Jetbatch { child: self.command.spawn().expect("jetbatch starts"), output }
    }
}

impl Jetbatch {
    /// Runs the jetbatch binary with arguments.
    pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Start::new(binary()).args(args).spawn()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill9(&mut self) {
        self.child.kill().await.expect("jetbatch is a child");
    }

    /// Asks it to stop, as a service manager does.
    pub fn term(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Stops it where it is, until [`Jetbatch::resume`].
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits for its end. Panics with its output when it goes on.
    pub async fn exit(&mut self, timeout: Duration) -> ExitStatus {
        match tokio::time::timeout(timeout, self.child.wait()).await {
            Ok(status) => status.expect("jetbatch is a child"),
            Err(_) => panic!("jetbatch still runs after {timeout:?}\n{}", self.story()),
        }
    }

    /// Waits for the first line of stdout or stderr that contains `text`, and gives it.
    pub async fn line(&mut self, text: &str, timeout: Duration) -> String {
        self.lines(text, 1, timeout).await
    }

    /// Waits for so many lines that contain `text`, and gives the last of them.
    pub async fn lines(&mut self, text: &str, count: usize, timeout: Duration) -> String {
        let until = tokio::time::Instant::now() + timeout;
        loop {
            let ended = self.has_ended();
            let story = [self.stdout(), self.stderr()].join("\n");
            if let Some(line) = story.lines().filter(|line| line.contains(text)).nth(count - 1) {
                return line.to_owned();
            }
            assert!(!ended, "jetbatch ended before it said {text:?}\n{}", self.story());
            assert!(tokio::time::Instant::now() < until, "no {text:?} within {timeout:?}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `<base>/readyz` answers 200.
    pub async fn ready(&mut self, base: &str, timeout: Duration) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().expect("a client");
        let url = format!("{base}/readyz");
        let until = tokio::time::Instant::now() + timeout;
        loop {
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(!self.has_ended(), "jetbatch ended before {url} was ready\n{}", self.story());
            assert!(tokio::time::Instant::now() < until, "{url} is not ready after {timeout:?}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), signal).expect("jetbatch is a child");
        }
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All that it said, for a test that fails.
    pub fn story(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout(), self.stderr())
    }
}

/// Sends a signal to a process that runs. Not by `kill`: a small system has no such program.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("the process runs");
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Jetbatch {
        Start::new("/bin/sh").args(["-c", script]).env("WORD", "hello").spawn()
    }

    #[tokio::test]
    async fn a_process_is_heard_and_ended() {
        let mut process = shell("echo $WORD; echo trouble >&2; trap 'exit 3' TERM; while :; do sleep 0.05; done");
        assert_eq!(process.line("hel", WAIT).await, "hello");
        assert_eq!(process.line("trouble", WAIT).await, "trouble");
        process.term();
        assert_eq!(process.exit(WAIT).await.code(), Some(3));
        let mut process = shell("exec sleep 100");
        process.kill9().await;
        assert_eq!(process.exit(WAIT).await.code(), None);
    }

    #[tokio::test]
    #[should_panic(expected = "ended before it said")]
    async fn a_line_that_cannot_come_is_not_waited_for() {
        shell("echo other").line("hello", WAIT).await;
    }
}
