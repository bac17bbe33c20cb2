//! The logins that `jetbatch nats setup` writes: with them a job is done, and nobody can do what is not his.
use crate::support::{Ask as Request, LONG, MODEL, room};
use async_nats::{Client, ConnectOptions, Event, ServerError, jetstream};
use domain::{ChunkId, Event as Fact, JobId, Pool, Tenant};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{
    nats::{Options, Server},
    process::{Jetbatch, Start, binary},
    wait_for,
};
use tokio::sync::{Mutex, mpsc};
use wire::{Ask, Asks, Login, Message, Subject, envelope, stream};

const OTHER: &str = "big";

/// A jetbatch of a head and a worker, each with its own login.
struct Jobs {
    dir: TempDir,
    nats: Server,
    head: Jetbatch,
    worker: Jetbatch,
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn gpu() -> Login {
    Login::Worker { name: "gpu".parse().unwrap(), pools: vec![MODEL.parse().unwrap()] }
}

fn seed(dir: &Path, login: &Login) -> PathBuf {
    dir.join("setup").join(format!("{login}.nk"))
}

fn options(dir: &Path, login: &Login) -> ConnectOptions {
    let seed = fs::read_to_string(seed(dir, login)).unwrap();
    ConnectOptions::with_nkey(seed.trim().to_owned()).custom_inbox_prefix(login.inbox())
}

fn ours(dir: &Path, args: &[&str]) -> Start {
    Start::new(binary()).args(args).arg("--config").arg(dir.join("jetbatch.toml")).dir(dir)
}

async fn set_up(dir: &Path) {
    let pool = |name: &str| format!("[pools.{name}.engine]\nkind = 'echo'\nslots = 4\n");
    let toml = format!("default_pool = {MODEL:?}\n{}{}", pool(MODEL), pool(OTHER));
    fs::write(dir.join("jetbatch.toml"), toml).unwrap();
    let of = format!("gpu={MODEL}");
    let args = ["nats", "setup", "--out", "setup", "--tenant", "blue", "--tenant", "red", "--worker", &of];
    let mut setup = ours(dir, &args).spawn();
    assert!(setup.exit(LONG).await.success(), "{}", setup.story());
    for login in [Login::Head, gpu(), Login::Submitter(tenant("blue"))] {
        let (path, inbox) = (seed(dir, &login), login.inbox());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = fs::read_to_string(&path).unwrap();
        assert!(setup.stdout().contains(&inbox) && !setup.story().contains(secret.trim()), "{}", setup.story());
    }
}

impl Jobs {
    async fn start() -> Self {
        let dir = TempDir::with_prefix("jetbatch-rights-").unwrap();
        set_up(dir.path()).await;
        let lines = fs::read_to_string(dir.path().join("setup/accounts.conf")).unwrap();
        let client = options(dir.path(), &Login::Head);
        let nats = Server::start_with(Options { lines, client, ..Options::default() }).await;
        let serve = |roles: &str, login: &Login| {
            let start = ours(dir.path(), &["serve", "--roles", roles]).env("JETBATCH__NATS__URL", nats.url());
            let start = start.env("JETBATCH__NATS__NKEY_FILE", seed(dir.path(), login));
            let start = start.env("JETBATCH__NATS__INBOX_PREFIX", login.inbox()).env("JETBATCH__NATS__ACK_WAIT_S", "3");
            let start = start.env("JETBATCH__HTTP__LISTEN", "127.0.0.1:0").env("JETBATCH__WORKER__POOLS", MODEL);
            start.env("JETBATCH__STORE__URL", dir.path().join("store")).spawn()
        };
        // The worker waits for what only a head may create.
        let mut worker = serve("worker", &gpu());
        worker.line("streams are left to the heads", LONG).await;
        let mut head = serve("gateway,intake,scheduler,archiver,projector,webhooks", &Login::Head);
        head.line("jetbatch is up", LONG).await;
        worker.line("worker ready", LONG).await;
        Self { dir, nats, head, worker }
    }

    async fn person(&self, login: Login) -> Person {
        let (tell, told) = mpsc::unbounded_channel();
        let options = options(self.dir.path(), &login).event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(text)) = event {
                tell.send(text).unwrap();
            }
            std::future::ready(())
        });
        Person { client: options.connect(self.nats.url()).await.unwrap(), login, told: Mutex::new(told) }
    }

    fn story(&self) -> String {
        format!("=== head\n{}\n=== worker\n{}", self.head.story(), self.worker.story())
    }
}

/// Someone with a login, and what the server denied him.
struct Person {
    client: Client,
    login: Login,
    told: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Person {
    /// Each of these is refused, by the server's own word.
    async fn may_not(&self, subjects: &[String]) {
        for subject in subjects {
            self.client.publish_with_reply(subject.clone(), self.client.new_inbox(), "{}".into()).await.unwrap();
            self.is_denied("Publish", subject).await;
        }
    }

    async fn may_not_hear(&self, subjects: &[&str]) {
        for subject in subjects {
            let _heard = self.client.subscribe((*subject).to_owned()).await.unwrap();
            self.is_denied("Subscription", subject).await;
        }
    }

    async fn is_denied(&self, what: &str, subject: &str) {
        self.client.flush().await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(20), self.told.lock().await.recv()).await;
        let told = told.unwrap_or_else(|_| panic!("{}: {what} to {subject} is allowed", self.login)).unwrap();
        assert!(told.contains(&format!("{what} to \"{subject}\"")), "{}: {told}", self.login);
    }

