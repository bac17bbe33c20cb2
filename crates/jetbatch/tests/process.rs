//! An engine in a process of its own: it answers as any other, and its death is not its worker's.
#![allow(clippy::unwrap_used)]
use bytes::{Bytes, BytesMut};
use domain::Pool;
use engine::{
    Answer, Behaviour, Call, Echo, Endpoint, Engine, Fault, Key, Spec, answer,
    control::{self, Outcome},
    process::{
        Error, Hosted, Program, Settings,
        frame::{self, Load, Ready, Request, Response},
    },
};
use futures::future::join_all;
use jetbatch::{config::Worker, metrics::Metrics, serve, telemetry};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use testkit::wait_for;

const BINARY: &str = env!("CARGO_BIN_EXE_jetbatch");
const WAIT: Duration = Duration::from_secs(60);

fn echo() -> Behaviour {
    let on = |word: &str| Some(word.to_owned());
    Behaviour {
        fail_containing: on("fail"),
        die_containing: on("die"),
        panic_containing: on("panic"),
        hang_containing: on("hang"),
        ..Behaviour::default()
    }
}

fn settings(behaviour: Behaviour) -> Settings {
    let settings = serve::apart(&Worker::default(), spec(behaviour), &quiet());
    Settings { program: Program::at(BINARY), ..settings }
}

fn spec(behaviour: Behaviour) -> Spec {
    Echo { echo: behaviour, ..Echo::default() }.into()
}

fn quiet() -> telemetry::Settings {
    telemetry::Settings { log: "off".to_owned(), ..Default::default() }
}

struct Stand {
    engine: Hosted,
    metrics: Arc<Metrics>,
}

impl Stand {
    async fn new(settings: Settings) -> Self {
        let metrics = Arc::new(Metrics::new());
        let counted = metrics.clone();
        let restarted = move || counted.engine_restarted(&pool());
        let engine = Hosted::start(&pool(), settings, restarted).await.unwrap();
        Self { engine, metrics }
    }

    async fn say(&self, words: &str) -> Result<Answer, Fault> {
        self.engine.run(call(words)).await
    }

    /// The process that answers now.
    async fn answers(&self, words: &str) -> u32 {
        let answer = self.say(words).await.unwrap();
        assert!(answer.body.contains(words), "{}", answer.body);
        self.engine.pid().unwrap()
    }

    fn assert_restarts(&self, count: u32) {
        assert_eq!(self.engine.restarts(), count);
        let line = format!("jetbatch_engine_restarts_total{{pool=\"p\"}} {count}");
        assert!(self.metrics.encode().contains(&line), "{line} is missing");
    }
}

fn pool() -> Pool {
    "p".parse().unwrap()
}

