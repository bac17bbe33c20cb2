//! The NATS nodes. Every byte to them and between them goes through a proxy that can be cut.
use super::{
    process::Process,
    proxy::{Gate, Proxy},
};
use crate::plan::Spec;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use testkit::nats::{binary, free_port};
use tokio::{process::Command, sync::Mutex};

/// A port that nobody listens on: an address that the others are not to learn.
const NOWHERE: &str = "127.0.0.1:1";
const HEALTH_WITHIN: Duration = Duration::from_secs(2);

pub struct Cluster {
    pub nodes: Vec<Node>,
    /// Between the nodes.
    _routes: Vec<Proxy>,
}

pub struct Node {
    pub process: Arc<Mutex<Process>>,
    pub gate: Gate,
    door: Proxy,
    monitor: u16,
}

/// The ports that a node listens on itself.
#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    route: u16,
    monitor: u16,
}

impl Cluster {
    pub async fn start(dir: &Path, spec: &Spec, sync_always: bool) -> io::Result<Self> {
        let count = usize::from(spec.nodes);
        let ports: Vec<Ports> = (0..count).map(|_| ports()).collect();
        let gates: Vec<Gate> = (0..count).map(|_| Gate::open()).collect();
        let (mut routes, mut doors, mut processes) = (Vec::new(), Vec::new(), Vec::new());
        for from in 0..count {
            let mut peers = Vec::new();
            for to in (0..count).filter(|to| *to != from) {
                let proxy = Proxy::to(ports[to].route, &[&gates[from], &gates[to]]).await?;
                peers.push(format!("nats://127.0.0.1:{}", proxy.port));
                routes.push(proxy);
            }
            doors.push(Proxy::to(ports[from].client, &[&gates[from]]).await?);
            processes.push(process(dir, from, &config(dir, from, ports[from], &peers, sync_always))?);
        }
        let nodes = processes.into_iter().zip(gates).zip(doors).zip(ports).map(|(((process, gate), door), ports)| {
            Node { process: Arc::new(Mutex::new(process)), gate, door, monitor: ports.monitor }
        });
        let cluster = Self { nodes: nodes.collect(), _routes: routes };
        for node in &cluster.nodes {
            node.process.lock().await.start(dir)?;
        }
        Ok(cluster)
    }

    /// The addresses of all nodes, as clients know them.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.door.port)).collect()
    }

    /// Whether every node has its streams and its peers.
    pub async fn is_healthy(&self) -> bool {
        let client = reqwest::Client::builder().no_proxy().timeout(HEALTH_WITHIN).build();
        let Ok(client) = client else { return false };
        for node in &self.nodes {
            let url = format!("http://127.0.0.1:{}/healthz", node.monitor);
            if !client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return false;
            }
        }
        true
    }
}

fn ports() -> Ports {
    Ports { client: free_port(), route: free_port(), monitor: free_port() }
}

fn config(dir: &Path, number: usize, ports: Ports, peers: &[String], sync_always: bool) -> String {
    let store = folder(dir, number).join("store");
    let sync = if sync_always { "sync_interval: always" } else { "" };
    let Ports { client, route, monitor } = ports;
    // Neither clients nor peers may learn an address that goes round the proxies.
    let cluster = format!(
        "cluster {{ name: chaos, host: \"127.0.0.1\", port: {route}, no_advertise: true, advertise: \"{NOWHERE}\", \
         routes: {peers:?} }}"
    );
    let cluster = if peers.is_empty() { String::new() } else { cluster };
    format!(
        "server_name: n{number}\nhost: \"127.0.0.1\"\nport: {client}\nhttp: \"127.0.0.1:{monitor}\"\n\
         jetstream {{ store_dir: {store:?}\nmax_file_store: 1TB\n{sync} }}\n{cluster}\n"
    )
}

fn folder(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("n{number}"))
}

fn process(dir: &Path, number: usize, config: &str) -> io::Result<Process> {
    let folder = folder(dir, number);
    fs::create_dir_all(&folder)?;
    let file = folder.join("nats.conf");
    fs::write(&file, config)?;
    let program = binary();
    Ok(Process::new(&format!("n{number}"), dir, move || {
        let mut command = Command::new(&program);
        command.arg("-c").arg(&file);
        command
    }))
}
