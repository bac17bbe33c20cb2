//! A nats-server, a head process with every room but the worker, and worker processes.
use super::{Ask, Http, LONG, Log, Plan, answers_in};
use domain::JobId;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::{
    nats::Server,
    process::{Jetbatch, Start, binary},
    wait_for,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Two cores run two tests well, or one that computes. A test that held one place and waited for another would wait
/// for ever: one stand at a time.
static ROOM: Semaphore = Semaphore::const_new(2);

/// So many places of the machine, for a test that starts its processes itself.
pub async fn room(places: u32) -> SemaphorePermit<'static> {
    ROOM.acquire_many(places).await.unwrap()
}

const HEAD: &str = "gateway,intake,scheduler,archiver,projector,webhooks";

pub struct Stand {
    pub head: Jetbatch,
    /// Named `w1`, `w2` and so on.
    pub workers: Vec<Jetbatch>,
    pub http: Http,
    pub nats: Server,
    /// The other servers of a cluster.
    pub peers: Vec<Server>,
    env: Vec<(String, String)>,
    head_env: Vec<(String, String)>,
    descriptors: Option<String>,
    pub objects: PathBuf,
    dir: TempDir,
    place: Option<SemaphorePermit<'static>>,
}

impl Stand {
    pub(super) async fn start(plan: Plan) -> Self {
        let place = room(if plan.is_heavy { 2 } else { 1 }).await;
        let (nats, peers) = servers(plan.is_cluster).await;
        let dir = TempDir::with_prefix("jetbatch-e2e-").unwrap();
        std::fs::create_dir(dir.path().join("inputs")).unwrap();
        std::fs::write(dir.path().join("jetbatch.toml"), plan.toml(&urls(&nats, &peers), dir.path())).unwrap();
        let (env, head_env, objects) = (plan.vars(), plan.head_vars(), plan.objects(dir.path()));
        let descriptors =
            plan.descriptors.map(|count| if plan.is_hard { format!("-n {count}") } else { format!("-S -n {count}") });
        let (head, http) = head(dir.path(), &head_env, descriptors.as_deref()).await;
        let (workers, place) = (Vec::new(), Some(place));
        let mut stand = Self { head, workers, http, nats, peers, env, head_env, descriptors, objects, dir, place };
        for _ in 0..plan.workers {
            stand.add_worker();
        }
        stand
    }

    pub fn add_worker(&mut self) {
        self.add_worker_with(&[]);
    }

    /// One with more variables.
    pub fn add_worker_with(&mut self, env: &[(&str, &str)]) {
        let name = format!("w{}", self.workers.len() + 1);
        let start = serve(self.dir.path(), &self.env, "worker", None).env("JETBATCH__WORKER__NAME", name);
        let start = env.iter().fold(start, |start, (name, value)| start.env(name, value));
        self.workers.push(start.spawn());
    }

    /// Waits until every worker has its engine and asks for work.
    pub async fn workers_ready(&mut self) {
        for worker in &mut self.workers {
            worker.line("worker ready", LONG).await;
        }
    }

    /// `kill -9` to the head process, and a new one. It has another address.
    pub async fn replace_head(&mut self) {
        self.head.kill9().await;
        self.new_head().await;
    }

    /// A second head process beside the first, and its door. It ends when it is dropped.
    pub async fn second_head(&self) -> (Jetbatch, Http) {
        head(self.dir.path(), &self.head_env, self.descriptors.as_deref()).await
    }

    /// Another head process, where the first has ended.
    pub async fn new_head(&mut self) {
        (self.head, self.http) = head(self.dir.path(), &self.head_env, self.descriptors.as_deref()).await;
    }

    /// Sets a variable for every process that is started from here on.
    pub fn tell(&mut self, name: &str, value: &str) {
        for env in [&mut self.env, &mut self.head_env] {
            env.push((name.to_owned(), value.to_owned()));
        }
    }

    /// What is left is mostly waiting: another test may begin.
    pub fn make_room(&mut self) {
        self.place = None;
    }

    /// The most resident memory of the head so far, in MiB. None where no /proc tells.
    pub fn peak(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.head.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("jetbatch.toml")
    }

