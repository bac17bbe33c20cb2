use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{tool, wait_for};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A nats-server with JetStream in a temporary folder, on a port that stays over restarts. Dropped, it is killed.
pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
    extra: String,
    login: Option<(String, String)>,
}

/// The server that tests run. Panics where there is none.
pub fn binary() -> PathBuf {
    tool("nats-server", "JETBATCH_NATS_SERVER")
        .expect("no nats-server: run deploy/setup.sh, put one on PATH, or set JETBATCH_NATS_SERVER")
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// A server with lines added to its configuration.
    pub async fn start_with(extra: &str) -> Self {
        Self::launch(extra, None).await
    }

    /// A server that asks for a login, and one that may do everything.
    pub async fn start_with_login(extra: &str, user: &str, password: &str) -> Self {
        Self::launch(extra, Some((user.to_owned(), password.to_owned()))).await
    }

    async fn launch(extra: &str, login: Option<(String, String)>) -> Self {
        let dir = TempDir::with_prefix("jetbatch-nats-").expect("a temporary folder");
        let port = free_port();
        write_config(dir.path(), port, extra);
        let server = Self { child: spawn(dir.path()), port, dir, extra: extra.to_owned(), login };
        server.ready().await;
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the server is a child");
    }

    /// Starts it again on the same port and store, after stopping it gently if it still runs.
    pub async fn restart(&mut self) {
        self.stop().await;
        write_config(self.dir.path(), self.port, &self.extra);
        self.child = spawn(self.dir.path());
        self.ready().await;
    }

    /// Stops it gently.
    pub async fn stop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).expect("the server is a child");
        }
        self.child.wait().await.expect("the server is a child");
    }

    /// A plain connection.
    pub async fn client(&self) -> async_nats::Client {
        self.connect().await.expect("the server takes connections")
    }

    async fn connect(&self) -> Option<async_nats::Client> {
        let options = match self.login.clone() {
            Some((user, password)) => async_nats::ConnectOptions::with_user_and_password(user, password),
            None => async_nats::ConnectOptions::new(),
        };
        options.connect(self.url()).await.ok()
    }

    async fn ready(&self) {
        let client = wait_for("nats-server to take connections", START_TIMEOUT, || self.connect()).await;
        let js = async_nats::jetstream::new(client);
        wait_for("JetStream to answer", START_TIMEOUT, || async { js.query_account().await.ok() }).await;
    }
}

fn write_config(dir: &Path, port: u16, extra: &str) {
    let store = dir.join("store");
    let text = format!("host: \"127.0.0.1\"\nport: {port}\njetstream {{ store_dir: {store:?} }}\n{extra}\n");
    fs::write(dir.join("nats.conf"), text).expect("the folder can be written");
}

fn spawn(dir: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(dir.join("nats.log")).expect("the log can be opened");
    Command::new(binary())
        .arg("-c")
        .arg(dir.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("nats-server starts")
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