    /// What the service answers, or the code with which it refuses.
    async fn ask(&self, tenant: Tenant, ask: Ask, body: &Value) -> Result<Value, String> {
        let subject = Asks(Some(tenant), ask).to_string();
        let reply = self.client.request(subject, body.to_string().into()).await.map_err(|error| error.to_string())?;
        let code = reply.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
        match code {
            Some(code) => Err(code.as_str().to_owned()),
            None => Ok(serde_json::from_slice(&reply.payload).unwrap()),
        }
    }
}

/// One that is too large for a message of its own, and does not pack.
fn large() -> Request {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    };
    Request::echo("large", (0..80_000).map(|_| next()).collect::<String>())
}

#[tokio::test]
async fn each_login_does_its_part_and_no_more() {
    let _place = room(2).await;
    let jobs = Jobs::start().await;
    let blue = jobs.person(Login::Submitter(tenant("blue"))).await;
    let job = submitted(&blue).await;
    let status = wait_for("the job's end", LONG, || async {
        let status = blue.ask(tenant("blue"), Ask::Status, &json!({"job": job})).await.ok()?;
        ["completed", "failed"].contains(&status["state"].as_str()?).then_some(status)
    })
    .await;
    assert_eq!(status["requests"]["completed"], 2, "{status}\n{}", jobs.story());
    let events = jetstream::new(jobs.nats.client().await).get_stream(stream::EVENTS).await.unwrap();
    let first = events.get_first_raw_message_by_subject(&Subject::JobEvent(job).to_string(), 1).await.unwrap();
    let version = first.headers.get(envelope::VERSION).map(|version| version.as_str());
    let begun = envelope::read_event(version, &first.payload).unwrap();
    assert!(matches!(&begun, Fact::JobSubmitted(it) if it.tenant == tenant("blue")), "{begun:?}");

    let red = jobs.person(Login::Submitter(tenant("red"))).await;
    assert_eq!(red.ask(tenant("red"), Ask::Status, &json!({"job": job})).await, Err("404".to_owned()));
    let cancel = json!({"command": "cancel", "job": job});
    assert_eq!(red.ask(tenant("red"), Ask::Control, &cancel).await, Err("404".to_owned()));
    assert_eq!(blue.ask(tenant("blue"), Ask::Control, &cancel).await, Err("409".to_owned()), "it has ended");
    is_fenced(&jobs, job, &blue).await;
    let said = jobs.worker.story();
    assert!(!said.contains("could not be told") && !said.contains("heartbeat was not"), "{said}");
}

/// Over the stream, with a header that claims another's.
async fn submitted(blue: &Person) -> JobId {
    let body = json!({"requests": [Request::echo("a", "say a").json(), large().json()]});
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(envelope::TENANT, "red");
    headers.insert(async_nats::header::NATS_MESSAGE_ID, "monday");
    let subject = Subject::SubmitOf(tenant("blue")).to_string();
    let published = jetstream::new(blue.client.clone());
    let ack = published.publish_with_headers(subject, headers, body.to_string().into()).await.unwrap();
    assert_eq!(ack.await.unwrap().stream, stream::SUBMIT.as_str());
    JobId::keyed("blue", "monday")
}

async fn is_fenced(jobs: &Jobs, job: JobId, blue: &Person) {
    let (chunk, other) = (ChunkId::new(0, 0), OTHER.parse::<Pool>().unwrap());
    let part = Subject::InputPart { job, chunk, part: 0, pool: other.clone() };
    let next = |pool: &str| format!("$JS.API.CONSUMER.MSG.NEXT.{}.{pool}", stream::WORK.as_str());
    let results = stream::RESULTS.as_str();
    let common = [
        Subject::Submit.to_string(),
        Subject::SubmitJob(job).to_string(),
        Subject::Control.to_string(),
        Subject::ControlJob(job).to_string(),
        Subject::SubmitOf(tenant("red")).to_string(),
        Subject::ControlOf(tenant("red")).to_string(),
        Subject::JobEvent(job).to_string(),
        Subject::Work { pool: other, job, chunk }.to_string(),
        next(OTHER),
        format!("$JS.API.DIRECT.GET.{results}.{part}"),
        format!("$JS.API.DIRECT.GET.{results}"),
        format!("$JS.API.STREAM.MSG.GET.{results}"),
        format!("$JS.API.CONSUMER.CREATE.{results}.mine"),
        format!("$JS.API.STREAM.DELETE.{}", stream::EVENTS.as_str()),
        format!("$JS.API.STREAM.PURGE.{}", stream::WORK.as_str()),
        "$JS.API.STREAM.CREATE.MINE".to_owned(),
        format!("$KV.keys.{job}"),
        format!("$KV.status.{job}"),
    ];
    let worker = jobs.person(gpu()).await;
    let foreign = [Login::Head, Login::Submitter(tenant("red"))].map(|login| format!("{}.>", login.inbox()));
    for person in [&worker, blue] {
        person.may_not(&common).await;
        person.may_not_hear(&[">", "$JS.>", "_INBOX.>", &foreign[0], &foreign[1]]).await;
    }
    worker.may_not(&[Asks(Some(tenant("blue")), Ask::Status).to_string()]).await;
    let more = [
        Asks(Some(tenant("red")), Ask::Status).to_string(),
        next(MODEL),
        Subject::Result { job, chunk }.to_string(),
        Subject::ChunkEvent(job).to_string(),
        "$JS.API.INFO".to_owned(),
    ];
    blue.may_not(&more).await;
    let message = Message::new(Subject::SubmitOf(tenant("red")), "{}");
    let published = jetstream::new(blue.client.clone()).publish(message.subject, message.payload).await.unwrap();
    assert!(published.await.is_err(), "it was stored");
}