    pub async fn log(&self) -> Log {
        Log::open(&self.nats).await
    }

    /// Waits until a job's status passes a test, and gives it.
    pub async fn until(&self, id: JobId, what: &str, test: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, LONG, || async { self.http.find(id).await.filter(|status| test(status)) }).await
    }

    /// Waits until so many requests of a running job are answered. Panics where it is over before.
    pub async fn midway(&self, id: JobId, answered: u64) {
        let status = self.until(id, "answers", |status| completed(status) >= answered).await;
        assert!(status["requests"]["remaining"].as_u64().unwrap() > 0, "too fast to be interrupted: {status}");
    }

    /// Waits for a job's end, and gives its status.
    pub async fn end(&self, id: JobId) -> Value {
        let ended = |status: &Value| {
            ["completed", "failed", "expired", "cancelled"].contains(&status["state"].as_str().unwrap_or_default())
        };
        self.until(id, "the job's end", ended).await
    }

    /// Waits for a job's end, and holds status, answers and files against what was asked: every request exactly one
    /// line, the right answer, in input order.
    pub async fn answered(&self, id: JobId, asks: &[Ask]) -> Value {
        let status = self.end(id).await;
        let n = asks.len();
        assert_eq!(status["state"], "completed", "{status}");
        assert_counts(&status, [n, n, 0, 0]);
        let output = self.http.text(&format!("/jobs/{id}/results")).await;
        answers_in(&output, asks);
        assert_eq!(self.file(&status, "output").as_deref(), Some(output.as_str()), "the file is not what HTTP gives");
        assert_eq!(status["error_file"], Value::Null);
        assert!(status["usage"]["completion_tokens"].as_u64().unwrap() >= n as u64, "{status}");
        status
    }

    /// A job's file as it lies in the store, if the status names one. Its size must be the one that the status tells.
    pub fn file(&self, status: &Value, which: &str) -> Option<String> {
        let path = status[which]["path"].as_str()?;
        let text = std::fs::read_to_string(self.objects.join(path)).unwrap();
        assert_eq!(status[which]["bytes"], text.len(), "{status}");
        Some(text)
    }
}

/// Total, completed, failed, unanswered; nothing remains.
pub fn assert_counts(status: &Value, [total, completed, failed, unanswered]: [usize; 4]) {
    let want = serde_json::json!({
        "total": total, "completed": completed, "failed": failed, "unanswered": unanswered, "remaining": 0,
    });
    assert_eq!(status["requests"], want, "{status}");
}

pub fn completed(status: &Value) -> u64 {
    status["requests"]["completed"].as_u64().unwrap_or(0)
}

async fn servers(is_cluster: bool) -> (Server, Vec<Server>) {
    if !is_cluster {
        return (Server::start().await, Vec::new());
    }
    let [first, second, third] = Server::trio().await;
    (first, vec![second, third])
}

fn urls(nats: &Server, peers: &[Server]) -> String {
    let urls: Vec<String> = std::iter::once(nats).chain(peers).map(Server::url).collect();
    urls.join(",")
}

async fn head(dir: &Path, env: &[(String, String)], descriptors: Option<&str>) -> (Jetbatch, Http) {
    let mut head = serve(dir, env, HEAD, descriptors).spawn();
    let said = head.line("jetbatch is up at ", LONG).await;
    let base = said.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    head.ready(&base, LONG).await;
    (head, Http::new(&base))
}

fn serve(dir: &Path, env: &[(String, String)], roles: &str, descriptors: Option<&str>) -> Start {
    let start = match descriptors {
        None => Start::new(binary()),
        Some(limit) => {
            let limited = format!("ulimit {limit} && exec \"$0\" \"$@\"");
            Start::new("/bin/sh").args(["-c", &limited]).arg(binary())
        }
    };
    let start = start.args(["serve", "--roles", roles, "--config"]).arg(dir.join("jetbatch.toml")).dir(dir);
    env.iter().fold(start, |start, (name, value)| start.env(name, value))
}

/// A test that fails shows what its processes said.
impl Drop for Stand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== head\n{}", self.head.story());
            for (worker, number) in self.workers.iter().zip(1..) {
                eprintln!("=== w{number}\n{}", worker.story());
            }
        }
    }
}
