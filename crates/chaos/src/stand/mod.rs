//! Where a run takes place: NATS nodes, heads and workers as processes, and the store, all under one folder. Dropped,
//! every process is killed.
mod cluster;
mod disk;
mod process;
mod proxy;
mod switch;

pub use cluster::Cluster;
pub use disk::{Disk, own_mounts};
pub use process::Process;
pub use switch::Switch;

use crate::{
    args::Args,
    oracle,
    plan::{Sort, Spec},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use testkit::nats::free_port;
use tokio::{process::Command, sync::Mutex, task::JoinHandle, time::Instant};

const HEAD: &str = "gateway,intake,scheduler,archiver,projector,webhooks";
/// Requests that a worker runs at once, and that a chunk holds.
const SLOTS: u64 = 64;
const CHUNK: u64 = 32;
/// Requests of the chunks that a worker holds, at most: at the engine a quarter more than its slots and a few, half as
/// many that wait, and the chunk that was fetched for want of more. (While RESULTS is full, answers that wait to be stored
/// come on top: a run's many faults leave room for that.)
pub const IN_FLIGHT_MAX: u64 = SLOTS + SLOTS / 4 + 3 + SLOTS / 2 + CHUNK;
/// How often processes are looked at, and how soon one that ended is started again.
const LOOK: Duration = Duration::from_millis(300);
const START_WITHIN: Duration = Duration::from_secs(60);
const READY_WITHIN: Duration = Duration::from_secs(5);

pub struct Stand {
    pub dir: PathBuf,
    pub cluster: Cluster,
    pub disk: Disk,
    pub heads: Vec<Head>,
    pub workers: Vec<Arc<Mutex<Process>>>,
    pub jetbatch: PathBuf,
    /// Processes that ended by themselves.
    pub fallen: Arc<AtomicU64>,
    /// Whether a worker's engine can be told to misbehave.
    pub has_switches: bool,
    guard: Option<JoinHandle<()>>,
}

pub struct Head {
    pub process: Arc<Mutex<Process>>,
    pub base: String,
}

impl Stand {
    pub async fn start(args: &Args, spec: &Spec, dir: PathBuf, has_mounts: bool) -> io::Result<Self> {
        for folder in ["logs", "inputs", Switch::FOLDER] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let disk = Disk::open(&dir.join("disk"), has_mounts)?;
        let cluster = Cluster::start(&dir, spec, args.sync_always).await?;
        let config = config(args, spec, &dir, &disk, &cluster.urls().join(","));
        fs::write(dir.join("jetbatch.toml"), config)?;
        let (jetbatch, has_switches) = (args.jetbatch(), !spec.model);
        let heads = (0..spec.heads).map(|n| head(&jetbatch, &dir, n)).collect();
        let workers = (0..spec.workers).map(|n| worker(&jetbatch, &dir, n, has_switches)).collect();
        let fallen = Arc::default();
        let mut stand = Self { dir, cluster, disk, heads, workers, jetbatch, fallen, has_switches, guard: None };
        until("the NATS nodes do not find each other", || stand.cluster.is_healthy()).await?;
        for process in stand.processes() {
            process.lock().await.start(&stand.dir)?;
        }
        for head in &stand.heads {
            until("a head does not get ready", || head.is_ready()).await?;
        }
        stand.guard = Some(tokio::spawn(guard(stand.processes(), stand.dir.clone(), stand.fallen.clone())));
        Ok(stand)
    }

    pub fn processes(&self) -> Vec<Arc<Mutex<Process>>> {
        let heads = self.heads.iter().map(|head| &head.process);
        let nodes = self.cluster.nodes.iter().map(|node| &node.process);
        nodes.chain(heads).chain(&self.workers).cloned().collect()
    }

    /// Ends every process, and names those that should have ended before.
    pub async fn stop(&self) -> Vec<String> {
        if let Some(guard) = &self.guard {
            guard.abort();
        }
        for process in self.heads.iter().map(|head| &head.process).chain(&self.workers) {
            let _ = process.lock().await.kill().await;
        }
        // What a worker started ends when it sees that the worker is gone.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for node in &self.cluster.nodes {
            let _ = node.process.lock().await.kill().await;
        }
        process::reap(&self.dir)
    }
}