fn body(words: &str) -> Bytes {
    Bytes::from(format!(r#"{{"prompt":"{words}"}}"#))
}

fn call(words: &str) -> Call {
    Call { endpoint: Endpoint::Completions, body: body(words), key: Key::seeded(0) }
}

async fn is_gone(pid: u32) {
    let ended = || async move {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    wait_for("the end of an engine's process", WAIT, ended).await;
}

#[tokio::test]
async fn it_answers_as_an_engine_does() {
    let stand = Stand::new(settings(echo())).await;
    let direct = engine::load(&Spec::echo()).await.unwrap();
    assert_eq!(stand.engine.about(), direct.about());
    let long = "long ".repeat(200_000);
    let words: Vec<String> = (0..500).map(|n| format!("number {n}")).chain([long]).collect();
    let answers = join_all(words.iter().map(|words| stand.say(words))).await;
    for (words, answer) in words.iter().zip(answers) {
        let answer = answer.unwrap();
        assert!(answer.status == 200 && answer.body.contains(words.as_str()), "{}", answer.body);
        assert!(answer.usage.completion > 0);
    }
    let refused = stand
        .engine
        .run(Call { endpoint: Endpoint::Chat, body: Bytes::from_static(b"{"), key: Key::seeded(0) })
        .await
        .unwrap();
    assert_eq!((refused.kind, refused.status), (answer::Kind::Refused, 400));
    assert!(matches!(stand.say("fail").await, Err(Fault::Internal { .. })));
    assert_eq!(stand.engine.restarts(), 0);
}

#[tokio::test]
async fn its_death_fails_what_it_held_and_nothing_else() {
    let stand = Stand::new(settings(echo())).await;
    let first = stand.answers("hello").await;
    let begun = Instant::now();
    let held = join_all(["hang one", "hang two", "die"].map(|words| stand.say(words))).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "a death is told at once, took {:?}", begun.elapsed());
    for fault in held.into_iter().map(Result::unwrap_err) {
        assert!(matches!(&fault, Fault::Died { message } if message.contains("SIGABRT")), "{fault}");
        assert!(!fault.to_string().contains('\n'));
    }
    let second = stand.answers("hello again").await;
    assert_ne!(first, second);
    stand.assert_restarts(1);
    is_gone(first).await;
}

#[tokio::test]
async fn a_panic_is_a_death() {
    let stand = Stand::new(settings(echo())).await;
    let first = stand.answers("hello").await;
    let held = join_all(["hang", "panic"].map(|words| stand.say(words))).await;
    for fault in held.into_iter().map(Result::unwrap_err) {
        assert!(matches!(&fault, Fault::Died { message } if message.contains("panicked")), "{fault}");
    }
    assert_ne!(stand.answers("hello again").await, first);
    stand.assert_restarts(1);
}

/// A request may leave the device unusable. The engine is started anew before that is held against its worker.
#[tokio::test]
async fn a_ruined_engine_is_started_anew() {
    let stand = Stand::new(settings(Behaviour { ruin_containing: Some("ruin".to_owned()), ..echo() })).await;
    let first = stand.answers("hello").await;
    let silence = Duration::from_secs(10);
    assert_eq!(control::run(&stand.engine, silence).await, Outcome::Passed);
    assert_eq!(stand.engine.restarts(), 0);
    assert!(matches!(stand.say("ruin").await, Err(Fault::Internal { .. })));
    assert!(matches!(stand.say("hello").await, Err(Fault::Internal { .. })));
    assert_eq!(control::run(&stand.engine, silence).await, Outcome::Renewed);
    stand.assert_restarts(1);
    assert_ne!(stand.answers("hello").await, first);
}

#[tokio::test]
async fn a_killed_process_comes_back() {
    let stand = Stand::new(settings(echo())).await;
    let first = stand.engine.pid().unwrap();
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).unwrap();
    wait_for("its end", WAIT, || async { (stand.engine.pid() != Some(first)).then_some(()) }).await;
    // Work is not asked for until there is an engine.
    stand.engine.ready().await;
    assert_ne!(stand.answers("hello").await, first);
    stand.assert_restarts(1);
}

#[tokio::test]
async fn a_hang_is_noticed() {
    let stand = Stand::new(Settings { stall: Some(Duration::from_secs(1)), ..settings(echo()) }).await;
    let first = stand.answers("hello").await;
    let faults = join_all(["hang", "hang too"].map(|words| stand.say(words))).await;
    for fault in faults {
        assert_eq!(fault.unwrap_err(), Fault::Timeout { seconds: 1 });
    }
    assert_ne!(stand.answers("hello again").await, first);
    stand.assert_restarts(1);
}

/// A stopped process is as silent as one that hangs in its device.
#[tokio::test]
async fn a_long_answer_is_no_hang() {
    let slow = Behaviour { delay_ms: 2_500, ..echo() };
    let stand = Stand::new(Settings { stall: Some(Duration::from_secs(1)), ..settings(slow) }).await;
    stand.answers("hello").await;
    assert_eq!(stand.engine.restarts(), 0);
}

#[tokio::test]
async fn a_stopped_process_is_replaced() {
    let stand = Stand::new(Settings { stall: Some(Duration::from_secs(1)), ..settings(echo()) }).await;
    let first = stand.engine.pid().unwrap();
    kill(Pid::from_raw(first as i32), Signal::SIGSTOP).unwrap();
    assert_eq!(stand.say("hello").await, Err(Fault::Timeout { seconds: 1 }));
    assert_ne!(stand.answers("hello").await, first);
    is_gone(first).await;
}

/// The call that would end the process is given up before its time.
#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let stand = Stand::new(settings(Behaviour { delay_ms: 500, ..echo() })).await;
    let first = stand.engine.pid().unwrap();
    let fatal = tokio::time::timeout(Duration::from_millis(100), stand.say("die")).await;
    assert!(fatal.is_err(), "it had no time to end");
    assert_eq!(stand.answers("hello").await, first);
    assert_eq!(stand.engine.restarts(), 0);
}

#[tokio::test]
async fn calls_wait_for_an_engine_that_is_down_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("jetbatch");
    symlink(BINARY, &program).unwrap();
    let wait = Duration::from_secs(2);
    let settings = Settings { program: Program::at(&program), wait, ..settings(echo()) };
    let stand = Stand::new(settings).await;
    point(&program, "/bin/false");
    stand.say("die").await.unwrap_err();
    let fault = stand.say("hello").await.unwrap_err();
    assert!(matches!(&fault, Fault::Died { message } if message.contains("not back after 2 s")), "{fault}");
    point(&program, BINARY);
    stand.engine.ready().await;
    stand.answers("hello").await;
    assert!(stand.engine.restarts() > 1);
}

