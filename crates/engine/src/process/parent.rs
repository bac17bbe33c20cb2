//! One engine process: how it starts, the calls that go through it, and how it ends.
use super::{
    End, Error, Settings,
    calls::Calls,
    frame::{self, Load, Request, Response},
    limits::{KILL_WAIT, LAST_WORDS, READ_BYTES},
    outbox::Outbox,
};
use crate::{About, Answer, Call, Fault};
use bytes::BytesMut;
use serde::de::DeserializeOwned;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Notify,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

const GIVEN_UP: &str = "it failed with what every engine can answer";

/// The jetbatch that runs as the engine's process.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// This one. On Linux that is what runs, even where an upgrade has put another file in its place: both sides of the
    /// pipe are always of one version.
    pub fn own() -> Self {
        let running = Path::new("/proc/self/exe");
        let named = || std::env::current_exe().unwrap_or_else(|_| PathBuf::from("jetbatch"));
        Self(if running.exists() { running.to_owned() } else { named() })
    }

    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// In a process group of its own: a Ctrl-C at the terminal is for the worker, which drains. It has no use for the
    /// worker's settings, and the passwords among them, nor for traces.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg0("jetbatch").arg("engine-host").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("JETBATCH__")) {
            command.env_remove(name);
        }
        command.env("OTEL_SDK_DISABLED", "true");
        command
    }
}

/// The way to an engine process, for as long as it lives.
#[derive(Default)]
pub struct Line {
    calls: Calls,
    outbox: Outbox,
    given_up: Notify,
}

impl Line {
    pub async fn call(&self, call: Call) -> Result<Answer, Fault> {
        self.outbox.room().await;
        let (id, told) = self.calls.open()?;
        let _held = Held { line: self, id };
        let request = Request::Call { id, endpoint: call.endpoint, body: call.body, key: call.key };
        self.outbox.put(&request).map_err(|error| Fault::Internal { message: format!("a request makes {error}") })?;
        let lost = |_| Fault::Internal { message: "a call was lost".to_owned() };
        told.await.map_err(lost)?
    }

    pub fn is_over(&self) -> bool {
        self.calls.is_over()
    }

    /// It is to end: nothing more is asked of it.
    pub fn give_up(&self) {
        self.calls.fail(&Fault::Died { message: GIVEN_UP.to_owned() });
        self.given_up.notify_one();
    }

    pub fn beats(&self) -> u64 {
        self.calls.beats()
    }

    fn end(&self, end: &End) {
        self.calls.fail(&end.fault());
        self.outbox.close();
    }
}

/// A call that is given up before its answer is cancelled.
struct Held<'a> {
    line: &'a Line,
    id: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.line.calls.forget(self.id) {
            // A few bytes are never too long.
            let _ = self.line.outbox.put(&Request::Cancel { id: self.id });
        }
    }
}

/// Dropped, it is killed.
pub struct Process {
    child: Child,
    responses: Frames<ChildStdout>,
    line: Arc<Line>,
    _writer: AbortOnDropHandle<()>,
}

impl Process {
    /// Starts a process and waits for its engine.
    pub async fn start(settings: &Settings) -> Result<(Self, About), Error> {
        let mut process = Self::spawn(&settings.program)?;
        let (spec, setup) = (settings.engine.clone(), settings.setup.clone());
        let load = Request::Load(Box::new(Load { spec, setup }));
        process.line.outbox.put(&load).map_err(|error| Error::Ended(error.into()))?;
        match process.responses.next().await {
            Ok(Some(Response::Ready(ready))) => Ok((process, ready.about(&settings.engine))),
            Ok(Some(Response::Failed(why))) => Err(Error::Load(why)),
            Ok(Some(_)) => Err(Error::Ended(process.kill(End::Strange).await)),
            Ok(None) => Err(Error::Ended(process.exit().await)),
            Err(end) => Err(Error::Ended(process.kill(end).await)),
        }
    }

