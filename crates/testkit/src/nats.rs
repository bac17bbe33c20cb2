use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{tool, wait_for, wait_until};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A nats-server with JetStream in a temporary folder, on a port that stays over restarts. Dropped, it is killed.
pub struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
    options: Options,
}

/// What a test wants of its server beyond the usual.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings of the `jetstream` block.
    pub jetstream: String,
    /// Other lines of the configuration.
    pub lines: String,
    /// How someone who may do everything connects, where `lines` ask for more than an address.
    pub client: async_nats::ConnectOptions,
}

/// The server that tests run. Panics where there is none.
pub fn binary() -> PathBuf {
    tool("nats-server", "JETBATCH_NATS_SERVER")
        .expect("no nats-server: run deploy/setup.sh, put one on PATH, or set JETBATCH_NATS_SERVER")
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Self {
        let dir = TempDir::with_prefix("jetbatch-nats-").expect("a temporary folder");
        let port = free_port();
        write_config(dir.path(), port, &options);
        let server = Self { child: spawn(dir.path()), port, dir, options };
        server.ready().await;
        server
    }

    /// Three that are one cluster, named `node0` to `node2`.
    pub async fn trio() -> [Self; 3] {
        let routes = [free_port(), free_port(), free_port()];
        let node = |n: usize| Self::start_with(Options { lines: member(n, &routes), ..Options::default() });
        let (first, second, third) = tokio::join!(node(0), node(1), node(2));
        [first, second, third]
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
        write_config(self.dir.path(), self.port, &self.options);
        self.child = spawn(self.dir.path());
        self.ready().await;
    }

    /// The same with other lines of its configuration.
    pub async fn restart_with(&mut self, lines: &str) {
        self.options.lines = lines.to_owned();
        self.restart().await;
    }

    /// Has it read other lines of its configuration, without a restart.
    pub async fn reload(&mut self, lines: &str) {
        self.options.lines = lines.to_owned();
        write_config(self.dir.path(), self.port, &self.options);
        let before = self.reloads();
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).expect("the server runs");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("the server is a child");
        wait_for("the configuration to be read", START_TIMEOUT, || async { (self.reloads() > before).then_some(()) })
            .await;
    }

    fn reloads(&self) -> usize {
        let log = fs::read_to_string(self.dir.path().join("nats.log")).unwrap_or_default();
        log.matches("Reloaded server configuration").count()
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
        self.options.client.clone().connect(self.url()).await.ok()
    }

    async fn ready(&self) {
        let client = wait_for("nats-server to take connections", START_TIMEOUT, || self.connect()).await;
        let js = async_nats::jetstream::new(client);
        wait_for("JetStream to answer", START_TIMEOUT, || async { js.query_account().await.ok() }).await;
    }
}

/// Three servers on this machine. Dropped, they are killed.
pub struct Cluster {
    nodes: Vec<Node>,
    _dir: TempDir,
}

struct Node {
    child: Option<Child>,
    port: u16,
    dir: PathBuf,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `jetstream` are settings of that block, for every server.
    pub async fn start_with(jetstream: &str) -> Self {
        let dir = TempDir::with_prefix("jetbatch-cluster-").expect("a temporary folder");
        let routes = [free_port(), free_port(), free_port()];
        let node = |n: usize| {
            let (port, dir) = (free_port(), dir.path().join(format!("node{n}")));
            fs::create_dir_all(&dir).expect("the folder can be written");
            let lines = member(n, &routes);
            write_config(&dir, port, &Options { lines, jetstream: jetstream.to_owned(), ..Options::default() });
            Node { child: Some(spawn(&dir)), port, dir }
        };
        let nodes = (0..routes.len()).map(node).collect();
        let cluster = Self { nodes, _dir: dir };
        cluster.ready().await;
        cluster
    }

    /// The addresses of all servers.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.port)).collect();
        urls.join(",")
    }

    /// The number of the server that leads a stream.
    pub async fn leader(&self, stream: &str) -> usize {
        let js = async_nats::jetstream::new(self.connect().await.expect("a server runs"));
        let ask = || async {
            let stream = js.get_stream(stream).await.ok()?;
            let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
            leader.strip_prefix("node")?.parse().ok()
        };
        wait_for("the stream to have a leader", START_TIMEOUT, ask).await
    }

    /// `kill -9`, and waits for the end.
    pub async fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].child.take() {
            child.kill().await.expect("the server is a child");
        }
    }

    /// SIGTERM, and waits for the end: it tells the others that it goes.
    pub async fn stop(&mut self, node: usize) {
        self.signal(node, Signal::SIGTERM);
        if let Some(mut child) = self.nodes[node].child.take() {
            child.wait().await.expect("the server is a child");
        }
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self, node: usize) {
        self.signal(node, Signal::SIGSTOP);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let pid = self.nodes[node].child.as_ref().and_then(Child::id).and_then(|pid| i32::try_from(pid).ok());
        kill(Pid::from_raw(pid.expect("the server runs")), signal).expect("the server is a child");
    }

    pub async fn restart(&mut self, node: usize) {
        self.kill(node).await;
        self.nodes[node].child = Some(spawn(&self.nodes[node].dir));
        self.ready().await;
    }

    /// The last lines of each server.
    fn logs(&self) -> String {
        let log = |node: &Node| fs::read_to_string(node.dir.join("nats.log")).unwrap_or_default();
        let last = |log: String| log.lines().rev().take(20).map(|line| format!("{line}\n")).collect::<String>();
        self.nodes.iter().map(|node| format!("{} (newest first)\n{}", node.dir.display(), last(log(node)))).collect()
    }

    async fn connect(&self) -> Option<async_nats::Client> {
        let urls: Vec<String> = self.url().split(',').map(str::to_owned).collect();
        async_nats::connect(urls.as_slice()).await.ok()
    }

    async fn ready(&self) {
        let ask = || async {
            async_nats::jetstream::new(self.connect().await?).query_account().await.is_ok().then_some(true)
        };
        let answers = wait_until(START_TIMEOUT, &Some(true), ask).await.is_some();
        assert!(answers, "the cluster does not answer within {START_TIMEOUT:?}; its servers say:\n{}", self.logs());
    }
}

/// What makes a server one of a cluster.
fn member(number: usize, routes: &[u16; 3]) -> String {
    let (port, peers) = (routes[number], routes.map(|port| format!("nats://127.0.0.1:{port}")));
    let cluster = format!("cluster {{ name: test, host: \"127.0.0.1\", port: {port}, routes: {peers:?} }}");
    format!("server_name: node{number}\n{cluster}")
}

fn write_config(dir: &Path, port: u16, options: &Options) {
    let store = dir.join("store");
    let Options { jetstream, lines, .. } = options;
    // Streams reserve their room; how much of it this machine's disk has is not what is tested.
    let room = if jetstream.contains("max_file") { "" } else { "max_file_store: 1TB\n" };
    let text = format!(
        "host: \"127.0.0.1\"\nport: {port}\njetstream {{ store_dir: {store:?}\n{room}{jetstream} }}\n{lines}\n"
    );
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

/// Ports that no connection is given by the system: one of those could be taken between the look and the use.
const PORTS: Range<u16> = 10_000..32_000;
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free, and that this process gives nobody else. Panics where there is none.
pub fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    // Processes that run side by side look in places of their own.
    let place = (std::process::id().wrapping_mul(397) % u32::from(count)) as u16;
    let next = || PORTS.start + (place + NEXT.fetch_add(1, Ordering::Relaxed) % count) % count;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..count).map(|_| next()).find(free).expect("a free port")
}