/// A GPU that is gone would leave an engine on the CPU, under a worker that counts on a GPU's slots.
#[tokio::test]
async fn an_engine_that_comes_back_as_another_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let [program, other, ready] = ["jetbatch", "other", "ready"].map(|name| folder.path().join(name));
    let mut frame = BytesMut::new();
    let ready_now = Response::Ready(Ready { model: "echo".into(), slots: 1, device: "cpu".into() });
    frame::append(&mut frame, &ready_now).unwrap();
    std::fs::write(&ready, &frame).unwrap();
    std::fs::write(&other, format!("#!/bin/sh\ncat {}\nexec cat >/dev/null\n", ready.display())).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink(BINARY, &program).unwrap();
    let wait = Duration::from_secs(2);
    let stand = Stand::new(Settings { program: Program::at(&program), wait, ..settings(echo()) }).await;
    point(&program, other.to_str().unwrap());
    stand.say("die").await.unwrap_err();
    assert!(matches!(stand.say("hello").await, Err(Fault::Died { .. })));
    assert_eq!(stand.engine.pid(), None);
    point(&program, BINARY);
    stand.engine.ready().await;
    stand.answers("hello").await;
}

/// The link leads elsewhere from one moment to the next.
fn point(link: &Path, target: &str) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    std::fs::rename(new, link).unwrap();
}

#[tokio::test]
async fn an_engine_that_cannot_start_says_why() {
    let start = |settings| async { Hosted::start(&pool(), settings, || ()).await.err().unwrap() };
    let unloadable = Settings { engine: Spec::folder("/no/such/folder"), ..settings(echo()) };
    let error = start(unloadable).await;
    assert!(matches!(&error, Error::Load(why) if !why.contains('\n')), "{error}");
    for (program, words) in [("/no/such/program", "cannot be started"), ("/bin/false", "exit status: 1")] {
        let error = start(Settings { program: Program::at(program), ..settings(echo()) }).await.to_string();
        assert!(error.contains(words), "{error}");
    }
    // It says what is no frame: its arguments.
    let error = start(Settings { program: Program::at("/bin/echo"), ..settings(echo()) }).await.to_string();
    assert!(error.contains("a frame of"), "{error}");
}

#[tokio::test]
async fn a_worker_that_lets_go_leaves_no_process() {
    let stand = Stand::new(settings(echo())).await;
    let pid = stand.engine.pid().unwrap();
    let hanging = tokio::time::timeout(Duration::from_millis(100), stand.say("hang")).await;
    assert!(hanging.is_err());
    drop(stand);
    is_gone(pid).await;
}

/// The process alone, with its pipes in hand.
struct Raw {
    child: Child,
    read: BytesMut,
}

impl Raw {
    fn start() -> Self {
        let mut command = Command::new(BINARY);
        command.arg("engine-host").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut raw = Self { child: command.spawn().unwrap(), read: BytesMut::new() };
        let spec = spec(echo());
        raw.ask(&Request::Load(Box::new(Load { spec, setup: serde_json::to_string(&quiet()).unwrap() })));
        assert!(matches!(raw.told(), Some(Response::Ready(_))));
        raw
    }

    fn ask(&mut self, request: &Request) {
        let mut bytes = BytesMut::new();
        frame::append(&mut bytes, request).unwrap();
        self.child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    fn call(&mut self, id: u64, words: &str) {
        self.ask(&Request::Call { id, endpoint: Endpoint::Completions, body: body(words), key: Key::seeded(0) });
    }

    fn told(&mut self) -> Option<Response> {
        let mut part = [0; 1024];
        loop {
            if let Some(response) = frame::take(&mut self.read).unwrap() {
                return Some(response);
            }
            let bytes = self.child.stdout.as_mut().unwrap().read(&mut part).unwrap();
            if bytes == 0 {
                return None;
            }
            self.read.extend_from_slice(&part[..bytes]);
        }
    }
}

#[test]
fn the_process_ends_with_its_stdin_whatever_it_does() {
    let mut raw = Raw::start();
    raw.call(1, "hang");
    raw.call(2, "hello");
    assert!(matches!(raw.told(), Some(Response::Answer { id: 2, .. })));
    drop(raw.child.stdin.take());
    assert_eq!(raw.told(), None);
    assert!(raw.child.wait().unwrap().success());
}

#[test]
fn signals_to_stop_are_for_the_worker() {
    let mut raw = Raw::start();
    let pid = Pid::from_raw(raw.child.id() as i32);
    for (signal, id) in [(Signal::SIGINT, 1), (Signal::SIGTERM, 2)] {
        kill(pid, signal).unwrap();
        raw.call(id, "hello");
        assert!(matches!(raw.told(), Some(Response::Answer { .. })));
    }
    drop(raw.child.stdin.take());
    assert!(raw.child.wait().unwrap().success());
}

#[test]
fn a_call_before_the_model_is_refused() {
    let mut command = Command::new(BINARY);
    let mut child = command.arg("engine-host").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut bytes = BytesMut::new();
    frame::append(&mut bytes, &Request::Cancel { id: 1 }).unwrap();
    child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