    fn spawn(program: &Program) -> Result<Self, Error> {
        let mut child = program.command().spawn().map_err(Error::Spawn)?;
        let none = || Error::Spawn(std::io::ErrorKind::BrokenPipe.into());
        let stdin = child.stdin.take().ok_or_else(none)?;
        let responses = Frames::new(child.stdout.take().ok_or_else(none)?);
        let line = Arc::new(Line::default());
        let writer = tokio::spawn(write(line.clone(), stdin));
        Ok(Self { child, responses, line, _writer: AbortOnDropHandle::new(writer) })
    }

    pub fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Hands answers to their callers until the process ends, and then a fault to all that still wait.
    pub async fn serve(mut self, stall: Option<Duration>) -> End {
        let end = tokio::select! {
            biased;
            heard = hear(&mut self.responses, &self.line.calls) => heard,
            _ = self.child.wait() => self.rest().await,
            end = stuck(&self.line.calls, stall) => Some(end),
            () = self.line.given_up.notified() => Some(End::Dead { message: GIVEN_UP.to_owned() }),
        };
        match end {
            Some(end) => self.kill(end).await,
            None => self.exit().await,
        }
    }

    /// What a process that is gone has still said.
    async fn rest(&mut self) -> Option<End> {
        timeout(LAST_WORDS, hear(&mut self.responses, &self.line.calls)).await.ok().flatten()
    }

    /// It is going, or gone.
    async fn exit(mut self) -> End {
        match timeout(LAST_WORDS, self.child.wait()).await {
            Ok(Ok(status)) => {
                let end = End::Exited { status };
                self.line.end(&end);
                end
            }
            Ok(Err(error)) => self.kill(error.into()).await,
            Err(_) => self.kill(End::Silent).await,
        }
    }

    /// The calls do not wait for its going, which may take as long as its device likes.
    async fn kill(mut self, end: End) -> End {
        self.line.end(&end);
        if timeout(KILL_WAIT, self.child.kill()).await.is_err() {
            tracing::warn!(pid = self.child.id(), "a killed engine process does not go");
        }
        end
    }
}

/// A pipe that breaks is the end of the process, and that is noticed at the other pipe.
async fn write(line: Arc<Line>, pipe: ChildStdin) {
    if let Err(error) = line.outbox.drain(pipe).await {
        tracing::debug!(%error, "the engine's process reads no more");
        line.outbox.close();
    }
}

async fn stuck(calls: &Calls, stall: Option<Duration>) -> End {
    match stall {
        None => std::future::pending().await,
        Some(limit) => {
            calls.stall(limit).await;
            End::Stuck { limit }
        }
    }
}

/// Until the output ends (None), or holds what ends the process. An engine that says it died is not asked again: its
/// device may be unusable, and only a new process helps.
async fn hear(responses: &mut Frames<ChildStdout>, calls: &Calls) -> Option<End> {
    loop {
        match responses.next().await {
            Ok(Some(Response::Answer { id, answer })) => calls.settle(id, Ok(answer)),
            Ok(Some(Response::Fault { id, fault: Fault::Died { message } })) => {
                calls.settle(id, Err(Fault::Died { message: message.clone() }));
                return Some(End::Dead { message });
            }
            Ok(Some(Response::Fault { id, fault })) => calls.settle(id, Err(fault)),
            Ok(Some(Response::Beat)) => calls.beat(),
            Ok(Some(Response::Ready(_) | Response::Failed(_))) => return Some(End::Strange),
            Ok(None) => return None,
            Err(end) => return Some(end),
        }
    }
}

/// Frames out of a pipe. Dropped while it waits, it loses nothing.
struct Frames<R> {
    pipe: R,
    read: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(pipe: R) -> Self {
        Self { pipe, read: BytesMut::with_capacity(READ_BYTES) }
    }

    /// None at the end. A frame that the process could not finish is not there.
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, End> {
        loop {
            if let Some(message) = frame::take(&mut self.read)? {
                return Ok(Some(message));
            }
            self.read.reserve(READ_BYTES);
            if self.pipe.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }
}