impl Head {
    async fn is_ready(&self) -> bool {
        let client = reqwest::Client::builder().no_proxy().timeout(READY_WITHIN).build();
        let Ok(client) = client else { return false };
        client.get(format!("{}/readyz", self.base)).send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) -> io::Result<()> {
    let give_up = Instant::now() + START_WITHIN;
    while !ask().await {
        if Instant::now() > give_up {
            return Err(io::Error::other(format!("{what} within {} s", START_WITHIN.as_secs())));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(guard) = &self.guard {
            guard.abort();
        }
    }
}

/// Starts again what ended by itself, as a service manager does. A process under a fault is locked.
async fn guard(processes: Vec<Arc<Mutex<Process>>>, dir: PathBuf, fallen: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(LOOK).await;
        for process in &processes {
            let Ok(mut process) = process.try_lock() else { continue };
            let Some(status) = process.ended() else { continue };
            fallen.fetch_add(1, Ordering::Relaxed);
            eprintln!("{} ended by itself: {status}\n{}", process.name, process.last_words(5));
            if let Err(error) = process.start(&dir) {
                eprintln!("{} cannot be started: {error}", process.name);
            }
        }
    }
}

fn head(jetbatch: &Path, dir: &Path, number: u8) -> Head {
    let listen = format!("127.0.0.1:{}", free_port());
    let base = format!("http://{listen}");
    let process = serve(jetbatch, dir, format!("h{number}"), HEAD, vec![("JETBATCH__HTTP__LISTEN", listen)]);
    Head { process, base }
}

fn worker(jetbatch: &Path, dir: &Path, number: u8, has_switches: bool) -> Arc<Mutex<Process>> {
    let name = format!("w{number}");
    let mut env = vec![("JETBATCH__WORKER__NAME", name.clone())];
    if has_switches {
        env.extend([Switch::fail(dir, number), Switch::hang(dir, number)].map(Switch::env));
    }
    serve(jetbatch, dir, name, "worker", env)
}

fn serve(
    jetbatch: &Path,
    dir: &Path,
    name: String,
    roles: &'static str,
    env: Vec<(&'static str, String)>,
) -> Arc<Mutex<Process>> {
    let (program, config) = (jetbatch.to_owned(), dir.join("jetbatch.toml"));
    Arc::new(Mutex::new(Process::new(&name, dir, move || {
        let mut command = Command::new(&program);
        command.args(["serve", "--roles", roles, "--config"]).arg(&config).envs(env.clone());
        command
    })))
}

fn config(args: &Args, spec: &Spec, dir: &Path, disk: &Disk, nats: &str) -> String {
    let (store, inputs) = (disk.store(), dir.join("inputs"));
    let replicas = spec.nodes;
    format!(
        "[nats]\nurl = '{nats}'\nreplicas = {replicas}\nack_wait_s = 5\n[store]\nurl = {store:?}\n\
         [intake]\nfile_roots = [{inputs:?}]\n[scheduler]\nreconcile_s = 2\n\
         [retention]\nsweep_s = 20\nunfinished = '60s'\n[worker]\ndrain_s = 5\n{}{}",
        engine(args, spec),
        args.toml()
    )
}

fn engine(args: &Args, spec: &Spec) -> String {
    let model = oracle::MODEL;
    if spec.model {
        let folder = args.models().join("tiny");
        return format!(
            "[pools.{model}.engine]\nkind = 'mistralrs'\ndevice = 'cpu'\nmodel = {{ folder = {folder:?} }}\n"
        );
    }
    let (fail, refuse, die) = (oracle::FAIL, oracle::REFUSE, oracle::DIE);
    let die = if spec.deadly { format!(", die_containing = '{die}'") } else { String::new() };
    format!(
        "{}[pools.{model}]\nchunk_requests = {CHUNK}\n[pools.{model}.engine]\nkind = 'echo'\nslots = {SLOTS}\n\
         echo = {{ delay_ms = {}, fail_containing = '{fail}', refuse_containing = '{refuse}'{die} }}\n",
        health(spec),
        delay_ms(spec)
    )
}

/// A bad worker is found out, and asked again, while a fault lasts. One that answers nothing can be ended only in a process
/// of its own.
fn health(spec: &Spec) -> String {
    let isolate = if spec.weights.has(Sort::HangWorker) { "isolate = 'on'\nengine_stall_s = 4\n" } else { "" };
    format!("{isolate}control_s = 3\nprobe_longest_ms = 4000\n")
}

/// Slow enough that the workers are busy half of the time: a fault should find something in flight.
fn delay_ms(spec: &Spec) -> u64 {
    let lasts_ms = u64::from(spec.faults) * spec.gap_ms;
    let slots = SLOTS * u64::from(spec.workers);
    (lasts_ms * slots / 2 / spec.requests.max(1)).clamp(20, 1_000)
}
