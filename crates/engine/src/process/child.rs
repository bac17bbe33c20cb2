//! The engine's process, `jetbatch engine-host`: a first frame says what to load, and each of the others is a call, or
//! takes one back. It ends when its stdin does, and not before: a signal to stop is for the worker, which drains.
use super::{
    frame::{self, Load, Ready, Request, Response},
    limits::{BEAT_EVERY, LAST_WORDS, READ_BYTES, REQUESTS_MAX},
    outbox::Outbox,
};
use crate::{Answer, Call, Engine, Fault};
use bytes::BytesMut;
use futures::{
    FutureExt,
    future::{AbortHandle, Abortable},
};
use nix::{
    sys::signal::{self, Signal},
    unistd,
};
use std::{
    any::Any,
    collections::HashMap,
    fs::File,
    io::{self, Read},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;

/// Of two processes the kernel, short of memory, shall rather kill this one.
const OOM_SCORE: &str = "500";

pub type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("engine-host is started by a worker, and talks to it through pipes: {0}")]
    Pipes(#[from] io::Error),
    #[error("the worker sent {0}")]
    Frame(#[from] frame::Error),
    #[error("the worker sent what comes at another time")]
    Strange,
    #[error(transparent)]
    Setup(Cause),
}

/// What the thread at stdin reads.
type Requests = mpsc::Receiver<Result<Request, frame::Error>>;

/// Loads the engine that the worker names, and answers its calls. `setup` makes the process ready with what its worker
/// gave it for that ([`Settings::setup`](super::Settings::setup)); what it gives is kept to the end.
pub async fn run<G>(setup: impl FnOnce(&str) -> Result<G, Cause>) -> Result<(), Error> {
    keep_signals()?;
    let (stdin, stdout) = pipes()?;
    prepare();
    let outbox = Arc::new(Outbox::default());
    let responses = outbox.clone();
    let writer = tokio::spawn(async move { responses.drain(stdout).await });
    let mut requests = listen(stdin)?;
    let Some(load) = first(&mut requests).await? else { return Ok(()) };
    let _kept = setup(&load.setup).map_err(Error::Setup)?;
    let loaded = tokio::select! {
        loaded = crate::load(&load.spec) => loaded,
        more = next(&mut requests) => return more.and_then(|more| more.map_or(Ok(()), |_| Err(Error::Strange))),
    };
    match loaded {
        Ok(engine) => {
            outbox.put(&Response::Ready(Ready::new(engine.about())))?;
            let table = CallTable { engine, outbox, running: Arc::default() };
            let _beats = AbortOnDropHandle::new(tokio::spawn(table.clone().beat()));
            table.serve(&mut requests).await
        }
        Err(error) => {
            outbox.put(&Response::Failed(error.to_string()))?;
            outbox.close();
            // A worker that does not listen any more has no use for it.
            drop(writer.await);
            Ok(())
        }
    }
}

async fn next(requests: &mut Requests) -> Result<Option<Request>, Error> {
    Ok(requests.recv().await.transpose()?)
}

async fn first(requests: &mut Requests) -> Result<Option<Load>, Error> {
    match next(requests).await? {
        Some(Request::Load(load)) => Ok(Some(*load)),
        Some(Request::Call { .. } | Request::Cancel { .. }) => Err(Error::Strange),
        None => Ok(None),
    }
}

/// A listener that never looks: the signals do nothing.
fn keep_signals() -> io::Result<()> {
    drop((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?));
    Ok(())
}

/// Stdin and stdout, out of the engine's reach: a library that prints does so to stderr, and one that reads finds
/// nothing.
fn pipes() -> io::Result<(File, pipe::Sender)> {
    let (stdin, stdout) = (unistd::dup(io::stdin())?, unistd::dup(io::stdout())?);
    let stdout = pipe::Sender::from_owned_fd(stdout)?;
    unistd::dup2_stdin(File::open("/dev/null")?)?;
    unistd::dup2_stdout(io::stderr())?;
    Ok((stdin.into(), stdout))
}

#[cfg(target_os = "linux")]
fn prepare() {
    // Neither is worth a failure: a name for `top`, and a hint for the kernel.
    let _ = nix::sys::prctl::set_name(c"jetbatch-engine");
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

#[cfg(not(target_os = "linux"))]
fn prepare() {}

/// Reads stdin on a thread of its own, so that its end is noticed whatever the engine does to the others.
fn listen(stdin: File) -> io::Result<Requests> {
    let (sender, requests) = mpsc::channel(REQUESTS_MAX);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        hear(stdin, &sender);
        drop(sender);
        // Whoever hangs in the engine now would hang for ever, and with it the device's memory.
        std::thread::sleep(LAST_WORDS);
        let _ = signal::kill(unistd::getpid(), Signal::SIGKILL);
    })?;
    Ok(requests)
}

fn hear(mut stdin: File, sender: &mpsc::Sender<Result<Request, frame::Error>>) {
    let (mut read, mut part) = (BytesMut::new(), vec![0; READ_BYTES]);
    loop {
        while let Some(request) = frame::take(&mut read).transpose() {
            let is_over = request.is_err();
            if sender.blocking_send(request).is_err() || is_over {
                return;
            }
        }
        match stdin.read(&mut part) {
            Ok(0) => return,
            Ok(bytes) => read.extend_from_slice(&part[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The calls that run.
#[derive(Clone)]
struct CallTable {
    engine: Arc<dyn Engine>,
    outbox: Arc<Outbox>,
    running: Arc<Mutex<HashMap<u64, AbortHandle>>>,
}

impl CallTable {
    async fn serve(&self, requests: &mut Requests) -> Result<(), Error> {
        while let Some(request) = next(requests).await? {
            match request {
                Request::Call { id, endpoint, body, key } => self.begin(id, Call { endpoint, body, key }),
                Request::Cancel { id } => self.cancel(id),
                Request::Load(_) => return Err(Error::Strange),
            }
        }
        Ok(())
    }

    async fn beat(self) {
        let mut told = 0;
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            let beats = self.engine.beats();
            if beats != told {
                told = beats;
                // A byte or two are never too long.
                let _ = self.outbox.put(&Response::Beat);
            }
        }
    }

    fn begin(&self, id: u64, call: Call) {
        let (abort, registration) = AbortHandle::new_pair();
        self.running().insert(id, abort);
        let table = self.clone();
        tokio::spawn(async move {
            let answered = Abortable::new(answer(&*table.engine, call), registration).await;
            table.running().remove(&id);
            if let Ok(outcome) = answered {
                table.tell(id, outcome);
            }
        });
    }

    fn cancel(&self, id: u64) {
        if let Some(call) = self.running().remove(&id) {
            call.abort();
        }
    }

    fn tell(&self, id: u64, outcome: Result<Answer, Fault>) {
        let response = match outcome {
            Ok(answer) => Response::Answer { id, answer },
            Err(fault) => Response::Fault { id, fault },
        };
        if let Err(error) = self.outbox.put(&response) {
            let fault = Fault::Internal { message: format!("the answer makes {error}") };
            // A few words are never too long.
            let _ = self.outbox.put(&Response::Fault { id, fault });
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine that panicked is not to be trusted with another call, and says that it died.
async fn answer(engine: &dyn Engine, call: Call) -> Result<Answer, Fault> {
    let outcome = AssertUnwindSafe(async move { engine.run(call).await }).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(Fault::Died { message: format!("it panicked: {}", words(&*panic)) }))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
